"""Early ends of trials: each stage is compared with the same stage of finished trials.

The figures of different stages cannot be compared, and Optuna's pruners take the best of all figures of a trial. So a
pruner is shown one stage at a time.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import optuna

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna.trial import FrozenTrial, TrialState

#: The stages that are watched, and the first step of each in a study. A stage has ten steps.
STAGES = {"lrurec": 0, "retriever": 100, "scorer": 200}
STEPS = 10
#: Trials that finish before one is compared with them.
STARTUP = 5
#: Percentage of finished trials that a trial must not be behind, by the name of the pruner.
KEPT = {"quartile": 75.0, "median": 50.0}


class PrunedError(Exception):
    """A trial has been ended early.

    Args:
        stage: in which it fell behind.
    """

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


class _OfStage:
    """A study as a pruner sees it, with the figures of one stage only."""

    def __init__(self, study: optuna.Study, start: int) -> None:
        self.study, self.start = study, start
        self.direction = study.direction

    def cut(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial with the figures of the stage only."""
        part = copy.copy(trial)
        end = self.start + STEPS
        part.intermediate_values = {
            step: value
            for step, value in trial.intermediate_values.items()
            if self.start < step <= end
        }
        return part

    def get_trials(
        self, deepcopy: bool = True, states: Sequence[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """As of the study."""
        return [self.cut(t) for t in self.study.get_trials(deepcopy=deepcopy, states=states)]


class StagePruner(optuna.pruners.BasePruner):
    """Ends trials that fall behind the finished ones at the same point, each stage alone.

    Args:
        kept: percentage of the finished trials that a trial must not be behind: 50 is the rule of the median.
        startup: trials that finish, and that have figures at that point, before one is compared with them.
    """

    def __init__(self, kept: float, startup: int = STARTUP) -> None:
        self.inner = optuna.pruners.PercentilePruner(kept, startup, n_min_trials=startup)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is behind too many of the finished trials at its last step."""
        last = trial.last_step
        if last is None:
            return False
        start = max(first for first in STAGES.values() if first < last)
        view: Any = _OfStage(study, start)
        return bool(self.inner.prune(view, view.cut(trial)))


class StageReporter:
    """Reports the figures of a trial's stages to its study, and ends the trial where it falls behind.

    Each stage has ten steps, whatever its number of epochs: figures of the same share of the work are compared.

    Args:
        report: takes a figure and its step.
        should_end: whether the trial has fallen behind.
    """

    def __init__(
        self, report: Callable[[float, int], None], should_end: Callable[[], bool]
    ) -> None:
        self.report, self.should_end = report, should_end
        self.steps = dict.fromkeys(STAGES, 0)
        #: Share of the validation targets that are candidates.
        self.found = 1.0
        #: NDCG@10 of the candidates.
        self.retriever: float | None = None

    def __call__(self, stage: str, done: int, total: int, figure: float) -> None:
        """Take a figure, as :func:`lkgrag.utils.watching.tell_figure` gives it.

        Raises:
            PrunedError: the trial has fallen behind.
        """
        if stage == "candidates":
            self.found = figure
        if stage not in STAGES or total < 1 or not math.isfinite(figure):
            return
        if stage == "retriever":
            self.retriever = figure
        if stage == "scorer":
            # The scorer learns on lists that hold their target: the chance of a target is that of its list, too.
            figure = self.found * math.exp(-figure)
        reached = STEPS * done // total
        if reached <= self.steps[stage]:
            return
        for step in range(self.steps[stage] + 1, reached + 1):
            self.report(figure, STAGES[stage] + step)
        self.steps[stage] = reached
        if self.should_end():
            raise PrunedError(stage)
