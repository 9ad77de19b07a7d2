"""The benchmark of text and language models: its rows, their differences, and its controls."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.language import controls, suite
from lkgrag.config import DataConfig
from lkgrag.config.loading import load_config
from lkgrag.data import make_split
from lkgrag.retrieval import TextRetriever
from lkgrag.retrieval.resolver import resolve_system
from lkgrag.retrieval.systems import check_systems
from lkgrag.testing import planted
from lkgrag.utils.files import write_parquet


def test_every_row_is_a_configuration(tmp_path):
    settings = suite.read_settings()
    for data in settings["data"]:
        for row in settings["rows"]:
            config = load_config(suite.overrides(settings, data, row, 1, tmp_path))
            check_systems(config.retrieval)
            names = [resolve_system(target).name for target in config.retrieval.systems]
            assert "lrurec" in names
            assert any(name.startswith("text") for name in names) == (not row.startswith("without"))
    for left, right in settings["compare"]:
        assert {left, right} <= settings["rows"].keys()


def frame(gain, users):
    return pd.DataFrame({"user": users, "position": 1, "gain": gain})


def test_differences_are_paired_by_event_and_mean_over_seeds():
    rng = np.random.default_rng(0)
    users = [f"u{i}" for i in range(400)]
    base = [frame(rng.random(400), users) for _ in range(2)]
    better = [f.assign(gain=f["gain"] + 0.1) for f in base]
    shuffled = [f.sample(frac=1, random_state=1) for f in better]
    gap = suite.compare(shuffled, base)
    assert gap["mean"] == pytest.approx(0.1)
    assert gap["per_cent"] == pytest.approx(100 * 0.1 / gap["base"])
    assert gap["p"] < 0.001
    assert gap["seeds"] == 2
    same = suite.compare(base, base)
    assert same["mean"] == 0
    with pytest.raises(ValueError, match="different events"):
        suite.compare(base, [f.iloc[1:] for f in base])


def test_gains_are_those_of_the_ranks(tmp_path):
    ranks = pd.DataFrame(
        {
            "user": ["a", "b", "c", "a"],
            "split": ["val", "val", "val", "test"],
            "position": [3, 3, 4, 4],
            "rank_retriever": [1, 11, 0, 1],
        }
    )
    write_parquet(tmp_path / "ranks.parquet", ranks)
    assert suite.gains(tmp_path, "val", "retriever")["gain"].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "control", [controls.PermutedText, controls.TextWithLSA, controls.TextWithProjection]
)
def test_controls_differ_from_text_and_follow_from_the_seed(control):
    x = planted(40, 24)
    known = x.first(make_split(x, DataConfig()).train_end)
    one, two = control.fit(known, seed=0).vectors, control.fit(known, seed=0).vectors
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, TextRetriever.fit(known, seed=0).vectors, atol=1e-3)


def test_permuted_texts_are_the_same_texts():
    x = planted(40, 24)
    known = x.first(make_split(x, DataConfig()).train_end)
    plain, permuted = TextRetriever.fit(known), controls.PermutedText.fit(known)
    assert plain.words.terms == permuted.words.terms


def test_targets_are_read_off_the_differences_of_rankers(monkeypatch):
    monkeypatch.setattr(suite, "stored", lambda name: None)
    gap = {"system": "ranker", "row": "words", "over": "without", "per_cent": 8.0, "p": 0.001}
    rows = [{**gap, "system": "retriever", "per_cent": 16.0}, {**gap, "mean": -0.3, "se": 0.1}]
    found = {"amazon-beauty-clean": {"differences": rows}, "ml-100k-rolling": {"differences": rows}}
    values = suite.targets_of({"val": found})
    assert values == {"L2_beauty": 8.0, "L2_p": 0.001, "L4_100k": pytest.approx(-3.0)}
    later = [{**rows[1], "per_cent": 5.0}]
    assert (
        suite.targets_of({"val": found, "test": {"amazon-beauty-clean": {"differences": later}}})[
            "L2_beauty"
        ]
        == 5.0
    )
    settings = suite.read_settings()
    for data, left, right, _ in suite.TARGETS.values():
        assert data in settings["data"]
        assert [left, right] in settings["compare"]
