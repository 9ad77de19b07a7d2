"""What the service takes and gives, as pydantic models: the OpenAPI page shows them."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from lkgrag.service.limits import (
    LONGEST_NAME,
    LONGEST_REQUEST,
    LONGEST_SEARCH,
    MOST_ATTRIBUTES,
    MOST_FOUND,
    MOST_VALUES,
    ServiceLimits,
)
from lkgrag.serving.arguments import USUAL
from lkgrag.serving.asked import HEAVIEST

Text = Annotated[str, Field(max_length=LONGEST_NAME)]
#: An id or an exact title; ids may be whole numbers.
Name = Text | int
Number = Annotated[float, Field(allow_inf_nan=False)]
Value = Text | int | Number | bool
Values = Annotated[list[Value], Field(max_length=MOST_VALUES)]


class _Strict(BaseModel):
    """A model that turns no value into another type, and refuses fields that it does not have."""

    model_config = ConfigDict(extra="forbid", strict=True)


class RecommendBody(_Strict):
    """One ranking to make: for a user of the data, or for a history."""

    user: Name | None = Field(None, description="id of a user of the data")
    history: list[Name] | None = Field(
        None,
        description="items of anyone, oldest first, by id or exact title; may be empty",
        examples=[["Toy Story", "50"]],
    )
    ratings: list[Number | None] | None = Field(
        None, description="one rating for each history item; null where unknown"
    )
    candidates: list[Name] | None = Field(
        None, description="rank these items (default: what the retriever proposes)"
    )
    exclude: list[Name] | None = Field(
        None, description="leave these items out before ranking, by id or exact title"
    )
    where: Annotated[dict[Text, Value | Values], Field(max_length=MOST_ATTRIBUTES)] | None = Field(
        None,
        description="rank only items with one of the values of each attribute",
        examples=[{"genre": ["Drama", "Comedy"]}],
    )
    k: int = Field(USUAL, ge=1, description="items to give")
    explain: bool = Field(True, description="word the paths")
    request: Annotated[str, Field(max_length=LONGEST_REQUEST)] | None = Field(
        None, description="what is asked for, in words"
    )
    weight: Annotated[Number, Field(ge=0, le=HEAVIEST)] | None = Field(
        None, description="how much the request counts; 1 is what training learned"
    )
    diversity: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.0, description="how much variety counts: 0 is the order of the scores"
    )
    lm: bool | None = Field(
        None, description="rank with or without the language model (default: as the ranker serves)"
    )

    @model_validator(mode="after")
    def _check_together(self) -> RecommendBody:
        """Refuse fields that contradict one another."""
        if (self.user is None) == (self.history is None):
            raise ValueError("give either user or history")
        if self.ratings is not None and self.history is None:
            raise ValueError("ratings belong to a history; leave them out for a user")
        if self.where is not None:
            values = [v if isinstance(v, list) else [v] for v in self.where.values()]
            if sum(map(len, values)) > MOST_VALUES:
                raise ValueError(f"where: there may be {MOST_VALUES} values in all")
            if not self.where or not all(values):
                raise ValueError("where: each attribute needs a value; leave it out for all items")
        return self


class BatchBody(_Strict):
    """Several rankings to make; all are made, or none."""

    requests: list[RecommendBody] = Field(min_length=1)


class SearchQuery(BaseModel):
    """What is searched among the items."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(
        max_length=LONGEST_SEARCH, description="words or their beginnings, in any case; or an id"
    )
    k: int = Field(20, ge=1, le=MOST_FOUND, description="items to give")


class Error(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="one line that names the field and says what to do")


class Item(BaseModel):
    """An item."""

    item: str
    title: str


class Found(BaseModel):
    """Items that a search has found, best first."""

    total: int = Field(description="how many fit")
    items: list[Item]


class Path(BaseModel):
    """One path from the history to an item."""

    words: str
    salience: float | None = Field(description="how much it matters to the scorer")
    nodes: list[list[str]] = Field(description="type and name of each node")
    relations: list[str]
    index: list[int]


class Ranked(BaseModel):
    """One item of a ranking."""

    rank: int
    item: str
    title: str
    score: float | None
    lm: float | None
    scorer: float | None
    prior: float | None
    paths: list[Path]
    request: float | None
    asked: str
    moved: int = Field(description="places that it rose, or fell, because variety was asked for")
    alike: float = Field(description="how alike it is to the most alike item above it, 0 to 1")


class Ranking(BaseModel):
    """One ranking, as ``lkgrag.recommend format=json`` gives it."""

    format: int
    user: str | None
    target: str | None
    request: str | None
    history: list[Item]
    items: list[Ranked]


class Rankings(BaseModel):
    """Rankings of a batch, in the order of its requests."""

    results: list[Ranking]


class Info(BaseModel):
    """What is served."""

    lkgrag: str
    run: str
    ranker: str = Field(description="digest of the ranker's files")
    users: int
    items: int
    language_model: bool = Field(description='whether "lm": true can be asked for')
    default_lm: bool = Field(description="whether the language model ranks by default")
    without_lm: bool = Field(description='whether "lm": false can be asked for')
    requests: bool = Field(description="whether requests in words can be asked for")
    attributes: list[str] = Field(description="what `where` can name")
    kinds: dict[str, str] = Field(description="kinds of path, by their types and relations")
    limits: dict[str, int]


class State(BaseModel):
    """Whether the service answers."""

    status: str
    ranker: str | None = None
    error: str | None = Field(None, description="why a newer ranker could not be loaded")


def bodies(limits: ServiceLimits) -> tuple[type[RecommendBody], type[BatchBody]]:
    """The models of requests with the limits of a service.

    Args:
        limits: of the service.

    Returns:
        The models of one ranking and of a batch.
    """
    sizes = {
        "history": limits.history,
        "ratings": limits.history,
        "candidates": limits.candidates,
        "exclude": limits.candidates,
    }
    fields: dict[str, Any] = {}
    for name, most in sizes.items():
        field = RecommendBody.model_fields[name]
        kind: Any = field.annotation
        items = next(part for part in kind.__args__ if part is not type(None))
        fields[name] = (Annotated[items, Field(max_length=most)] | None, field)
    k = copy(RecommendBody.model_fields["k"])
    k.default = min(USUAL, limits.k)
    fields["k"] = (Annotated[int, Field(le=limits.k)], k)
    one = create_model("Recommend", __base__=RecommendBody, **fields)
    several: Any = (Annotated[list[one], Field(max_length=limits.batch)], Field(min_length=1))  # type: ignore[valid-type]
    return one, create_model("Batch", __base__=BatchBody, requests=several)
