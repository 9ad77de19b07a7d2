"""Stage one, fitted several times: for serving and testing, and without the windows that stage two learns on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.crossfit import crossfitted_lists, plan_crossfit
from lkgrag.retrieval.custom import custom_systems, fit_custom
from lkgrag.retrieval.fusion.fitting import Fold, fit_fusion
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.lrurec.options import LRURecOptions
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever, fit_lrurec
from lkgrag.retrieval.lrurec.validation import ValidationEvents
from lkgrag.retrieval.ranks import ndcg, recall
from lkgrag.retrieval.systems import check_data, check_systems, fit_systems, fused_systems
from lkgrag.retrieval.text.retriever import TextRetriever
from lkgrag.utils.layout import WITHOUT_TEXT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events, Split
    from lkgrag.retrieval.base import Retriever
    from lkgrag.retrieval.lrurec.state import Progress


@dataclass(frozen=True)
class StageOne:
    """What the rest of the program takes from stage one.

    Attributes:
        retriever: fitted on all training interactions; proposes for anyone.
        examples: lists for the held-back windows, each from a stage one that has not seen it.
        val: lists for the validation events, by ``retriever``.
        test: lists for the test events, by ``retriever``.
        fit_ends: int64 ``[F, num_users]``, what each graph of the examples' paths may hold: the first
            ``fit_ends[f, user]`` interactions of each user. With windows there is one graph, without any
            window; with whole users there is one for each fold, without its users.
        fold: int64 ``[num_users]``, which of these graphs is that of a user's examples.
        report: weights and figures.
    """

    retriever: FusedRetriever
    examples: CandidateLists
    val: CandidateLists
    test: CandidateLists
    fit_ends: NDArray[np.int64]
    fold: NDArray[np.int64]
    report: dict[str, Any]


class FitLRURec(Protocol):
    """Trains LRURec on the first ``train_end[user]`` items; see :func:`~lkgrag.retrieval.fit_lrurec`."""

    def __call__(
        self, train_end: NDArray[np.int64], *, val: Events | None, epochs: int | None
    ) -> tuple[LRURecRetriever, Progress]:
        """The trained retriever, and how its training went."""


class FitText(Protocol):
    """Trains the text towers on the first ``train_end[user]`` items; see :meth:`TextRetriever.fit`."""

    def __call__(self, train_end: NDArray[np.int64], data: HeteroData) -> TextRetriever:
        """The trained retriever, with the curve of its training."""


class FitCustom(Protocol):
    """Fits a custom retriever; see :func:`~lkgrag.retrieval.custom.fit_custom`."""

    def __call__(self, target: str, train_end: NDArray[np.int64], data: HeteroData) -> Retriever:
        """The fitted retriever."""


@dataclass(frozen=True)
class Fits:
    """How the systems of stage one are fitted. A run caches the fits that take long.

    Attributes:
        lrurec: trains LRURec.
        text: trains the text towers.
        custom: fits a custom retriever.
        device: of all other systems.
    """

    lrurec: FitLRURec
    text: FitText
    custom: FitCustom
    device: torch.device

    @classmethod
    def uncached(
        cls,
        interactions: Interactions,
        config: RetrievalConfig,
        seed: int,
        device: torch.device | None = None,
    ) -> Fits:
        """Fit in place, without checkpoints.

        Args:
            interactions: the sequences.
            config: options of retrieval.
            seed: of the run.
            device: to fit on (default: the CPU).
        """
        place = device or torch.device("cpu")

        def lrurec(
            train_end: NDArray[np.int64], *, val: Events | None, epochs: int | None
        ) -> tuple[LRURecRetriever, Progress]:
            training, options = interactions.first(train_end), LRURecOptions.of(config)
            events = None if val is None else ValidationEvents.of(interactions, val)
            return fit_lrurec(training, options, seed, val=events, epochs=epochs, device=place)

        def text(train_end: NDArray[np.int64], data: HeteroData) -> TextRetriever:
            return TextRetriever.fit(interactions.first(train_end), data, place, seed)

        def custom(target: str, train_end: NDArray[np.int64], data: HeteroData) -> Retriever:
            return fit_custom(interactions, config, seed, target, train_end, data, place)

        return cls(lrurec, text, custom, place)


def fit_stage_one(
    interactions: Interactions,
    split: Split,
    kg_for: Callable[[NDArray[np.int64]], HeteroData],
    config: RetrievalConfig,
    seed: int,
    fits: Fits | None = None,
) -> StageOne:
    """Fit stage one in full and cross-fitted, and propose for all events.

    No fit sees anything of the test. Validation decides when the full LRURec stops, and nothing else. A
    cross-fitted LRURec runs as many epochs as the full one needed: that number is all it takes from a fit that
    knew the held-back items. The weights of fusion are fitted on held-back events: for serving on all, for
    ``examples`` on those of other users.

    Args:
        interactions: the sequences.
        split: what trains, validates and tests.
        kg_for: gives the graph for a ``train_end``, a new one at each call.
        config: options of retrieval.
        seed: of the systems, of the users held back and of the folds.
        fits: fits the systems (default: :meth:`Fits.uncached`, on the CPU).

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system, or a custom retriever does not
            keep the contract.
        DataError: a fused system cannot be fitted on the data.
    """
    check_systems(config)
    check_data(config, interactions)
    how = fits or Fits.uncached(interactions, config, seed)

    def fit_customs(train_end: NDArray[np.int64]) -> list[Retriever]:
        targets = custom_systems(config).values()
        return [how.custom(target, train_end, kg_for(train_end)) for target in targets]

    def fit_all(train_end: NDArray[np.int64], fitted: list[Retriever]) -> FusedRetriever:
        training, data = interactions.first(train_end), kg_for(train_end)
        if TextRetriever.name in fused_systems(config, training):
            fitted = [*fitted, how.text(train_end, data)]
        return fit_systems(training, data, config, seed, fitted, how.device)

    # Custom retrievers first, since they may fail.
    customs = fit_customs(split.train_end)
    lrurec, full = how.lrurec(split.train_end, val=split.val, epochs=None)
    base = fit_all(split.train_end, [lrurec, *customs])
    plan = plan_crossfit(interactions, split, config, seed)
    folds = []
    for out, end in plan.folds:
        crossed, _ = how.lrurec(end, val=None, epochs=full.best_epoch)
        folds.append(Fold(fit_all(end, [crossed, *fit_customs(end)]), plan.events).of(out))
    # With nothing held back a cross-fitted stage one would be the same.
    folds = folds or [Fold(base, plan.events)]
    weighed = [fold.only(plan.weighed) for fold in folds]
    weights = fit_fusion(weighed, interactions, seed, left_out=TextRetriever.name)
    retriever, without = weights.apply(base), weights.apply_without(base)
    beside = {} if without is None else {WITHOUT_TEXT: without}
    if config.crossfit == "none":
        examples = candidate_lists(retriever, interactions, plan.events, config.k)
    else:
        examples = crossfitted_lists(folds, interactions, config.k, seed, plan.weighed)
    val = candidate_lists(retriever, interactions, split.val, config.k, beside)
    test = candidate_lists(retriever, interactions, split.test, config.k, beside)
    text = base.systems.get(TextRetriever.name)
    report = {
        "lrurec_epochs": full.best_epoch,
        "lrurec_curve": full.curve,
        "text_curve": text.towers.curve if isinstance(text, TextRetriever) else [],
        "fusion": weights.fusion.middle,
        "fusion_corners": None if weights.fusion.is_constant else weights.fusion.to_dict(),
        "graph": weights.graph,
        "examples": summary(examples),
        "val": summary(val),
        "test": summary(test),
    }
    return StageOne(retriever, examples, val, test, plan.fit_ends, plan.fold, report)


def summary(lists: CandidateLists) -> dict[str, dict[str, float]]:
    """NDCG@10 and Recall@10 and @20 of every system over all events."""
    return {
        name: {"ndcg@10": ndcg(r, 10), "recall@10": recall(r, 10), "recall@20": recall(r, 20)}
        for name, r in lists.ranks.items()
    }
