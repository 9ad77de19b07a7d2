"""Studies: what is counted, what goes on after a stop, and what is refused, with trials that take no time."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers.small_run import small_options
from helpers.studies import SPACE, fake_trial, study_options
from optuna.trial import TrialState

from lkgrag import tune as command
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, RunError
from lkgrag.run.stages import load_dataset
from lkgrag.tuning import study as module
from lkgrag.tuning import work
from lkgrag.tuning.options import read_options
from lkgrag.tuning.outcome import selecting_users
from lkgrag.tuning.store import StudyStore
from lkgrag.tuning.study import tune
from lkgrag.utils.watching import tell_figure

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop")
    options = small_options(root)
    (root / "space.yaml").write_text(SPACE)
    return {**options, "llm.name": "none"}, str(root / "space.yaml")


@pytest.fixture
def begin(shop, tmp_path, monkeypatch):
    """Carries out a study in a folder of the test's own, with trials that take no time."""
    monkeypatch.setattr(work, "run_trial", fake_trial)
    write = module.write_results

    def go(trials=6, pairs=None, files=False, **own):
        # The files take longer than all trials.
        monkeypatch.setattr(module, "write_results", write if files else lambda *args: None)
        pairs = {**shop[0], "out": str(tmp_path / "study"), **(pairs or {})}
        return tune(*study_options(pairs, **{"space": shop[1], "trials": trials, **own}))

    go.folder, go.patch = tmp_path / "study", monkeypatch.setattr
    return go


def states(outcome):
    return [t.state.name for t in outcome.trials]


def test_a_study_tells_the_best_and_its_gain_over_the_defaults(begin, capsys):
    outcome = begin(12, files=True, confirm="true")
    assert states(outcome) == ["COMPLETE"] * 12
    assert outcome.defaults.number == 0
    assert outcome.values_of(outcome.defaults)["retrieval.decay"] == 0.8
    best = outcome.values_of(outcome.best)["retrieval.decay"]
    assert best == max(outcome.values_of(t)["retrieval.decay"] for t in outcome.trials) > 0.8
    for gain in (outcome.selected_gain, outcome.confirmed_gain):
        assert gain.mean == pytest.approx(best / 2 - 0.4)
    assert outcome.selected_gain.users + outcome.confirmed_gain.users == 60
    out = capsys.readouterr().out
    assert "users who chose it: +0.0" in out
    assert "too high on average, as the best of 12" in out
    assert "users who did not choose: +0.0" in out
    assert f"train it python -m lkgrag.train config={begin.folder / 'best.yaml'}" in out
    written = json.loads((begin.folder / "study.json").read_text())
    assert written["best"]["options"]["retrieval.decay"] == best
    assert written["gain"]["confirmed"]["mean"] == pytest.approx(best / 2 - 0.4)
    assert {"command", "versions", "hardware", "date", "space"} <= written.keys()
    assert written["versions"]["optuna"]
    table = pd.read_csv(begin.folder / "trials.csv")
    assert len(table) == len(pd.read_parquet(begin.folder / "trials.parquet")) == 12
    assert table["value"].max() == outcome.best.value
    page = (begin.folder / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http://www.w3.org", "")
    assert load_config({"config": str(begin.folder / "best.yaml")}).retrieval.decay == best


def test_a_study_goes_on_to_its_trials_in_all_and_no_further(begin):
    assert len(begin(3).trials) == 3
    again = begin(5)
    assert len(again.trials) == 5
    assert len(begin(5).trials) == 5
    assert len(begin(2).trials) == 5
    assert begin.folder.is_dir()
    assert list((begin.folder / "running").iterdir()) == []


def test_a_study_in_parts_proposes_what_an_undisturbed_one_does(begin, tmp_path):
    for trials in (2, 12, 14):
        parts = begin(trials)
    whole = begin(14, {"out": str(tmp_path / "whole")})
    assert [parts.values_of(t) for t in parts.trials] == [whole.values_of(t) for t in whole.trials]
    assert len({json.dumps(whole.values_of(t)) for t in whole.trials}) == 14


def test_the_seed_and_the_sampler_decide_the_proposals(begin, tmp_path):
    def values(name, **changes):
        pairs = {"out": str(tmp_path / name), **changes.pop("pairs", {})}
        outcome = begin(4, pairs, **changes)
        return [outcome.values_of(t) for t in outcome.trials]

    first = values("a")
    assert values("b") == first
    assert values("c", pairs={"seed": "1"})[1:] != first[1:]
    assert values("d", sampler="random")[1:] != []


def test_a_trial_that_cannot_be_carried_out_fails_with_its_reason_and_the_others_go_on(begin):
    def run(config, *args):
        if config.kg.exclude:
            raise MemoryError
        if config.retrieval.decay > 0.9:
            raise ValueError("odd\nnumbers")
        return fake_trial(config, *args)

    begin.patch(work, "run_trial", run)
    outcome = begin(14, files=True)
    failed = [t for t in outcome.trials if t.state is TrialState.FAIL]
    reasons = {t.user_attrs["error"].partition(":")[0] for t in failed}
    assert "out of memory" in reasons
    assert len(outcome.trials) == 14
    table = pd.read_csv(begin.folder / "trials.csv")
    assert (table["state"] == "fail").sum() == len(failed)
    assert table.loc[table["state"] == "fail", "error"].str.len().min() > 5
    assert "out of memory" in (begin.folder / "report.html").read_text()
    assert "\n" not in "".join(t.user_attrs["error"] for t in failed)


def test_options_that_contradict_one_another_fail_their_trial_alone(begin, tmp_path):
    (tmp_path / "odd.yaml").write_text("paths.history: {choices: [20, 5]}")
    outcome = begin(8, space=tmp_path / "odd.yaml")
    failed = [t for t in outcome.trials if t.state is TrialState.FAIL]
    assert failed
    assert all("prompt.history=12 is more than" in t.user_attrs["error"] for t in failed)
    assert outcome.best is not None


def test_all_trials_failing_is_one_clear_error_and_no_file(begin):
    def run(*args):
        raise ConfigError("nothing works: set it otherwise")

    begin.patch(work, "run_trial", run)
    with pytest.raises(
        RunError, match=r"no trial has a value, 5 of 5 failed; the last one: nothing works"
    ):
        begin(40)
    assert not (begin.folder / "best.yaml").exists()


def test_gains_that_are_no_numbers_fail_the_trial(begin):
    def run(config, *args):
        gains = fake_trial(config, *args)
        if config.kg.exclude:
            gains.gain[:] = np.nan
        return gains

    begin.patch(work, "run_trial", run)
    outcome = begin(10)
    failed = [t for t in outcome.trials if t.state is TrialState.FAIL]
    assert failed
    assert all("the ranker ranked" in t.user_attrs["error"] for t in failed)


def test_an_interrupted_trial_is_begun_again_with_its_values(begin):
    calls = []

    def run(config, *args):
        calls.append(config.retrieval.decay)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fake_trial(config, *args)

    begin.patch(work, "run_trial", run)
    with pytest.raises(KeyboardInterrupt):
        begin(5)
    outcome = begin(5)
    assert len(outcome.trials) == 5
    assert calls[2] == calls[3]
    whole = [t.state.name for t in begin_store(begin).trials()]
    assert whole.count("FAIL") == 1
    assert outcome.trials[2].user_attrs["retry_of"] == 2


def begin_store(begin):
    pairs = {"out": str(begin.folder), "data.name": "shop"}
    return StudyStore(read_options({"study": "shop-space"}, load_config(pairs)))


def test_interrupted_defaults_stay_the_first_trial(begin):
    calls = []

    def run(config, *args):
        calls.append(config.retrieval.decay)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return fake_trial(config, *args)

    begin.patch(work, "run_trial", run)
    with pytest.raises(KeyboardInterrupt):
        begin(3)
    outcome = begin(3)
    assert calls[:2] == [0.8, 0.8]
    assert outcome.defaults is not None
    assert len(outcome.trials) == 3


def test_a_study_with_other_options_is_refused(begin, tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE.replace("0.95", "0.9"))
    begin(2)
    for pairs, own, words in (
        ({"retrieval.k": "9"}, {}, "options.retrieval.k=8, not 9"),
        ({"seed": "3"}, {}, "options.seed=0, not 3"),
        ({}, {"metric": "mrr"}, "metric=ndcg@10, not mrr"),
        ({}, {"confirm": "true"}, "confirm=False, not True"),
        ({}, {"sampler": "random"}, "sampler=tpe, not random"),
        ({}, {"space": tmp_path / "space.yaml"}, "space.retrieval.decay.high=0.95, not 0.9"),
    ):
        with pytest.raises(RunError) as error:
            begin(3, pairs, **own)
        assert words in str(error.value)
        assert "choose another study= or out=" in str(error.value)


def test_a_folder_of_another_study_is_refused(begin):
    begin(2)
    with pytest.raises(RunError, match="holds the study 'shop-space', not 'other'"):
        begin(2, study="other")


def test_the_time_may_be_over_before_the_first_trial(begin):
    with pytest.raises(RunError, match="no trial has finished yet"):
        begin(2, timeout="0")


def test_trials_that_fall_behind_end_early_but_never_the_defaults(begin):
    seen = []

    def run(config, *args):
        seen.append(config.retrieval.decay)
        # The defaults and the first trials are good, all others bad.
        tell_figure("retriever", 1, 1, 0.9 if len(seen) <= 6 else 0.1)
        return fake_trial(config, *args)

    begin.patch(work, "run_trial", run)
    outcome = begin(9, files=True, pruner="median")
    assert states(outcome) == ["COMPLETE"] * 6 + ["PRUNED"] * 3
    assert {t.user_attrs["stage"] for t in outcome.trials[6:]} == {"retriever"}
    table = pd.read_csv(begin.folder / "trials.csv")
    assert table["ended_in"].tolist()[6:] == ["retriever"] * 3
    assert table["value"].isna().tolist()[6:] == [True] * 3
    assert "ended in retriever" in (begin.folder / "report.html").read_text()


def test_nothing_ends_early_without_a_pruner(begin):
    def run(config, *args):
        tell_figure("retriever", 1, 1, 1 - config.retrieval.decay)
        return fake_trial(config, *args)

    begin.patch(work, "run_trial", run)
    assert states(begin(9, pruner="none")) == ["COMPLETE"] * 9


def test_no_gain_where_the_defaults_are_best(begin, capsys):
    def run(config, *args):
        gains = fake_trial(config, *args)
        gains.gain[:] -= abs(config.retrieval.decay - 0.8) * 3
        return gains

    begin.patch(work, "run_trial", run)
    (begin.folder.parent / "one.yaml").write_text("retrieval.decay: {choices: [0.7, 0.8]}")
    begin(3, space=begin.folder.parent / "one.yaml")
    assert "no trial beats the defaults" in capsys.readouterr().out


def test_users_are_halved_by_their_ids(shop):
    data = load_dataset(load_config(shop[0]))
    x, user = data.interactions, data.split.val.user
    selects = selecting_users(x, user, "true")
    assert 15 < selects.sum() < 45
    assert selects.tolist() == selecting_users(x, user[::-1], "true").tolist()
    assert selecting_users(x, user, "auto").all()
    assert selecting_users(x, user, "false").all()
    with pytest.raises(RunError, match="needs users on both sides, but 1 validate"):
        selecting_users(x, user[:1], "true")


@pytest.mark.parametrize("confirm", ["true", "false"])
def test_those_who_confirm_do_not_choose(begin, confirm):
    """The users that confirm earn the more the lower the decay: had they a say, another trial would be best."""

    def run(config, shop, *args):
        gains = fake_trial(config, shop, *args)
        x = shop.dataset.interactions
        others = ~selecting_users(x, gains.user, "true")[gains.user]
        gains.gain[others] = 1 - 2 * gains.gain[others]
        return gains

    begin.patch(work, "run_trial", run)
    outcome = begin(12, confirm=confirm)
    best = outcome.values_of(outcome.best)["retrieval.decay"]
    assert (best > 0.8) == (confirm == "true")
    if confirm == "true":
        assert outcome.confirmed_gain.mean < 0 < outcome.selected_gain.mean


OWN = {
    "trials=0": "'0' is no whole number of at least 1",
    "trials=x": "no whole number",
    "metric=ndcg": "no metric 'ndcg'",
    "metric=f1": "no metric 'f1'",
    "sampler=grid": "'grid' is none of tpe, random",
    "pruner=medain": "Did you mean 'median'?",
    "confirm=yes": "'yes' is none of auto, true, false",
    "disk=-1": "no number of gigabytes",
    "disk=inf": "no number of gigabytes",
    "timeout=1h": "no number of seconds",
    "timeout=": "no number of seconds",
    "study=": "must be a name",
    "study=\x1b[1m": "must be a name",
    "storage=": "there is no path",
    "storage=nosql://x": "no study can be kept there",
    "storage=mysql://me:secret@h/db": "storage=mysql://me:***@h/db",
    "storage=/proc/x/study.db": "cannot write",
    "space=none": "no such space",
    "trial=3": "Did you mean 'trials'?",
    "retrieval.lrr=3": "Did you mean 'retrieval.lr'",
    "data.name=": "",
}


@pytest.mark.parametrize("word", OWN)
def test_a_wrong_option_gets_one_line(shop, tmp_path, monkeypatch, capsys, word):
    pairs = {**shop[0], "out": str(tmp_path / "study"), "trials": "1", "space": shop[1]}
    key, _, value = word.partition("=")
    words = [f"{k}={v}" for k, v in {**pairs, key: value}.items()]
    monkeypatch.setattr("sys.argv", ["lkgrag.tune", *words])
    assert command.main() == 2
    lines = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("  ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert OWN[word] in lines[0]
    assert "secret" not in lines[0]
    assert not (tmp_path / "study" / "best.yaml").exists()


def test_a_file_that_is_no_study_is_refused_and_left_alone(begin, tmp_path):
    other = tmp_path / "notes.txt"
    other.write_text("mine" * 1000)
    with pytest.raises(RunError, match="no study can be kept there"):
        begin(1, storage=other)
    assert other.read_text() == "mine" * 1000


def test_without_optuna_one_line_says_what_to_install(shop, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lkgrag.tune", "llm.name=none"])
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert command.main() == 2
    assert capsys.readouterr().err == (
        'error: lkgrag.tune needs Optuna: pip install "lkgrag[tune]"\n'
    )


def test_a_study_is_not_begun_anew_by_overwrite(begin):
    with pytest.raises(RunError, match="choose another study= and out="):
        begin(1, {"overwrite": "true"})


def test_a_launcher_is_refused(begin, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RunError, match="start the same command several times"):
        begin(1)


def test_the_progress_is_quiet_if_asked(begin, capsys):
    begin.patch("lkgrag.utils.console.quiet", True)
    begin(2)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("best: trial ")
    assert out[-1].startswith("train it python -m lkgrag.train config=")
    assert not any(line.startswith("trial ") for line in out)
