"""A saved run judged again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError, nearest, short
from lkgrag.run import display
from lkgrag.run.cache import StageCache
from lkgrag.run.folder import RANKER
from lkgrag.utils.device import prepare_process
from lkgrag.utils.files import write_json

if TYPE_CHECKING:
    from lkgrag.config import Config
    from lkgrag.data import Interactions


def evaluate_run(
    folder: Path,
    config: Config,
    users: list[str] | None,
    out: str | None,
    interactions: Interactions | None = None,
) -> None:
    """Judge a saved run again: the same figures from the files that it left.

    Args:
        folder: of the run.
        config: of the run.
        users: judge only these, by id.
        out: a file for the metrics.
        interactions: what the run was trained on, if that was in memory.

    Raises:
        DataError: a user is unknown, or the interactions are not those of the run.
        LkgragError: a file is missing or broken.
    """
    from lkgrag.evaluation.evaluator import judge
    from lkgrag.ranker.model import Ranker
    from lkgrag.run.stages import load_data, stage_retrieval
    from lkgrag.utils.device import device

    prepare_process(config)
    loaded = load_data(config, interactions)
    x = loaded.interactions
    chosen = None
    if users is not None:
        index = {user: n for n, user in enumerate(x.user_ids)}
        for user in users:
            if user not in index:
                raise DataError(f"users={short(user)}: no such user.{nearest(user, x.user_ids)}")
        chosen = np.asarray([index[u] for u in users])
    cache = StageCache(Path(config.cache.root), config.cache.enabled)
    one = stage_retrieval(cache, config, loaded, device())
    ranker = Ranker.from_pretrained(folder / RANKER)
    context = ranker.context
    assert context is not None
    judged = judge(
        config,
        loaded,
        ranker,
        context.data,
        context.finder,
        one.val,
        one.test,
        None,
        users=chosen,
        refit=chosen is None,
    )
    metrics = judged.metrics(config.evaluation.ks)
    display.table(metrics, judged.differences(config.evaluation.bootstrap, config.seed))
    if out is not None:
        write_json(Path(out), metrics)
