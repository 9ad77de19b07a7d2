"""Exclude lists and filters by attribute act before ranking, in Python and in shards."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch_geometric.data import HeteroData

from lkgrag import Ranker
from lkgrag.cli.arguments import parse_list_or_file, parse_mapping
from lkgrag.errors import ConfigError, DataError, RunError
from lkgrag.kg import Names
from lkgrag.serving.attributes import Attributes
from lkgrag.serving.limits import limit
from lkgrag.serving.shards import BulkRequest, recommend_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


def names(found):
    return [item.item for item in found.items]


def makers(ranker, item):
    row = ranker.context.catalogue.ids.index(item)
    return ranker.context.known.read_items()["maker"][row]


def test_excluded_items_are_left_out_before_ranking(ranker, tmp_path):
    history = ranker.context.catalogue.ids[:3]
    whole = names(ranker.recommend(history, k=20, explain=False))
    out = set(whole[::2])
    found = names(ranker.recommend(history, k=10, explain=False, exclude=out))
    assert len(found) == 10
    assert not out & set(found)
    # The others move up: nothing is lost to the list's length, as it would be after ranking.
    assert set(whole[1::2][:5]) <= set(found)
    file = tmp_path / "sold out.txt"
    file.write_text("\ufeff" + "\n\n".join(out) + "\n", encoding="utf-8")
    assert names(ranker.recommend(history, k=10, explain=False, exclude=file)) == found
    for form in (list(out), tuple(out), np.array(list(out)), pd.Series(list(out))):
        assert names(ranker.recommend(history, k=10, explain=False, exclude=form)) == found


def test_titles_are_excluded_as_ids_are(ranker):
    title = ranker.context.catalogue.titles[7]
    allowed = limit(ranker.context, [title]).allowed
    assert np.flatnonzero(~allowed).tolist() == [7]


def test_unknown_items_of_an_exclude_list_are_told(ranker, caplog):
    known = ranker.context.catalogue.ids[0]
    limit(ranker.context, [known, "i999", "gone"])
    assert "2 of 3 items are unknown" in caplog.text
    assert "'i999', 'gone'" in caplog.text
    with pytest.raises(DataError, match=r"exclude: none of 2 items .*'i1x'.* Did you mean 'i1'"):
        limit(ranker.context, ["i1x", "gone"])


@pytest.mark.parametrize("wrong", ["i1", b"i1", {"i1": 1}, 7])
def test_what_is_no_list_is_refused(ranker, wrong):
    with pytest.raises(DataError, match="exclude: takes a list"):
        ranker.recommend([], exclude=wrong)


def test_a_file_that_cannot_be_read_is_named(ranker, tmp_path):
    with pytest.raises(DataError, match=r"gone\.txt: cannot be read"):
        limit(ranker.context, tmp_path / "gone.txt")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"odd\.txt: cannot be read \(it is not UTF-8"):
        limit(ranker.context, tmp_path / "odd.txt")


def test_a_filter_leaves_items_with_the_value(ranker):
    for where in ({"maker": "Maker_3"}, {"has_maker": ["maker_3"]}, {"Maker": [" Maker_3 "]}):
        found = names(ranker.recommend([], k=2, explain=False, where=where))
        assert found
        assert all("Maker_3" in makers(ranker, item) for item in found)
    both = names(ranker.recommend([], k=4, explain=False, where={"maker": ["Maker_3", "Maker_5"]}))
    assert {m for item in both for m in makers(ranker, item)} >= {"Maker_3", "Maker_5"}
    with pytest.raises(
        DataError, match=r"no attribute 'makr'.* Did you mean 'maker'.* There are: maker"
    ):
        ranker.recommend([], where={"makr": "Maker_3"})
    with pytest.raises(DataError, match=r"no item has maker 'Maker_333'.* Did you mean 'Maker_3'"):
        ranker.recommend([], where={"maker": "Maker_333"})
    with pytest.raises(DataError, match="where: takes attributes"):
        ranker.recommend([], where="maker")


def test_too_few_items_are_said_and_not_padded(ranker, caplog):
    where = {"maker": "Maker_3"}
    number = limit(ranker.context, None, where).number
    found = ranker.recommend([], k=10, explain=False, where=where)
    assert len(found.items) == number < 10
    assert f"where: {number} items are left" in caplog.text
    assert "fewer than k=10" in caplog.text
    caplog.clear()
    ranker.recommend([], k=number, explain=False, where=where)
    assert caplog.text == ""
    # Limits that leave everything are not blamed for items that the history leaves out.
    user = ranker.users()[:1]
    for nothing in ({"where": {}}, {"exclude": []}, {"where": {}, "exclude": []}):
        found = ranker.recommend_users(user, k=40, explain=False, **nothing)
        assert len(found[0].items) < 40
    assert caplog.text == ""
    ids = ranker.context.catalogue.ids
    with pytest.raises(DataError, match="exclude: no item of the 40 is left"):
        ranker.recommend([], exclude=ids)
    with pytest.raises(DataError, match="candidates: none of them is left by exclude"):
        ranker.recommend([], candidates=ids[:1], exclude=ids[:1])
    assert names(ranker.recommend([], candidates=ids[:2], exclude=ids[:1])) == ids[1:2]


def test_requests_in_words_keep_to_the_limits(ranker):
    where = {"maker": "Maker_3"}
    found = ranker.recommend([], k=2, request="thing 3", where=where)
    assert all("Maker_3" in makers(ranker, item) for item in names(found))


def test_shards_keep_to_the_limits_and_remember_them(ranker, tmp_path, caplog):
    where = {"maker": ["Maker_3", "Maker_5"]}
    limits = limit(ranker.context, None, where)
    k = limits.number
    recommend_all(ranker, tmp_path, BulkRequest(k=k, explain=False, limits=limits))
    table = pq.read_table(tmp_path).to_pandas()
    for item in set(table["item"]):
        assert {"Maker_3", "Maker_5"} & set(makers(ranker, item))
    users = ranker.users()[:5]
    direct = ranker.recommend_users(users, k=k, explain=False, where=where)
    for user, found in zip(users, direct, strict=True):
        assert table["item"][table["user"] == user].tolist() == names(found)
    assert f"fewer than k={k}" in caplog.text
    caplog.clear()
    everything = BulkRequest(k=40, explain=False, limits=limit(ranker.context, [], {}))
    recommend_all(ranker, tmp_path / "everything", everything)
    assert caplog.text == ""
    with pytest.raises(RunError, match="made with allowed="):
        recommend_all(ranker, tmp_path, BulkRequest(k=k, explain=False))


def test_attributes_of_triples_and_columns():
    data = HeteroData()
    data["item"].num_nodes = 2
    data["director"].name = Names(["A. Person", "é"])
    data["item", "directed_by", "director"].edge_index = torch.tensor([[0, 1], [0, 1]])
    items = pd.DataFrame({"title": ["x", "y"], "class": [["Drama"], ["Sci-Fi", "Drama"]]})
    attributes = Attributes(data, items)
    assert attributes.names == ["genre", "director"]
    for name in ("class", "genre", "has_genre"):
        assert attributes.items(name, "drama").tolist() == [0, 1]
    assert attributes.items("directed_by", "e\u0301").tolist() == [1]
    with pytest.raises(DataError, match=r"Did you mean 'A\. Person'"):
        attributes.items("director", "a. persn")
    assert Attributes(data, None).names == ["director"]


def test_mappings_and_files_on_the_command_line(tmp_path, monkeypatch):
    read = parse_mapping({"where": "{genre: Drama, year: [1994, 007, no], on: '1e3'}"}, "where")
    assert read == {"genre": ["Drama"], "year": ["1994", "007", "no"], "on": ["1e3"]}
    for wrong in (
        "genre",
        "{}",
        "{genre}",
        "{a: {b: c}}",
        "{genre: []}",
        "{genre: Drama",
        "[a]",
        "",
    ):
        with pytest.raises(ConfigError, match="option 'where'"):
            parse_mapping({"where": wrong}, "where")
    monkeypatch.chdir(tmp_path)
    Path("50").write_text("x")
    assert parse_list_or_file({"exclude": "50"}, "exclude") == Path("50")
    assert parse_list_or_file({"exclude": "[50]"}, "exclude") == ["50"]
    assert parse_list_or_file({"exclude": '1,2,"a, b"'}, "exclude") == ["1", "2", "a, b"]
    assert parse_list_or_file({"exclude": "gone.txt"}, "exclude") == Path("gone.txt")
    assert parse_list_or_file({"exclude": "x" * 5000}, "exclude") == ["x" * 5000]
