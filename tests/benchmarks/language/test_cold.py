"""New items on planted data: texts that tell what users choose."""

import numpy as np
import pytest
from helpers.planted_cold import planted_cold

from benchmarks.language import cold as cold_page
from benchmarks.language.cold import Cold
from benchmarks.language.evidence import (
    lsa,
    near_history,
    random_projection,
    similarities,
    value_popularity,
    whitened,
)
from benchmarks.language.logit import figures
from lkgrag.text import Words


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    return planted_cold(tmp_path_factory.mktemp("evidence"))


def _ndcg(cold, kinds):
    return figures(cold.ranks(kinds), cold.events.user)["ndcg@10"]


def test_text_finds_new_items_and_permuted_titles_do_not(cold):
    chance = _ndcg(cold, ("permuted",))
    for kind in ("tfidf", "encoder", "lsa", "random", "values", "metadata"):
        assert _ndcg(cold, (kind,)) > 1.5 * chance, kind


def test_trained_evidence_finds_new_items(cold):
    chance = _ndcg(cold, ("permuted",))
    for kind in ("scorer", "words tower", "encoder tower", "map"):
        assert _ndcg(cold, (kind,)) > 1.5 * chance, kind
    for kind in ("permuted tower", "permuted map"):
        assert _ndcg(cold, (kind,)) < 1.5 * chance, kind


def test_behaviour_that_is_not_deleted_is_a_ceiling(cold):
    assert _ndcg(cold, ("behaviour",)) > 1.5 * _ndcg(cold, ("permuted",))
    # Without it no count tells new items apart.
    known = cold.kind("metadata")
    assert not any(name.startswith(cold_page.BEHAVIOUR) for name in known)


def test_all_rows_are_measured_over_one_base(cold, monkeypatch):
    # test_tuning.py trains the encoder.
    def stand_in(training, texts, folder, kind, seed):
        return cold.encoded

    monkeypatch.setattr(cold_page, "tuned_vectors", stand_in)
    said = []
    result = cold_page.measure(cold, said.append)
    names = [row["name"] for row in result["rows"]]
    added = [*cold_page.ADDED, *cold_page.CONTROLS, *cold_page.CEILING, *cold_page.BEYOND]
    assert names == [*cold_page.ROWS, "base", *added]
    assert all(("gain" in row) == (row["name"] in added) for row in result["rows"])
    assert len(said) == len(names)


def test_evidence_is_computed_once(cold, monkeypatch):
    first = cold.kind("tfidf")
    again = Cold(cold.world, cold.config, cold.encoded, cold.folder)
    monkeypatch.setattr(cold_page, "near_history", None)
    assert all(np.array_equal(first[n], x) for n, x in again.kind("tfidf").items())


def test_training_lists_have_pseudo_new_items_and_each_once(cold):
    queries = cold.examples()
    items = queries.candidate_items
    assert cold.world.pseudo[items[items >= 0]].all()
    assert (queries.target >= 0).all()
    for row in items:
        real = row[row >= 0]
        assert len(np.unique(real)) == len(real)
    shown = queries.history_items
    assert not cold.world.hidden[shown[shown >= 0]].any()


def test_similarity_to_the_history_by_hand():
    table = similarities(np.eye(3, dtype=np.float32), np.array([0, 2]))
    assert table.tolist() == [[1, 0], [0, 0], [0, 1]]
    latest = np.array([[0, 2], [1, -1], [-1, -1]])
    near = near_history(table, latest, "x")
    np.testing.assert_allclose(near["x mean"], [[1 / 1.8, 0.8 / 1.8], [0, 0], [0, 0]], rtol=1e-6)
    assert near["x nearest"].tolist() == [[1, 1], [0, 0], [0, 0]]


def test_controls_of_words_are_whitened_rows_of_length_one():
    words = [f"w{n % 17} w{n % 5} x{n % 11}" for n in range(60)]
    rows = Words.of(words).rows(words)
    for vectors in (lsa(rows, 0), random_projection(rows, 0), whitened(rows.toarray())):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        assert vectors.shape[0] == 60


def test_popular_values_among_the_neighbours():
    from scipy import sparse

    values = sparse.csr_matrix(np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    near = np.array([[0.8, 0.2, 0.0]], np.float32)
    found = value_popularity(values, near, np.array([2, 1]))
    np.testing.assert_allclose(np.exp(found), [[0.8001, 0.2001]], atol=1e-3)
