"""What is asked for in words: checked, scored, mixed with the history, and explained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.texts import as_float, normal
from lkgrag.errors import ConfigError, short
from lkgrag.retrieval.ranks import Seen, top_k
from lkgrag.serving.arguments import is_real_number
from lkgrag.serving.requests import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.retrieval import FusedRetriever
    from lkgrag.serving.context import Context
    from lkgrag.serving.requests import Request
    from lkgrag.text.requests import RequestModel

    #: Candidates and the retriever's scores of them.
    Proposals = tuple[NDArray[np.int64], NDArray[np.float32]]

#: The largest weight; a larger one changes no ranking.
HEAVIEST = 1e6
#: A kind is near to a request if its similarity is at least this share of the nearest one's.
NEAR = 0.2
#: Words that an explanation names at most, and how telling they are beside the request's rarest one.
SHOWN, TELLING = 5, 0.6


def ask(context: Context, text: str | None, weight: float | None) -> Asked | None:
    """Check and score a request.

    Args:
        context: of the ranker.
        text: the request; None for none.
        weight: in multiples of the learned one; None for 1.

    Returns:
        None without a request.

    Raises:
        ConfigError: the request is empty or says nothing that the ranker knows, the ranker cannot read requests, or
            the weight is no number from 0 to a million.
        LkgragError: the encoder's files are not available.
    """
    if text is None:
        if weight is not None:
            raise ConfigError("weight: there is nothing to weigh without a request; give request=")
        return None
    if not isinstance(text, str):
        raise ConfigError(f"request: must be text, got {type(text).__name__}")
    if not (weight is None or is_real_number(weight)):
        raise ConfigError(
            f"weight: must be a number, got {short(repr(weight))} ({type(weight).__name__})"
        )
    number = 1.0 if weight is None else as_float(weight)
    if not (math.isfinite(number) and 0 <= number <= HEAVIEST):
        raise ConfigError(
            f"weight={short(str(weight))}: must be a number from 0 to {HEAVIEST:,.0f}"
        )
    # No encoder or file takes lone surrogates.
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    if not line:
        raise ConfigError("request: it is empty; say what to look for, or leave it out")
    model = _model_of(context)
    encoder = context.encoder if model.vectors is not None else None
    # The items' texts have composed letters, too; the request is shown as it was given.
    scores = model.score(
        normal(line), None if encoder is None else encoder.encode([normal(line)])[0]
    )
    if not scores.is_known:
        advice = (
            "other words are understood with an encoder only: train with text.encoder=minilm"
            if encoder is None
            else "ask in other words"
        )
        raise ConfigError(f"request: no item has a word of {short(line)!r}; {advice}")
    return Asked(line, number, scores)


def _model_of(context: Context) -> RequestModel:
    """The ranker's model of requests.

    Raises:
        ConfigError: there is none.
    """
    if context.requests is not None:
        return context.requests
    # An item without a title is shown by its id.
    shown = zip(context.catalogue.ids, context.catalogue.titles, strict=True)
    if len({title for item, title in shown if title not in ("", item)}) < 2:
        raise ConfigError(
            "request: the items have no titles that differ, so none can be found by words"
        )
    raise ConfigError(
        "request: this ranker was saved by an older version, without a model of requests; train again"
    )


def propose(retriever: FusedRetriever, requests: Sequence[Request], number: int) -> list[Proposals]:
    """The candidates of each request, and the retriever's scores of them.

    What is asked for in words is added to the retriever's scores of the whole catalogue. The scores that are
    returned are the retriever's own.

    Args:
        retriever: of the ranker.
        requests: the rankings to make.
        number: candidates that are proposed.
    """
    lists: list[Proposals | None] = [None] * len(requests)
    plain = [n for n, r in enumerate(requests) if r.candidates is None and r.asked is None]
    # All requests of a call have the same limits.
    allowed = requests[0].allowed if requests else None
    items, scores = retriever.propose([requests[n].history for n in plain], number, allowed)
    for place, row in enumerate(plain):
        lists[row] = items[place], scores[place]
    for row, request in enumerate(requests):
        if lists[row] is None:
            own = retriever.score([request.history])[0]
            chosen = request.candidates
            if chosen is None:
                assert request.asked is not None
                mixed = own + np.float32(request.asked.weight) * request.asked.scores.total
                if request.allowed is not None:
                    mixed[~request.allowed] = -np.inf
                seen = Seen.of([request.history], retriever.mask_seen)
                best = top_k(mixed[None], number, seen, retriever.turn)[0][0]
                chosen = best[best >= 0]
            lists[row] = chosen, own[chosen]
    return [found for found in lists if found is not None]


def weigh_asked(
    model: RequestModel | None, requests: Sequence[Request], items: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The part of each candidate's score that comes from what is asked for in words.

    Args:
        model: of the ranker.
        requests: ``B`` rankings to make.
        items: int64 ``[B, C]``, candidates; -1 in padding.

    Returns:
        Float32 ``[B, C]``: weighted, and 0 for the mean of the catalogue; 0 in padding and without a request.
    """
    out = np.zeros(items.shape, np.float32)
    for row, request in enumerate(requests):
        if request.asked is not None and model is not None:
            filled = items[row] >= 0
            total = request.asked.scores.total
            factor = np.float32(request.asked.weight * model.in_ranking)
            out[row, filled] = factor * (total[items[row, filled]] - total.mean())
    return out


def explain_asked(model: RequestModel | None, request: Request, item: int) -> str:
    """Why an item is what was asked for; empty if it is not, or if nothing was asked for."""
    if request.asked is None or request.asked.weight == 0 or model is None:
        return ""
    words = model.words.matched(normal(request.asked.text), item, TELLING)[:SHOWN]
    if words:
        return f"asked for: {', '.join(words)}"
    name = model.kinds.near(request.asked.scores.similarity, item, NEAR)
    if name is None:
        return ""
    how = "of the kind asked for" if model.vectors is None else "near in meaning"
    return f"{how}: {name}" if name else how
