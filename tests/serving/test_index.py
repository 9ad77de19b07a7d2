"""A saved ranker's index: written, read, built anew where it is broken, and left out where it cannot be used."""

import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lkgrag import Ranker
from lkgrag.errors import ConfigError, RunError
from lkgrag.recommend import main
from lkgrag.retrieval import FusedRetriever
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.index import choice, item_index, library
from lkgrag.retrieval.index.item_index import ItemIndex
from lkgrag.serving.loading import load_context
from lkgrag.serving.shard_files import MANIFEST
from lkgrag.serving.shards import BulkRequest, recommend_all
from lkgrag.utils.sums import read_sums

pytestmark = pytest.mark.slow
pytest.importorskip("faiss", reason="needs the extra index")


def fitting(ranker):
    """The ranker without systems that score every item by themselves."""
    before = ranker.context.retriever
    names = [n for n in before.systems if n != "ease"]
    corners = {n: before.corners.corners[n] + 0.1 for n in names}
    weights = CornerWeights(before.corners.count, before.corners.length, corners)
    retriever = FusedRetriever({n: before.systems[n] for n in names}, weights, before.mask_seen)
    return Ranker(ranker.model, replace(ranker.context, retriever=retriever))


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    # So few items are all fetched otherwise, which all scores do as well.
    monkeypatch.setattr(item_index, "FETCHED", 8)
    monkeypatch.setattr(item_index, "PER_ITEM", 1)
    monkeypatch.setattr(item_index, "LARGEST_SHARE", 1.0)


@pytest.fixture(scope="module")
def plain(run_without_lm):
    return fitting(Ranker.from_pretrained(run_without_lm))


@pytest.fixture(scope="module")
def saved(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexed") / "ranker"
    plain.with_index("hnsw").save_pretrained(folder)
    return folder


def index_of(ranker):
    return ranker.context.retriever.index


def test_the_index_is_saved_and_read(saved, plain, monkeypatch):
    files = [n for n in read_sums(saved) if n.startswith("retriever/index/")]
    assert len(files) == 2

    def fail(*_):
        raise AssertionError("built again")

    monkeypatch.setattr(library, "build", fail)
    ranker = Ranker.from_pretrained(saved)
    assert index_of(ranker).kind == "hnsw"
    history = plain.context.catalogue.ids[:3]
    found, wanted = ranker.recommend(history, k=5), plain.recommend(history, k=5)
    assert [i.item for i in found.items] == [i.item for i in wanted.items]


@pytest.mark.parametrize("harm", ["bytes", "gone", "meta", "object", "other"])
def test_a_broken_index_is_built_anew(saved, tmp_path, caplog, harm):
    folder = tmp_path / "ranker"
    shutil.copytree(saved, folder)
    place = folder / "retriever" / "index"
    if harm == "bytes":
        (place / "items.faiss").write_bytes(b"no index")
    elif harm == "gone":
        (place / "items.faiss").unlink()
    elif harm == "meta":
        (place / "index.json").write_text("{")
    elif harm == "object":
        (place / "index.json").write_text("[]")
    else:
        meta = json.loads((place / "index.json").read_text())
        (place / "index.json").write_text(json.dumps({**meta, "identity": "another"}))
    with caplog.at_level(logging.WARNING):
        ranker = Ranker.from_pretrained(folder)
    assert [r for r in caplog.records if "built anew" in r.getMessage()]
    assert str(place) in caplog.text
    assert isinstance(index_of(ranker), ItemIndex)


def test_without_the_library_all_items_are_scored(saved, plain, monkeypatch, caplog):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with caplog.at_level(logging.WARNING):
        ranker = Ranker.from_pretrained(saved)
    (line,) = [r.getMessage() for r in caplog.records if "faiss" in r.getMessage()]
    assert 'pip install "lkgrag[index]"' in line
    assert index_of(ranker) is None
    with pytest.raises(ConfigError, match=r"serving.index=ivfpq.*lkgrag\[index\]"):
        plain.with_index("ivfpq")
    assert index_of(plain.with_index("auto")) is None


def test_a_system_that_scores_every_item_is_named(run_without_lm, caplog):
    ranker = Ranker.from_pretrained(run_without_lm)
    systems = ranker.context.retriever.systems
    ranker.context.retriever = FusedRetriever(systems, dict.fromkeys(systems, 0.2))
    with caplog.at_level(logging.WARNING):
        assert index_of(ranker.with_index("hnsw")) is None
    assert "the retriever ease scores every item" in caplog.text


def test_auto_takes_an_index_from_a_size_on(plain, monkeypatch):
    assert index_of(plain.with_index("auto")) is None
    monkeypatch.setattr(choice, "FROM", 10)
    assert index_of(plain.with_index("auto")).kind == "ivfpq"
    assert index_of(plain.with_index("exact")) is None


def test_an_update_builds_the_index_anew(saved):
    ranker = Ranker.from_pretrained(saved)
    before = index_of(ranker)
    known = ranker.context.catalogue.ids
    events = {"user": ["x", "x"], "item": [known[0], "brand new"], "time": [1.7e9, 1.7e9 + 5]}
    ranker.update(events)
    assert index_of(ranker) is not before
    assert index_of(ranker).index.ntotal == len(known) + 1
    assert ranker.recommend([known[0]], k=3).items


def test_limits_hold_with_an_index(saved):
    ranker = Ranker.from_pretrained(saved)
    ids = ranker.context.catalogue.ids
    out = [i.item for i in ranker.recommend(ids[:2], k=4).items]
    left = [i.item for i in ranker.recommend(ids[:2], k=4, exclude=out).items]
    assert len(left) == 4
    assert not set(left) & set(out)
    assert len(ranker.recommend([], k=len(ids)).items) == len(ids)


def test_shards_of_another_index_are_refused(saved, tmp_path):
    ranker, request = Ranker.from_pretrained(saved), BulkRequest(k=3, explain=False)
    recommend_all(ranker, tmp_path, request)
    assert json.loads((tmp_path / MANIFEST).read_text())["index"] == "hnsw"
    with pytest.raises(RunError, match="index"):
        recommend_all(ranker.with_index("exact"), tmp_path, request)


def test_the_run_itself_scores_all_items(saved):
    _, context, _ = load_context(saved)
    assert context.retriever.index is None


def test_recommend_takes_the_option(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv", ["x", f"run={saved.parent}", "history=[]", "serving.index=hnws"]
    )
    assert main() == 2
    assert (
        "serving.index='hnws' is none of auto, exact, hnsw, ivfpq. Did you mean 'hnsw'"
        in " ".join(capsys.readouterr().err.split())
    )


def test_scores_are_those_of_all_items(saved, plain):
    ranker = Ranker.from_pretrained(saved)
    histories = [np.array([1, 2, 3]), np.array([4])]
    found, scores = ranker.context.retriever.propose(histories, 5)
    exact = plain.context.retriever.score(histories)
    np.testing.assert_allclose(scores, np.take_along_axis(exact, found, 1), rtol=1e-3, atol=1e-3)
