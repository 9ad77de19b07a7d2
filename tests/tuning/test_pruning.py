"""Early ends: each stage is compared with itself, at the same share of its work."""

import math

import optuna
import pytest

from lkgrag.tuning.pruning import PrunedError, StagePruner, StageReporter


def reporter(trial):
    return StageReporter(trial.report, trial.should_prune)


def study(kept=50.0):
    return optuna.create_study(direction="maximize", pruner=StagePruner(kept))


def finish(study, number, *figures):
    for n in range(number):
        trial = study.ask()
        for figure in figures:
            reporter(trial)(*figure[:3], figure[3] + n / 1000)
        study.tell(trial, 1.0)


def test_a_stage_is_compared_with_the_same_stage_only():
    one = study()
    finish(one, 6, ("retriever", 1, 1, 0.5))
    watcher = reporter(one.ask())
    # A good start of another stage does not excuse a bad retriever.
    watcher("lrurec", 1, 10, 9.0)
    with pytest.raises(PrunedError, match="retriever"):
        watcher("retriever", 1, 1, 0.1)
    other = reporter(one.ask())
    # And nothing is known of this one.
    other("lrurec", 1, 10, 0.0)
    other("retriever", 1, 1, 0.6)


def test_few_trials_end_no_other():
    one = study()
    finish(one, 4, ("retriever", 1, 1, 0.5))
    reporter(one.ask())("retriever", 1, 1, 0.1)


@pytest.mark.parametrize(("kept", "is_ended"), [(75.0, False), (50.0, True)])
def test_the_percentage_decides_who_is_behind(kept, is_ended):
    one = study(kept)
    for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        trial = one.ask()
        trial.report(value, 101)
        one.tell(trial, value)
    trial = one.ask()
    trial.report(0.35, 101)
    assert trial.should_prune() == is_ended


def test_epochs_count_by_their_share_of_the_work():
    seen = []
    watcher = StageReporter(lambda value, step: seen.append((step, value)), lambda: False)
    for epoch in range(1, 5):
        watcher("lrurec", epoch, 4, epoch / 10)
    assert [step for step, _ in seen] == list(range(1, 11))
    assert [value for step, value in seen if step in (2, 5, 7, 10)] == [0.1, 0.2, 0.3, 0.4]
    watcher("lrurec", 4, 4, 0.9)
    assert len(seen) == 10


def test_the_scorer_counts_by_the_chance_of_a_target():
    seen = []
    watcher = StageReporter(lambda value, step: seen.append((step, value)), lambda: False)
    watcher("candidates", 1, 1, 0.25)
    watcher("scorer", 0, 10, 2.0)
    watcher("scorer", 1, 10, 2.0)
    assert seen == [(201, pytest.approx(0.25 * math.exp(-2)))]


def test_what_is_no_figure_is_left_out():
    seen = []
    watcher = StageReporter(lambda value, step: seen.append(value), lambda: True)
    watcher("scorer", 1, 1, math.nan)
    watcher("lrurec", 0, 0, 1.0)
    watcher("another stage", 1, 1, 1.0)
    assert seen == []
