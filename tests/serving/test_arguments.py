"""What a ranker is asked with: lists that are texts, types that do not fit, spellings, and who was dropped."""

import io
import json
import os
import subprocess
import sys
import unicodedata
from collections import deque
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lkgrag import Ranker, evaluate, recommend, train
from lkgrag.data.cleaning.lists import id_list, list_of
from lkgrag.data.dropped import Dropped
from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.users import UsersInMemory
from lkgrag.utils.console import PlainConsole

NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    "text", ["12", "", b"12", bytearray(b"12"), None, 12, 1.5, {"a": 1}, object()]
)
def test_what_is_no_list_is_refused(text):
    for read in (list_of, id_list):
        with pytest.raises(DataError, match=r"history: must be a list, as \[1\]"):
            read(text, "history", "[1]")


def test_what_is_a_list_is_read():
    for values in (
        [1, 2],
        (1, 2),
        np.array([1, 2]),
        pd.Series([1, 2]),
        pd.Index([1, 2]),
        range(1, 3),
    ):
        assert id_list(values, "x", "[1]") == ["1", "2"]
    assert id_list(iter(["1", 2.0]), "x", "[1]") == ["1", "2"]
    assert id_list(deque([Decimal(1), b"2"]), "x", "[1]") == ["1", "2"]
    assert id_list({"1": 0}.keys(), "x", "[1]") == ["1"]
    assert id_list({"1"}, "x", "[1]") == ["1"]
    with pytest.raises(DataError, match="a set has no order"):
        id_list({"1"}, "x", "[1]", is_ordered=True)
    for values, words in (
        ([None], "element 1 is empty"),
        (["a", ""], "element 2 is empty"),
        ([float("nan")], "element 1 is empty"),
        ([True], "bool"),
        ([1.5], "no whole number"),
        ([["a"]], "list"),
        ([b"\xff"], "UTF-8"),
        (np.zeros((2, 2)), "dimensions"),
    ):
        with pytest.raises(DataError, match=words):
            id_list(values, "x", "[1]")


def test_an_id_that_is_a_title_too_is_told_once(caplog):
    catalogue = Catalogue(["300", "7", "8"], ["Heat", "300", "Alien"])
    for _ in range(3):
        assert catalogue.index(["300"], "history").tolist() == [0]
    (record,) = caplog.records
    for words in ("'300'", "'Heat'", "7", "the id counts"):
        assert words in record.getMessage()
    caplog.clear()
    # The same item's own title is no other one.
    assert Catalogue(["a"], ["a"]).index(["a"], "history").tolist() == [0]
    assert not caplog.records


def test_both_spellings_find_items_and_users(tmp_path):
    for given, asked in ((NFC, NFD), (NFD, NFC)):
        catalogue = Catalogue(["1", given], [given, "B"])
        assert catalogue.index([asked], "history").tolist() == [1]
        titled = Catalogue(["1", "2"], [given, "B"])
        assert titled.index([asked], "history").tolist() == [0]
        users = UsersInMemory(["u", given], np.array([0, 0, 1]), np.array([0]), np.zeros(1, "f4"))
        users.save(tmp_path / "users.parquet")
        from lkgrag.serving.users import Users

        for table in (users, Users(tmp_path / "users.parquet")):
            assert table.find(asked) == table.find(given) == 1
            assert table.find("x\u0301") == -1


def test_the_dropped_are_named():
    dropped = Dropped({"u7": 3}, {"i9": 2}, {"Rare": "i9"})
    users = UsersInMemory(["u1"], np.array([0, 0]), np.array([], int), np.array([], "f4"))
    with pytest.raises(
        DataError, match=r"u7 has 3 interactions, data\.min_user is 5; rank by history"
    ):
        users.index("u7", dropped, 5)
    with pytest.raises(DataError, match="no such user"):
        users.index("u8", dropped, 5)
    catalogue = Catalogue(["i1"], ["One"])
    for name in ("i9", "Rare"):
        with pytest.raises(DataError, match=f"{name} has 2 interactions, data.min_item is 5"):
            catalogue.index([name], "history", dropped, 5)
    with pytest.raises(DataError, match="no item"):
        catalogue.index(["i8"], "history", dropped, 5)


def test_a_stream_that_cannot_show_a_title_shows_another_character():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    console = PlainConsole(file=stream, width=80)
    console.print("Amélie 映画 → ok")
    assert stream.buffer.getvalue().decode().strip() == "Am?lie ?? ? ok"
    wide = io.StringIO()
    PlainConsole(file=wide, width=80).print("Amélie")
    assert wide.getvalue() == "Amélie\n"
    assert isinstance(PlainConsole(), Console)


@pytest.fixture(scope="module")
def served(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


WRONG = [
    {"history": "12"},
    {"history": "i3"},
    {"history": b"i3"},
    {"history": None},
    {"history": 3},
    {"history": {"i3"}},
    {"history": {"i3": 1}},
    {"history": [None]},
    {"history": ["i3", ["i4"]]},
    {"history": [3.5]},
    {"history": ["i3"], "candidates": "i4"},
    {"history": ["i3"], "candidates": []},
    {"history": ["i3"], "candidates": 4},
    {"history": ["i3"], "k": "5"},
    {"history": ["i3"], "k": 2.0},
    {"history": ["i3"], "k": None},
    {"history": ["i3"], "k": True},
    {"history": ["i3"], "k": [5]},
    {"history": ["i3"], "k": np.timedelta64(5)},
    {"history": [np.timedelta64(3)]},
    {"history": ["i3"], "ratings": [np.timedelta64(5, "s")]},
    {"history": ["i3"], "ratings": [np.complex64(5)]},
    {"history": ["i3"], "request": "thing", "weight": np.timedelta64(2)},
    {"history": ["i3"], "request": "thing", "weight": np.complex128(2)},
    {"history": ["i3"], "explain": "yes"},
    {"history": ["i3"], "explain": 2},
    {"history": ["i3"], "ratings": "5"},
    {"history": ["i3"], "ratings": 5},
    {"history": ["i3"], "ratings": ["good"]},
    {"history": ["i3"], "ratings": [True]},
    {"history": ["i3"], "ratings": [float("inf")]},
    {"history": ["i3"], "ratings": [5, 4]},
    {"history": ["i3"], "ratings": [1e39]},
    {"history": ["i3"], "ratings": [10**400]},
    {"history": ["i3"], "diversity": 10**400},
    {"history": ["i3"], "request": "thing", "weight": 10**400},
    {"history": ["i3"], "k": 10**400},
    {"history": ["i3"], "request": 5},
    {"history": ["i3"], "request": ["a"]},
    {"history": ["i3"], "request": "thing", "weight": "2"},
    {"history": ["i3"], "request": "thing", "weight": True},
    {"history": ["i3"], "request": "thing", "weight": [1]},
    {"history": ["i3"], "request": "thing", "weight": float("nan")},
]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_wrong_types_are_our_errors(served, arguments):
    with pytest.raises(LkgragError) as error:
        served.recommend(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["no", "yes", 1, None])
def test_switches_are_no_texts(served, tmp_path, value):
    with pytest.raises(LkgragError, match="histories: must be True or False"):
        served.save_pretrained(tmp_path / "out", histories=value)
    with pytest.raises(LkgragError, match="histories: must be True or False"):
        served.push_to_hub("a/b", histories=value)
    assert not (tmp_path / "out").exists()
    if value is not None:
        with pytest.raises(LkgragError, match="private: must be True, False or None"):
            served.push_to_hub("a/b", private=value)
    with pytest.raises(LkgragError, match="token: must be a text"):
        served.push_to_hub("a/b", token=5)


@pytest.mark.slow
def test_users_are_a_list(served, run_without_lm):
    first, second = served.users()[:2]
    for users in ("12", first, [], (), None, 3, {first: 1}, [None], [b"\xff"]):
        with pytest.raises(LkgragError, match="users"):
            served.recommend_users(users)
        if users is not None:
            with pytest.raises(LkgragError, match="users"):
                evaluate(run_without_lm, users=users)
    both = served.recommend_users(np.array([first, second]), k=2)
    assert [r.user for r in both] == [first, second]
    for folder in (3, None, b"x", "a\0b"):
        with pytest.raises(LkgragError):
            Ranker.from_pretrained(folder)
    for lm in ("maybe", 3, ["never"]):
        with pytest.raises(ConfigError, match=r"serving\.lm"):
            Ranker.from_pretrained(run_without_lm, lm=lm)
    for device in (3.5, "gpu?", []):
        with pytest.raises(LkgragError, match="device"):
            Ranker.from_pretrained(run_without_lm, device=device)


def call(module, monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    status = module.main()
    return status, capsys.readouterr()


@pytest.mark.slow
@pytest.mark.parametrize("users", ["users=", "users=[]", "users= ", "users=[ ]"])
def test_no_user_is_refused(run_without_lm, monkeypatch, capsys, users):
    for module in (recommend, evaluate):
        status, out = call(module, monkeypatch, capsys, f"run={run_without_lm}", users)
        assert status == 2
        assert "'users': there is no user" in out.err


@pytest.mark.slow
def test_home_in_the_paths_of_commands(run_without_lm, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(run_without_lm.parent))
    monkeypatch.chdir(tmp_path)
    run = f"run=~/{run_without_lm.name}"
    status, _ = call(
        recommend, monkeypatch, capsys, run, "history=[i3]", "k=2", "format=json", "out=~/x.json"
    )
    assert status == 0
    assert json.loads((run_without_lm.parent / "x.json").read_text())[0]["format"] == 1
    status, out = call(recommend, monkeypatch, capsys, run, "users=all", "k=2", "out=~/recs/")
    assert status == 0, out.err
    assert list((run_without_lm.parent / "recs").glob("part-*.parquet"))
    assert Ranker.from_pretrained(f"~/{run_without_lm.name}").users()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_terminals_that_show_less(run_without_lm):
    """Letters that a terminal lacks are escaped in JSON, and replaced in text; a closed stdout is no traceback."""
    import shutil

    folder = run_without_lm.parent / "accents"
    shutil.copytree(run_without_lm, folder, dirs_exist_ok=True)
    table = pd.read_parquet(folder / "ranker" / "catalogue.parquet")
    table["title"] = [f"Amélie {n} 映画" for n in range(len(table))]
    table.to_parquet(folder / "ranker" / "catalogue.parquet", index=False)
    (folder / "ranker" / "done.json").unlink(missing_ok=True)

    def command(*more, shell=""):
        line = [
            sys.executable,
            "-m",
            "lkgrag.recommend",
            f"run={folder}",
            "history=[i3]",
            "k=2",
            *more,
        ]
        env = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
        text = " ".join(f"'{word}'" for word in line) + f" {shell}"
        return subprocess.run(text, shell=True, capture_output=True, env=env, check=False)

    done = command("format=json")
    assert done.returncode == 0, done.stderr
    assert "Amélie" in json.loads(done.stdout)[0]["items"][0]["title"]
    done = command()
    assert done.returncode == 0, done.stderr
    assert b"Am?lie" in done.stdout
    done = command(shell=">&-")
    assert done.returncode == 2
    assert b"stdout is closed" in done.stderr
    assert b"Traceback" not in done.stderr
    done = command(f"out={folder}/x.txt", shell=">&- 2>&-")
    assert done.returncode == 0
    assert "Amélie" in (folder / "x.txt").read_text()


@pytest.mark.slow
def test_a_run_tells_of_names_and_the_dropped(tmp_path, monkeypatch, capsys):
    """A whole run on a folder with names of the graph's own, and users and items that are dropped."""
    from helpers.small_run import small_options

    options = {**small_options(tmp_path), "llm.name": "none", "retrieval.epochs": "1"}
    file = tmp_path / "shop.item"
    head, *rows = file.read_text().splitlines()
    names = ("rated", "merged", "metadata", "followed_by", "rev_rated", "x")
    head += "".join(f"\t{name}:token" for name in names)
    rows = [row + "".join(f"\t{n}{k % 3}" for n in names) for k, row in enumerate(rows)]
    file.write_text("\n".join([head, *rows]) + "\n")
    with open(tmp_path / "shop.inter", "a") as inter:
        inter.write("newcomer\ti1\t5\t1400000000\n")
    options |= {"data.min_user": "3", "evaluation.ks": "[5]", "training.max_examples": "8"}
    status, out = call(train, monkeypatch, capsys, *(f"{k}={v}" for k, v in options.items()))
    assert status == 0, out.err
    assert "has the rated" in out.out
    assert "no language model" in out.out
    assert "LoRA" not in out.out
    tables = [line for line in out.out.splitlines() if line.startswith((" ranker ", " retriever "))]
    assert tables
    assert not any(" - " in f"{line} " for line in tables)
    run = f"run={options['out']}"
    for module in (recommend, evaluate):
        status, out = call(module, monkeypatch, capsys, run, "users=newcomer")
        assert status == 2
        assert "newcomer has 1 interaction, data.min_user is 3" in out.err
    assert unicodedata.normalize("NFC", NFD) == NFC
