"""Tables of rankings from a ranker, and files of users and rankings on the command line."""

import io
import json
import sys

import numpy as np
import pandas as pd
import pytest

from lkgrag import Ranker, evaluate, recommend
from lkgrag.errors import ConfigError, DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


def test_a_table_is_what_the_rankings_say(ranker):
    users = ranker.users()[:5]
    table = ranker.recommend_frame(users, k=3)
    assert table.equals(ranker.recommend_users(users, k=3).to_frame())
    assert len(table) == 15
    assert table["explanation"].str.len().min() > 0
    plain = ranker.recommend_frame(users, k=3, explain=False)
    assert set(plain["explanation"]) == {""}
    assert plain["item"].tolist() == table["item"].tolist()


def test_everyone(ranker):
    table = ranker.recommend_frame(k=2, explain=False)
    assert table["user"].drop_duplicates().tolist() == ranker.users()
    assert ranker.recommend_frame("all", k=2, explain=False).equals(table)


def test_the_table_is_of_the_kind_of_the_users(ranker):
    polars = pytest.importorskip("polars")
    first, second = ranker.users()[:2]
    users = polars.Series("id", [second, first, second])
    table = ranker.recommend_frame(users, k=2)
    assert isinstance(table, polars.DataFrame)
    assert table["user"].to_list() == [second, second, first, first]
    assert isinstance(ranker.recommend_frame(users, k=2, frame="pandas"), pd.DataFrame)
    assert isinstance(ranker.recommend_frame([first], k=2, frame="polars"), polars.DataFrame)
    assert isinstance(ranker.recommend_frame(np.array([first]), k=2), pd.DataFrame)


def test_limits_are_passed_on(ranker):
    user = ranker.users()[0]
    best = ranker.recommend_frame([user], k=1)["item"][0]
    assert best not in ranker.recommend_frame([user], k=5, exclude=[best])["item"].tolist()
    only = ranker.recommend_frame([user], k=2, candidates=["i1", "i2"])
    assert set(only["item"]) == {"i1", "i2"}
    with pytest.raises(TypeError, match="candidate"):
        ranker.recommend_frame([user], candidate=["i1"])


@pytest.mark.parametrize("users", [[], ["nobody"], "u1", [None], 5])
def test_wrong_users_are_one_line(ranker, users):
    with pytest.raises(DataError, match="users") as error:
        ranker.recommend_frame(users)
    assert "\n" not in str(error.value)


def test_what_gives_its_elements_once_is_read_once(ranker):
    users = ranker.users()[:3]
    expected = ranker.recommend_frame(users, k=2)
    for once in (iter(users), (u for u in users), map(str, users), dict.fromkeys(users).keys()):
        assert ranker.recommend_frame(once, k=2).equals(expected)
    of_all = ranker.recommend_users(users, candidates=(x for x in ["i1", "i2"]), k=2)
    assert all({i.item for i in one.items} == {"i1", "i2"} for one in of_all)


def test_a_lazy_table_that_fails_is_one_line(ranker):
    polars = pytest.importorskip("polars")
    lazy = polars.DataFrame({"user": ["u1"]}).lazy().select("q")
    with pytest.raises(DataError, match="users: cannot be read as a table") as error:
        ranker.recommend_frame(lazy)
    assert "\n" not in str(error.value)


def test_many_users_are_found_in_one_reading(ranker, monkeypatch):
    users = ranker.users()
    table = ranker.context.users
    alone = [table.index(user) for user in users]
    monkeypatch.setattr(type(table), "find", None)
    assert table.indices([*users, users[0]]) == [*alone, alone[0]]


def test_a_wrong_kind_is_refused_before_anything_is_ranked(ranker):
    with pytest.raises(ConfigError, match="frame: must be one of"):
        ranker.recommend_frame(["nobody"], frame="dask")


def test_columns_of_arrow_are_lists_everywhere(ranker):
    arrow = pytest.importorskip("pyarrow")
    user = ranker.users()[0]
    users = arrow.array([user]).dictionary_encode()
    assert ranker.recommend_users(users, k=2) == ranker.recommend_users([user], k=2)
    items = arrow.array(["i1", "i2"])
    assert ranker.recommend(items, k=2) == ranker.recommend(["i1", "i2"], k=2)


def call(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    status = module.main()
    return status, capsys.readouterr()


@pytest.fixture
def command(run_without_lm, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def go(*arguments, module=recommend):
        return call(module, monkeypatch, capsys, f"run={run_without_lm}", "k=2", *arguments)

    return go


def test_users_from_files(command, ranker, tmp_path):
    first, second = ranker.users()[:2]
    (tmp_path / "a.txt").write_text(f"{second}\n{first}\n{second}\n")
    (tmp_path / "a.csv").write_text(f"age,user_id\n1,{second}\n2,{first}\n")
    pd.DataFrame({"any": [second, first]}).to_parquet(tmp_path / "a.parquet")
    expected = [r.to_dict() for r in ranker.recommend_users([second, first], k=2)]
    for name in ("a.txt", "a.csv", "a.parquet"):
        status, out = command(f"users={name}", "format=json")
        assert status == 0, out.err
        assert json.loads(out.out) == expected
    status, out = command("users=[a.csv]")
    assert status == 2
    assert "no such user" in out.err
    status, out = command("users=b.csv")
    assert (status, out.err.count("\n")) == (2, 1)
    assert "users=b.csv: no such file" in out.err


def test_evaluate_takes_the_same_files(run_without_lm, ranker, monkeypatch, capsys, tmp_path):
    users = ranker.users()[:6]
    pd.DataFrame({"user": users}).to_csv(tmp_path / "u.csv", index=False)
    status, out = call(
        evaluate, monkeypatch, capsys, f"run={run_without_lm}", f"users={tmp_path / 'u.csv'}"
    )
    assert status == 0, out.err
    by_file = out.out
    _, out = call(
        evaluate, monkeypatch, capsys, f"run={run_without_lm}", f"users={','.join(users)}"
    )
    assert out.out == by_file


def test_excluded_items_from_tables(command, ranker, tmp_path):
    user = ranker.users()[0]
    best = ranker.recommend_users([user], k=1)[0].items[0].item
    pd.DataFrame({"movieId": [best], "stock": [0]}).to_parquet(tmp_path / "out.parquet")
    (tmp_path / "out.csv").write_text(f"item,stock\n{best},0\n")
    for name in ("out.parquet", "out.csv"):
        status, out = command(f"users={user}", f"exclude={name}", "format=csv")
        assert status == 0, out.err
        assert best not in pd.read_csv(io.StringIO(out.out))["item"].tolist()


def test_csv_and_parquet_files(command, ranker, tmp_path):
    users = ranker.users()[:3]
    expected = ranker.recommend_frame(users, k=2)
    wanted = f"users={','.join(users)}"
    status, out = command(wanted, "format=csv")
    assert status == 0, out.err
    pd.testing.assert_frame_equal(
        pd.read_csv(io.StringIO(out.out)), expected, check_dtype=False, rtol=0
    )
    for name in ("a.csv", "b.parquet", "c.pq", "d.dat"):
        more = ["format=csv"] if name == "d.dat" else []
        status, out = command(wanted, f"out={name}", *more)
        assert (status, out.out) == (0, "")
    for name in ("a.csv", "d.dat"):
        found = pd.read_csv(tmp_path / name)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0)
    for name in ("b.parquet", "c.pq"):
        assert pd.read_parquet(tmp_path / name).equals(expected)
    status, _ = command("users=all", "out=everyone.parquet")
    assert status == 0
    assert pd.read_parquet(tmp_path / "everyone.parquet")["user"].nunique() == len(ranker.users())
    status, _ = command("history=[i1]", "out=h.csv")
    assert status == 0
    assert pd.read_csv(tmp_path / "h.csv")["user"].isna().all()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_still_takes_shards(command, tmp_path):
    status, _ = command("users=all", "format=parquet", "out=recs")
    assert status == 0
    assert list((tmp_path / "recs").glob("part-*.parquet"))
    status, out = command("users=all", "format=csv", "out=recs")
    assert status == 2
    assert "takes Parquet shards" in out.err
    status, out = command("users=u1,u2", "format=parquet", "out=some")
    assert status == 2
    assert "name a file, as out=recs.parquet" in out.err
    status, out = command("users=u1", "format=parquet")
    assert status == 2
    assert "out=recs.parquet" in out.err
