import numpy as np
import pytest
from helpers.sequences import sequences
from helpers.titled import titled

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.errors import DataError, LkgragError
from lkgrag.kg import build_kg
from lkgrag.retrieval import EASERetriever, FusedRetriever, ease, fit_stage_one
from lkgrag.retrieval.ease import DEFAULT_ITEMS, MOST_ITEMS, RIDGE
from lkgrag.retrieval.systems import fused_systems
from lkgrag.testing import planted


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(0)
    rows = [rng.choice(7, rng.integers(2, 6), replace=False).tolist() for _ in range(30)]
    return sequences(*rows)


def test_weights_are_ridge_regressions_of_each_item_on_the_others(drawn):
    x = drawn
    users = np.zeros((x.num_users, x.num_items))
    for u in range(x.num_users):
        users[u, x.item[x.indptr[u] : x.indptr[u + 1]]] = 1
    weight = EASERetriever.fit(x).weight
    for j in range(x.num_items):
        others = np.delete(users, j, axis=1)
        gram = others.T @ others + RIDGE * np.eye(x.num_items - 1)
        expected = np.linalg.solve(gram, others.T @ users[:, j])
        np.testing.assert_allclose(np.delete(weight[:, j], j), expected, rtol=1e-5, atol=1e-8)
        assert weight[j, j] == 0


def test_an_item_counts_once_wherever_it_stands(drawn):
    retriever = EASERetriever.fit(drawn)
    one, two = retriever.score([np.array([1, 4]), np.array([4, 1, 4])])
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, retriever.weight[1] + retriever.weight[4], rtol=1e-6)
    assert not retriever.score([np.zeros(0, np.int64)]).any()


def test_what_is_held_back_is_not_seen():
    end = np.array([2, 2])
    one, two = (
        EASERetriever.fit(sequences(*rows).first(end)).weight
        for rows in (([0, 1, 2, 3], [0, 2, 1, 3]), ([0, 1, 3, 2], [0, 2, 3, 1]))
    )
    np.testing.assert_array_equal(one, two)


def test_evidence_is_log_probabilities(drawn):
    retriever = EASERetriever.fit(drawn)
    histories = [np.array([0, 3]), np.zeros(0, np.int64)]
    evidence = retriever.evidence(histories)
    np.testing.assert_allclose(np.exp(evidence).sum(1), 1, rtol=1e-5)
    assert (np.argsort(evidence[0]) == np.argsort(retriever.score(histories)[0])).all()


def test_it_comes_back_bit_equal(drawn, tmp_path):
    retriever = EASERetriever.fit(drawn)
    retriever.save(tmp_path)
    again = EASERetriever.load(tmp_path)
    np.testing.assert_array_equal(again.weight, retriever.weight)
    (tmp_path / "ease.safetensors").unlink()
    with pytest.raises(LkgragError, match=r"ease\.safetensors"):
        EASERetriever.load(tmp_path)


CONFIG = RetrievalConfig(
    systems=["lrurec", "popularity", "graph_itemitem", "ease"],
    hidden=8,
    blocks=1,
    max_len=8,
    batch_size=32,
    epochs=2,
    k=5,
    crossfit_window=2,
)


def test_stage_one_fuses_it(tmp_path):
    x = planted(70, 24)
    split, graph = make_split(x, DataConfig()), KGConfig(behaviour_min=1)
    one = fit_stage_one(x, split, lambda end: build_kg(x, end, graph), CONFIG, 0)
    assert "ease" in one.report["fusion"]
    assert set(one.val.ranks) >= {"ease", "itemitem", "retriever"}
    one.retriever.save(tmp_path)
    past = [np.array([0, 3])]
    again = FusedRetriever.load(tmp_path)
    np.testing.assert_array_equal(again.score(past), one.retriever.score(past))


def test_too_many_items_are_refused_before_anything_is_trained(monkeypatch):
    x = planted(70, 24)
    monkeypatch.setattr(ease, "MOST_ITEMS", x.num_items - 1)
    with pytest.raises(
        DataError, match=rf"at most {x.num_items - 1}, but there are {x.num_items};"
    ):
        fit_stage_one(x, make_split(x, DataConfig()), None, CONFIG, 0)
    assert MOST_ITEMS >= 12_086


def test_by_default_it_is_fused_for_small_catalogues():
    default = RetrievalConfig()
    assert "ease" in fused_systems(default, titled(DEFAULT_ITEMS))
    large = titled(DEFAULT_ITEMS + 1)
    assert "ease" not in fused_systems(default, large)
    # Whoever names it gets it, as far as it goes.
    assert "ease" in fused_systems(CONFIG, large)
    assert fused_systems(RetrievalConfig(systems=["lrurec"]), large) == ["lrurec"]
