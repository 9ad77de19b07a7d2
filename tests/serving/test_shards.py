"""Rankings of all users as shards: whole, resumable, in memory that does not grow."""

import json
import os
import random
import time

import numpy as np
import pandas as pd
import pytest
from helpers import processes
from helpers.users import users_of

from lkgrag import recommend
from lkgrag.errors import LkgragError
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.shard_files import MANIFEST, shard_name, write_manifest
from lkgrag.serving.shards import BulkRequest, recommend_all, write_shard
from lkgrag.serving.users import GROUP, Users, UsersInMemory


def call(*words):
    recommend.body(dict(word.split("=", 1) for word in words), set())


def options(small_run, out):
    return f"run={small_run[0] / 'out'}", "users=all", f"out={out}/", "k=3", "shard=16"


def table_of(out):
    return pd.concat([pd.read_parquet(p) for p in sorted(out.glob("part-*.parquet"))])


def test_every_user_once_and_as_one_by_one(small_run, tmp_path):
    out = tmp_path / "recs"
    call(*options(small_run, out))
    table = table_of(out)
    # The folder is a table as it stands.
    pd.testing.assert_frame_equal(pd.read_parquet(out), table.reset_index(drop=True))
    ranker = Ranker.from_pretrained(small_run[0] / "out")
    assert table["user"].drop_duplicates().tolist() == ranker.users()
    assert table.groupby("user").size().eq(3).all()
    assert table.groupby("user")["rank"].apply(list).map(lambda r: r == [1, 2, 3]).all()
    assert len(list(out.glob("part-*.parquet"))) == -(-len(ranker.users()) // 16)
    users = ranker.users()[::7]
    for one in ranker.recommend_users(users, k=3):
        rows = table[table["user"] == one.user]
        assert rows["item"].tolist() == [i.item for i in one.items]
        assert rows["title"].tolist() == [i.title for i in one.items]
        # Prompts share a pass with others here and there, which moves the last digits.
        np.testing.assert_allclose(rows["score"], [i.score for i in one.items], atol=1e-4)
        paths = [[p.words for p in i.paths] for i in one.items]
        assert [list(p) for p in rows["paths"]] == paths


def test_what_is_there_is_kept_and_what_is_missing_is_made(small_run, tmp_path, capsys):
    out = tmp_path / "recs [a]"
    call(*options(small_run, out))
    first = table_of(out)
    shards = sorted(out.glob("part-*.parquet"))
    shards[1].unlink()
    before = {p: p.stat().st_mtime_ns for p in shards if p.exists()}
    call(*options(small_run, out))
    assert {p: p.stat().st_mtime_ns for p in before} == before
    pd.testing.assert_frame_equal(table_of(out), first)
    assert f"60 users in 4 shards in {out}" in capsys.readouterr().err


@pytest.mark.parametrize("kill", range(3))
def test_a_killed_call_loses_and_doubles_no_user(small_run, tmp_path, kill):
    out = tmp_path / "recs"
    words = [*options(small_run, out)[:-1], "shard=3"]
    process = processes.Process("lkgrag.recommend", words)
    wanted = random.Random(kill).randint(1, 12)
    while len(list(out.glob("part-*.parquet"))) < wanted and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    there = sorted(out.glob("part-*.parquet"))
    assert wanted <= len(there) < 20
    assert processes.run("lkgrag.recommend", *words).returncode == 0
    users = table_of(out)["user"].drop_duplicates().tolist()
    assert users == Ranker.from_pretrained(small_run[0] / "out").users()
    assert len(table_of(out)) == 3 * len(users)
    assert not list(out.glob(".*.tmp"))


def test_shards_of_something_else_are_refused(small_run, tmp_path):
    out = tmp_path / "recs"
    call(*options(small_run, out))
    given = options(small_run, out)
    with pytest.raises(LkgragError, match="made with k=3, not 2"):
        call(*given[:3], "k=2", given[4])
    with pytest.raises(LkgragError, match="users_per_shard=16, not 8"):
        call(*given[:4], "shard=8")
    manifest = json.loads((out / MANIFEST).read_text())
    (out / MANIFEST).write_text(json.dumps({**manifest, "ranker": "another"}))
    with pytest.raises(LkgragError, match="made with ranker="):
        call(*given)
    (out / MANIFEST).unlink()
    with pytest.raises(LkgragError, match=r"shards but no _manifest\.json"):
        call(*given)


def test_a_manifest_without_a_shard_binds_nobody(tmp_path):
    write_manifest(tmp_path, {"k": 3})
    write_manifest(tmp_path, {"k": 2})
    (tmp_path / shard_name(0, 1)).write_text("")
    with pytest.raises(LkgragError, match="made with k=2, not 3"):
        write_manifest(tmp_path, {"k": 3})


def test_a_shard_cut_short(small_run, tmp_path):
    out = tmp_path / "recs"
    call(*options(small_run, out))
    shard = out / shard_name(2, 4)
    os.truncate(shard, shard.stat().st_size // 2)
    with pytest.raises(
        LkgragError, match=r"part-00002-of-00004\.parquet: broken shard .* delete it"
    ):
        call(*options(small_run, out))
    pd.read_parquet(out / shard_name(1, 4)).iloc[:10].to_parquet(shard)
    with pytest.raises(LkgragError, match="a shard of 4 users, not of 16"):
        call(*options(small_run, out))
    shard.unlink()
    call(*options(small_run, out))
    assert table_of(out)["user"].nunique() == 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["users=all", "format=parquet"], "name it by out=recs/"),
        (["users=u1", "out=recs/"], "users=all"),
        (["users=all", "out=recs/", "format=json"], "leave format=json out, or name a file"),
        (["users=all", "out=recs/", "shard=0"], "'shard'"),
        (["users=all", "out=recs/", "k=1000"], "k=1000: there are"),
        (["users=all", "out=recs/", "candidates=[nobody]"], "nobody"),
        (["users=all", "out=recs/", "candidates=[]"], "candidates: the list is empty"),
    ],
)
def test_options_that_do_not_fit(small_run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LkgragError) as error:
        call(f"run={small_run[0] / 'out'}", *words)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_candidate_named_twice_is_one(small_run, tmp_path):
    call(*options(small_run, tmp_path / "recs"), "candidates=[i3,i3,i4]")
    table = table_of(tmp_path / "recs")
    assert table.groupby("user")["item"].apply(set).eq({"i3", "i4"}).all()
    assert len(table) == 2 * table["user"].nunique()


def test_memory_does_not_grow_with_the_number_of_users(small_run, tmp_path):
    """Peak memory of ranking the same few users of a hundred times as many."""
    import tracemalloc

    ranker = Ranker.from_pretrained(small_run[0] / "out")
    peaks = []
    for num in (GROUP, 100 * GROUP):
        users_of(num).save(tmp_path / f"{num}.parquet")
        tracemalloc.start()
        ranker.context.users = Users(tmp_path / f"{num}.parquet")
        for n in (0, num // 2, num - 40):
            write_shard(ranker, tmp_path / f"{num}-{n}.parquet", range(n, n + 40), BulkRequest(k=3))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_who_has_chosen_everything_has_no_row_and_is_not_missed(small_run, tmp_path):
    ranker = Ranker.from_pretrained(small_run[0] / "out", "cpu")
    items = np.arange(len(ranker.context.catalogue))
    histories = [items, items[:3], items]
    ends = np.cumsum([0, *map(len, histories)])
    flat = np.concatenate(histories)
    rating = np.full(len(flat), np.nan, np.float32)
    ranker.context.users = UsersInMemory(["a", "b", "c"], ends, flat, rating)
    for _ in range(2):
        recommend_all(ranker, tmp_path / "recs", BulkRequest(k=2, explain=False, users_per_shard=2))
    assert table_of(tmp_path / "recs")["user"].tolist() == ["b", "b"]
