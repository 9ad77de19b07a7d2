"""One trial: a whole run on data without test events, judged on validation."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.errors import RunError
from lkgrag.run.budget import choose_budget
from lkgrag.run.cache import StageCache
from lkgrag.run.context import RunContext
from lkgrag.run.display import StageDisplay
from lkgrag.run.learning import build_evaluator, learn
from lkgrag.run.preflight import preflight
from lkgrag.run.stages import Stages
from lkgrag.run.tracking import Tracking
from lkgrag.utils.files import read_parquet, write_parquet

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.config import Config
    from lkgrag.data.dataset import Dataset

#: What is judged.
SYSTEM = "ranker"


@dataclass(frozen=True)
class Gains:
    """What a trial's ranker earns on each validation event.

    Attributes:
        user: int64 ``[E]``.
        position: int64 ``[E]``, within the user's sequence.
        gain: float64 ``[E]``; NaN where the ranker did not rank.
    """

    user: NDArray[np.int64]
    position: NDArray[np.int64]
    gain: NDArray[np.float64]

    def mean(self, is_chosen: NDArray[np.bool_]) -> float:
        """The mean over events of some users; NaN without any.

        Args:
            is_chosen: bool ``[num_users]``.
        """
        keep = is_chosen[self.user] & ~np.isnan(self.gain)
        return float(self.gain[keep].mean()) if keep.any() else float("nan")

    def minus(
        self, other: Gains, is_chosen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The differences on the events that both have, of some users, and their users.

        Args:
            other: that is subtracted.
            is_chosen: bool ``[num_users]``.
        """
        both = self._frame().merge(other._frame(), on=["user", "position"]).dropna()
        user = both["user"].to_numpy(np.int64)
        difference = (both["gain_x"] - both["gain_y"]).to_numpy(np.float64)
        return difference[is_chosen[user]], user[is_chosen[user]]

    def _frame(self) -> pd.DataFrame:
        return pd.DataFrame({"user": self.user, "position": self.position, "gain": self.gain})

    def save(self, path: Path) -> None:
        """Write the gains as Parquet."""
        write_parquet(path, self._frame())

    @classmethod
    def load(cls, path: Path) -> Gains:
        """Read what :meth:`save` wrote.

        Raises:
            LkgragError: the file is missing or broken.
        """
        frame = read_parquet(path, "the gain over the defaults is then not known")
        return cls(*(frame[name].to_numpy() for name in ("user", "position", "gain")))


@dataclass(frozen=True)
class Workshop:
    """Where trials are carried out.

    Attributes:
        dataset: without test events.
        accelerator: of this process.
        folder: for what a trial needs while it runs.
        threads: CPU threads.
    """

    dataset: Dataset
    accelerator: Accelerator
    folder: Path
    threads: int


def run_trial(config: Config, shop: Workshop, cache: StageCache, metric: str) -> Gains:
    """Carry out a run up to the ranker, and judge it on validation. No test event exists in its data.

    Args:
        config: of the trial.
        shop: data and place.
        cache: of the stages.
        metric: a key of ``metrics.json``.

    Raises:
        LkgragError: as :func:`lkgrag.run.pipeline.train`.
        RunError: the data hold a test event.
    """
    if len(shop.dataset.split.test):
        raise RunError("trials are carried out without test events, but the data hold some")
    device = shop.accelerator.device
    preflight(config, device)
    budget = choose_budget(config, device)
    show = StageDisplay(is_main=False)
    begun = time.perf_counter()
    # A study has its own table and curve: trackers are for whole runs.
    quiet = replace(config, training=replace(config.training, tracker="none"))
    tracking = Tracking(quiet, shop.folder, shop.accelerator)
    context = RunContext(
        shop.folder, cache, shop.accelerator, show, shop.threads, begun, budget, tracking
    )
    stages = Stages(cache, config, shop.dataset, device)
    learned = learn(stages, context)
    stage_one = learned.stage_one
    evaluator = build_evaluator(stages, context, learned.graph)
    lists = {"val": stage_one.val, "test": stage_one.test}
    val = evaluator.evaluate(learned.model, lists).val
    gain = np.where(val.covered(SYSTEM), val.gains(SYSTEM, metric), np.nan)
    return Gains(val.user, val.position, gain)
