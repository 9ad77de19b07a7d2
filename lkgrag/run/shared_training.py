"""LRURec trained by all processes of a launch, before stage one asks for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.crossfit import plan_crossfit

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from lkgrag.data.splits import Events
    from lkgrag.retrieval import LRURecRetriever, Progress
    from lkgrag.run.stages import Stages
    from lkgrag.utils.group import Group

#: Labels a step from which processes that train together are faster; see docs/nodes.md for the measurement.
WORTH = 400


def fit_lrurec_together(stages: Stages, group: Group) -> None:
    """Train every LRURec that stage one needs and the cache lacks, by all processes.

    The first process writes the cached stages, with the digests of one process alone. After it stage one finds them.

    Args:
        stages: of the run.
        group: the processes; all call this.
    """
    if group.size == 1 or not is_shared(stages, group):
        return
    cache, split = stages.cache, stages.dataset.split
    if group.share(cache.is_complete("retrieval", stages.keys.retrieval())):
        return
    best = _fit(stages, group, split.train_end, split.val, None)
    plan = plan_crossfit(
        stages.dataset.interactions, split, stages.config.retrieval, stages.config.seed
    )
    for _, end in plan.folds:
        _fit(stages, group, end, None, best)


def is_shared(stages: Stages, group: Group) -> bool:
    """Whether all processes train LRURec, as ``nodes.lrurec`` says; the same on each."""
    config = stages.config
    word = config.nodes.lrurec
    if word != "auto" or not config.cache.enabled:
        # Without a cache stage one would train it again.
        return word == "always"
    is_worth = (
        stages.device.type == "cpu"
        and labels_a_step(
            stages.dataset.split.train_end, config.retrieval.max_len, config.retrieval.batch_size
        )
        >= WORTH
    )
    return group.share(is_worth)


def labels_a_step(train_end: NDArray[np.int64], max_len: int, batch_size: int) -> float:
    """Labels of a batch of LRURec, on average.

    Args:
        train_end: int64 ``[num_users]``, training interactions of each user.
        max_len: most labels of a window.
        batch_size: windows a batch.
    """
    labels = np.maximum(train_end - 1, 0)
    windows = int(np.ceil(labels / max_len).sum())
    return float(labels.sum()) / max(1, windows) * min(batch_size, max(1, windows))


def _fit(
    stages: Stages,
    group: Group,
    train_end: NDArray[np.int64],
    val: Events | None,
    epochs: int | None,
) -> int:
    """Train one, unless the first process has it in its cache; its best epoch.

    Args:
        stages: of the run.
        group: the processes.
        train_end: int64 ``[num_users]``.
        val: events that decide when training stops.
        epochs: number of epochs.
    """
    train = partial(stages.train_lrurec, train_end, val, epochs, group=group)
    has_begun = False
    best = 0
    if group.is_main:

        def begin(checkpoint: Path) -> tuple[LRURecRetriever, Progress]:
            nonlocal has_begun
            has_begun = group.share(True)
            return train(checkpoint)

        _, progress = stages.lrurec(train_end, val=val, epochs=epochs, train=begin)
        best = progress.best_epoch
        if not has_begun:
            group.share(False)
    elif group.share(False):
        train(None)
    return group.share(best)
