"""The ranker that serves: a model and what it needs to rank for anyone; its address is ``lkgrag.Ranker``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.serving.ranking import rank
from lkgrag.serving.requests import request_for, request_of_user
from lkgrag.serving.saving import load, save

if TYPE_CHECKING:
    import torch

    from lkgrag.llm import LMScorer
    from lkgrag.prompt import BasePrompter
    from lkgrag.ranker.fusion import Fusion
    from lkgrag.ranker.model import RankerModel
    from lkgrag.scorer import PathScorer
    from lkgrag.serving.context import Context
    from lkgrag.serving.recommendation import Recommendation


class Ranker:
    """Ranks items for users of the data and for anyone's history, and explains the ranking.

    Args:
        model: scores candidates.
        context: graph, retriever, catalogue, users and configuration.
    """

    def __init__(self, model: RankerModel, context: Context) -> None:
        self.model = model.eval()
        self.context = context

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def lm(self) -> LMScorer | None:
        """The model's language model; None without one."""
        return self.model.lm

    @property
    def scorer(self) -> PathScorer:
        """The model's path scorer."""
        return self.model.scorer

    @property
    def prompter(self) -> BasePrompter | None:
        """What words the model's prompts; None without a language model."""
        return self.model.prompter

    @property
    def fusion(self) -> Fusion:
        """The weights of the score's terms."""
        return self.model.fusion

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], device: torch.device | str | None = None
    ) -> Ranker:
        """Read what :meth:`save_pretrained` wrote.

        Args:
            folder: the ``ranker`` folder of a run.
            device: a GPU if there is one by default.

        Raises:
            LkgragError: not a saved ranker, of a newer format, or a file is broken.
        """
        return cls(*load(Path(folder), device))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the ranker and all that it needs to serve anyone, but the base language model.

        Args:
            folder: new, empty, or one that holds a ranker, which is replaced.

        Raises:
            LkgragError: the folder cannot be written, or holds anything else.
        """
        save(self.model, self.context, Path(folder))

    def recommend(
        self,
        history: Sequence[object],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
        ratings: Sequence[float] | None = None,
    ) -> Recommendation:
        """Rank items for anyone, known or not.

        Args:
            history: items by id or exact title, oldest first; may be empty.
            candidates: rank these; what the retriever proposes by default.
            k: items to return.
            explain: word the paths.
            ratings: of the history items, where there are some.

        Returns:
            At most ``k`` items, best first; fewer where there are not so many candidates.

        Raises:
            DataError: an item is unknown (the nearest ones are named), the list of candidates is empty,
                or there is not one rating an item of the history.
            ConfigError: ``k`` is below 1 or larger than the catalogue.
        """
        request = request_for(self.context, history, candidates, ratings)
        return rank(self.model, self.context, [request], k, explain)[0]

    def recommend_users(
        self,
        users: Sequence[str],
        candidates: Sequence[object] | None = None,
        k: int = 10,
        explain: bool = True,
    ) -> list[Recommendation]:
        """Rank items for users of the data, from all that they have chosen.

        Args:
            users: by id.
            candidates: rank these for everyone; what the retriever proposes to each by default.
            k: items to return to each.
            explain: word the paths.

        Returns:
            One ranking a user, in their order.

        Raises:
            DataError: a user or an item is unknown (the nearest ones are named), or the list of
                candidates is empty.
            ConfigError: ``k`` is below 1 or larger than the catalogue.
        """
        requests = [request_of_user(self.context, str(user), candidates) for user in users]
        return rank(self.model, self.context, requests, k, explain)

    def users(self) -> list[str]:
        """Ids of the users of the data."""
        return list(self.context.users)
