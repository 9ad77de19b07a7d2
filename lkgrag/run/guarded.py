"""A tracker of Accelerate whose faults stop no training, and which logs on after a kill."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from accelerate.tracking import GeneralTracker

from lkgrag.config.public import without_secrets
from lkgrag.errors import short
from lkgrag.run.tracker_checks import OPTION
from lkgrag.run.tracker_values import numbers

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

#: The curve of the ranker's training, which its loop logs.
TRAIN = "train"
#: Curves, and what their points are numbered by.
STEP_OF = {TRAIN: "step", "scorer": "epoch", "lrurec": "epoch", "text": "epoch"}
#: Seconds after which a tracker's own process has written what it was given: a kill before loses it. What may be lost
#: is logged once more, and what then stands there twice is the same.
BUFFERED = {"wandb": 30.0}


class Guarded(GeneralTracker):
    """A tracker whose faults are a warning, once; after it nothing more is sent.

    Args:
        tracker: one of Accelerate's.
        steps: the file that holds the last step of the ranker's training that was logged, so that a run which goes on
            from its checkpoint logs no step twice; None to log all.
    """

    name = "guarded"
    requires_logging_directory = False
    main_process_only = False

    def __init__(self, tracker: GeneralTracker, steps: Path | None = None) -> None:
        super().__init__()
        self.inner, self.name = tracker, tracker.name
        self.is_alive = True
        self._steps, self._before = steps, 0
        #: Steps that this process has logged, and when, until they are safe.
        self._seen: set[int] = set()
        self._pending: list[tuple[float, int]] = []
        if steps is not None:
            # Of a process that was killed in the middle of a write, nothing is known.
            with suppress(OSError, ValueError):
                self._before = int(steps.read_text())

    @property
    def lag(self) -> float:
        """Seconds after which what was logged is safe from a kill."""
        return BUFFERED.get(self.name, 0.0)

    @property
    def tracker(self) -> Any:
        """What the tracker's package calls its run."""
        return self.inner.tracker

    def guard(self, call: Callable[[], object]) -> bool:
        """Call something of the tracker; False if it fails, or has failed before."""
        if not self.is_alive:
            return False
        try:
            call()
        except Exception as error:  # a tracker's package may raise anything
            self.is_alive = False
            line = next((x.strip() for x in str(error).splitlines() if x.strip()), "")
            log.warning(
                "%s=%s: the tracker failed (%s: %s); the run goes on without it",
                *(OPTION, self.name, type(error).__name__, short(without_secrets(line))),
            )
            return False
        return True

    def start(self) -> None:
        """See :class:`GeneralTracker`."""
        self.guard(self.inner.start)

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """See :class:`GeneralTracker`."""
        self.guard(lambda: self.inner.store_init_configuration(values))

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Log numbers; see :class:`GeneralTracker`."""
        found = numbers(values)
        curve = next(iter(found), "").partition("/")[0]
        if curve == TRAIN and step is not None and self._steps is not None:
            if step <= self._before or step in self._seen:
                return
            self._seen.add(step)
            self._pending.append((time.monotonic(), step))
            self._note_steps(self.lag)
        if self.name == "wandb":
            # The steps of W&B only rise, over all curves; each curve has a step of its own instead.
            step_name = STEP_OF.get(curve)
            if step_name is not None and step is not None:
                found.setdefault(f"{curve}/{step_name}", step)
            self.guard(lambda: self.inner.log(found, **kwargs))
        else:
            self.guard(lambda: self.inner.log(found, step=step, **kwargs))

    def _note_steps(self, lag: float) -> None:
        """Write the last step that was logged at least ``lag`` seconds ago."""
        limit = time.monotonic() - lag
        safe = [step for when, step in self._pending if when <= limit]
        if safe and self._steps is not None:
            self._pending = [entry for entry in self._pending if entry[0] > limit]
            with suppress(OSError):
                self._steps.write_text(str(max(safe)))

    def finish(self) -> None:
        """See :class:`GeneralTracker`."""
        if self.guard(self.inner.finish):
            self.note_all()

    def note_all(self) -> None:
        """Note that all steps are safe, as after the end."""
        self._note_steps(0.0)
