"""The context of a run: how it is carried out, apart from what it computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator

    from lkgrag.run.budget import Budget
    from lkgrag.run.cache import StageCache
    from lkgrag.run.display import StageDisplay
    from lkgrag.run.tracking import Tracking


@dataclass(frozen=True)
class RunContext:
    """How a run is carried out.

    Attributes:
        folder: folder of the run's files.
        cache: cache of the stages.
        accelerator: places models and synchronises processes.
        display: prints the result of each stage.
        threads: CPU threads of this process.
        begun: start of the stages, on the clock of :func:`time.perf_counter`.
        budget: most prompts of the language model.
        tracking: logs the run to its trackers.
    """

    folder: Path
    cache: StageCache
    accelerator: Accelerator
    display: StageDisplay
    threads: int
    begun: float
    budget: Budget
    tracking: Tracking

    @property
    def is_main(self) -> bool:
        """Whether this is the first of the run's processes."""
        return bool(self.accelerator.is_main_process)
