"""A saved run judged again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError, nearest, short
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.prompt.order import CandidateOrder
from lkgrag.run import display
from lkgrag.run.cache import StageCache
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saved_run import load_run
from lkgrag.utils.device import choose_device, set_threads
from lkgrag.utils.files import write_json
from lkgrag.utils.layout import RANKER

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.config import Config
    from lkgrag.data import Interactions
    from lkgrag.evaluation.protocol import Metrics


def evaluate(
    run: str | os.PathLike[str],
    interactions: Interactions | None = None,
    users: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> Metrics:
    """Judge a saved run again: the same figures from the files that it left, printed as a table.

    Args:
        run: folder of a finished run.
        interactions: the data that the run was trained on, if they were in memory.
        users: judge only these, by id; all by default.
        out: a file for the metrics.

    Returns:
        ``{system: {split: {population: {metric: mean}}}}``.

    Raises:
        RunError: not a finished run.
        DataError: a user is unknown, or the interactions are not those of the run.
        LkgragError: a file is missing or broken.
    """
    folder, config = load_run(str(run))
    return evaluate_run(folder, config, users, out, interactions)


def evaluate_run(
    folder: Path,
    config: Config,
    users: Sequence[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    interactions: Interactions | None = None,
) -> Metrics:
    """:func:`evaluate` for a run whose configuration is read already."""
    set_threads(config.threads)
    dataset = load_dataset(config, interactions)
    chosen = None if users is None else _indices(users, dataset.interactions.user_ids)
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    one = Stages(cache, config, dataset, choose_device()).retrieval()
    ranker = Ranker.from_pretrained(folder / RANKER)
    evaluator = Evaluator(
        dataset.interactions,
        ranker.context.graph,
        config.evaluation,
        CandidateOrder(config.prompt.order, config.seed),
        config.paths.history,
    )
    evaluation = evaluator.evaluate(
        ranker.model, {"val": one.val, "test": one.test}, chosen, ranker.context.learned
    )
    metrics = evaluation.metrics(config.evaluation.ks)
    display.table(metrics, evaluation.differences(config.evaluation.bootstrap, config.seed))
    if out is not None:
        write_json(Path(out), metrics)
    return metrics


def _indices(users: Sequence[str], user_ids: list[str]) -> NDArray[np.int64]:
    """User indices of ids.

    Raises:
        DataError: a user is unknown; the message names the nearest ones.
    """
    index = {user: n for n, user in enumerate(user_ids)}
    for user in users:
        if user not in index:
            raise DataError(f"users={short(user)}: no such user.{nearest(user, user_ids)}")
    return np.asarray([index[u] for u in users], np.int64)
