"""A ranker serves with its language model only if that earned a weight, unless it is told otherwise."""

import json
import shutil

import pytest
from helpers import processes

from lkgrag import Ranker
from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import TermWeights
from lkgrag.ranker.fusion_weights import FittedWeights
from lkgrag.serving.lm_choice import choose_serving

WITH, WITHOUT = TermWeights(0.2, 0.3, 0.5), TermWeights(0.0, 0.4, 0.6)
FITTED = FittedWeights(WITH, WITHOUT, WITHOUT)


@pytest.mark.parametrize(
    ("saved", "lm", "expected"),
    [
        (WITHOUT, "auto", (WITHOUT, False)),
        (WITHOUT, "never", (WITHOUT, False)),
        (WITHOUT, "always", (WITH, True)),
        (WITH, "auto", (WITH, True)),
        (WITH, "always", (WITH, True)),
        (WITH, "never", (WITHOUT, False)),
    ],
)
def test_the_choice(saved, lm, expected):
    assert choose_serving(saved, FITTED, lm, has_lm=True, where="it") == expected


def test_a_ranker_of_an_older_version_has_one_set_of_weights():
    without, is_read = choose_serving(WITH, None, "never", has_lm=True, where="it")
    assert without == pytest.approx((0.0, 0.375, 0.625))
    assert not is_read


def test_what_cannot_be_chosen_is_refused():
    with pytest.raises(
        ConfigError, match=r"serving\.lm='alway' is none of .* Did you mean 'always'"
    ):
        choose_serving(WITH, FITTED, "alway", has_lm=True, where="it")
    with pytest.raises(
        ConfigError, match=r"^serving\.lm=always: it has no language model"
    ) as error:
        choose_serving(WITHOUT, FITTED, "always", has_lm=False, where="it")
    assert "\n" not in str(error.value)


def edit(folder, lm):
    """Give a saved ranker's language model a weight, or none."""
    meta = json.loads((folder / "ranker.json").read_text())
    meta["fusion"] = {"lm": lm, "a": 0.5 - lm / 2, "b": 0.5 - lm / 2}
    meta["fitted"] = {
        "with_lm": [0.2, 0.3, 0.5],
        "without_lm": [0.0, 0.4, 0.6],
        "control": [0.0, 0.4, 0.6],
        "gain": None,
        "gain_se": None,
    }
    (folder / "ranker.json").write_text(json.dumps(meta))
    (folder / "done.json").unlink(missing_ok=True)


@pytest.fixture
def saved(small_run, tmp_path):
    shutil.copytree(small_run[0] / "out" / "ranker", tmp_path / "ranker")
    return tmp_path / "ranker"


@pytest.mark.slow
def test_a_language_model_without_weight_is_left_out(saved):
    edit(saved, 0.0)
    ranker = Ranker.from_pretrained(saved)
    assert ranker.lm is None
    ranking = ranker.recommend_users(ranker.users()[:1], k=3)[0]
    assert all(item.lm == 0 for item in ranking.items)
    assert all(item.score == pytest.approx(item.scorer + item.prior) for item in ranking.items)
    always = Ranker.from_pretrained(saved, lm="always")
    assert always.lm is not None
    assert always.fusion.weights == pytest.approx((0.2, 0.3, 0.5))
    assert any(item.lm for item in always.recommend_users(ranker.users()[:1], k=3)[0].items)
    served = always.with_serving("never")
    assert served.lm is None
    assert served.fusion.weights == pytest.approx((0.0, 0.4, 0.6))


@pytest.mark.slow
def test_a_language_model_with_weight_serves(saved):
    edit(saved, 0.3)
    assert Ranker.from_pretrained(saved).lm is not None
    assert Ranker.from_pretrained(saved, lm="never").lm is None


@pytest.mark.slow
def test_the_shell_says_in_one_line_that_there_is_no_language_model(small_run, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(small_run[0] / "out", out)
    meta = json.loads((out / "ranker" / "ranker.json").read_text())
    (out / "ranker" / "ranker.json").write_text(json.dumps({**meta, "llm": None}))
    (out / "ranker" / "done.json").unlink()
    result = processes.run("lkgrag.recommend", f"run={out}", "users=all", "serving.lm=always")
    assert result.returncode == 2
    assert "serving.lm=always" in result.stderr
    assert "Traceback" not in result.stderr
