"""MovieLens and Amazon layouts: small files of each kind, and the counts of the real ones."""

import gzip
import importlib
import json

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import find_reader, read_tables, register_reader
from lkgrag.data.readers.movielens import split_year
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg import build_kg

LOOSE = {"min_user": 1, "min_item": 1}


def read(folder, **options):
    config = DataConfig(root=str(folder), **{**LOOSE, **options})
    return Interactions.from_tables(read_tables(config)[0], config)


@pytest.fixture
def movielens(tmp_path):
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\n1,1,4.0,10\n1,2,3.5,11\n2,1,5.0,12\n"
    )
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\n1,"Heat, The (1995)",Action|Crime\n2,Up,(no genres listed)\n'
    )
    return tmp_path


def test_movielens_csv(movielens):
    (movielens / "movies_metadata.csv").write_text(",movieId,directors,actors\n0,1,A B,C|D\n")
    (movielens / "tags.csv").write_text(
        "userId,movieId,tag,timestamp\n1,1,Slow,1\n2,1,slow,1\n2,1,mine,1\n"
    )
    x = read(movielens)
    assert x.titles == ["Heat, The", "Up"]
    row = x.items.iloc[0]
    assert row["genre"] == ["Action", "Crime"]
    assert row["year"] == ["1995"]
    assert row["director"] == ["A B"]
    assert row["actor"] == ["C", "D"]
    assert row["tag"] == ["slow"]
    assert x.items.iloc[1][["genre", "year", "director", "tag"]].tolist() == [[], [], [], []]
    assert split_year(pd.Series(["S (1999-2003)"])) == (
        ["S"],
        [["1999"]],
    )


def test_movielens_ratings_alone(movielens):
    (movielens / "movies.csv").unlink()
    x = read(movielens)
    assert x.titles == ["1", "2"]
    (movielens / "movies_metadata.csv").write_text("movieId,directors,actors\n1,A B,\n")
    assert read(movielens).items["director"].tolist() == [["A B"], []]
    # Columns of other names are those of a plain table.
    (movielens / "ratings.csv").write_text("user,item,rating,time\n1,1,4.0,10\n")
    (movielens / "movies_metadata.csv").unlink()
    assert find_reader(movielens, DataConfig()).name == "table"
    assert read(movielens).time.tolist() == [10]


def test_a_wrong_header_tells_which_reader_was_chosen_and_why(movielens):
    (movielens / "ratings.csv").write_text("userId,movieId,score\n1,1,4.0\n")
    with pytest.raises(DataError) as error:
        read(movielens)
    words = [
        "ratings.csv: line 1 has no column 'rating'",
        "The reader 'movielens' was chosen because of",
    ]
    assert all(word in str(error.value) for word in [*words, "data.reader=table"])
    assert read(movielens, reader="table").rating.tolist() == [4]
    (movielens / "ratings.csv").write_text("who,what\n1,1\n")
    with pytest.raises(DataError, match=r"Columns there: who, what; name yours by data\.columns"):
        read(movielens)
    with pytest.raises(
        DataError, match=r"no column 'userId'.* was chosen by data\.reader=movielens"
    ):
        read(movielens, reader="movielens")


def test_tags_can_be_left_out(movielens):
    (movielens / "tags.csv").write_text("userId,movieId,tag,timestamp\n1,1,slow,1\n2,1,slow,1\n")
    x = read(movielens)
    end = np.diff(x.indptr)
    assert "tag" in build_kg(x, end, KGConfig()).node_types
    assert "tag" not in build_kg(x, end, KGConfig(exclude=["has_tag"])).node_types


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_movielens_100k(tmp_path, encoding):
    (tmp_path / "u.data").write_text("1\t1\t5\t10\n1\t2\t3\t11\n")
    flags = "|".join("1" if n in (1, 18) else "0" for n in range(19))
    (tmp_path / "u.item").write_bytes(f"1|Caf\xe9 (1995)|d||u|{flags}\n".encode(encoding))
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    x = read(tmp_path)
    assert x.titles == ["Café", "2"]
    assert x.items["genre"].tolist() == [["Action", "Western"], []]
    assert x.users.iloc[0].to_dict() == {
        "gender": ["M"],
        "occupation": ["technician"],
        "age": ["20s"],
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
def test_movielens_dat(tmp_path, encoding):
    (tmp_path / "ratings.dat").write_text("1::1::5::10\n1::2::3::11\n")
    (tmp_path / "movies.dat").write_bytes("1::Caf\xe9: A (1995)::Drama\n".encode(encoding))
    (tmp_path / "users.dat").write_text("1::F::56::16::70072\n")
    x = read(tmp_path)
    assert x.titles == ["Café: A", "2"]
    assert x.users.iloc[0]["age"] == ["56 or older"]


META = (
    '{"asin": "A", "title": "One", "brand": "X", "categories": [["Beauty", "P", "Q"]], '
    '"related": {"also_bought": ["B", "Z"], "bought_together": ["B"]}}\n'
    "{'asin': 'B', 'title': \"It's\", 'categories': [['Beauty', 'P']]}\n"
    "{'asin': 'Z', 'title': 'unknown to the ratings'}\n"
)


@pytest.fixture
def amazon(tmp_path):
    (tmp_path / "ratings_Toy.csv").write_text("u,A,5.0,1\nu,B,,2\nv,A,3.0,3\n")
    with gzip.open(tmp_path / "meta_Toy.json.gz", "wt") as file:
        file.write(META)
    return tmp_path


def test_amazon_reads_json_and_python_literals(amazon):
    x = read(amazon)
    assert x.titles == ["One", "It's"]
    assert x.items["category"].tolist() == [["P", "Q"], ["P"]]
    assert x.items["brand"].tolist() == [["X"], []]
    assert sorted(map(tuple, x.triples.values)) == [
        ("A", "also_bought", "B"),
        ("A", "bought_together", "B"),
    ]
    assert x.rating[1] != x.rating[1]


@pytest.mark.parametrize("packed", [False, True])
def test_amazon_reviews(tmp_path, packed):
    lines = [
        {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1400000000},
        {"reviewerID": "A1", "asin": "B2", "overall": 3, "reviewText": "x\n,"},
        "",
        {"reviewerID": "A2", "asin": "B1", "overall": None, "unixReviewTime": 1300000000},
    ]
    text = "\n".join(json.dumps(x) if x else x for x in lines)
    file = tmp_path / ("reviews_X_5.json.gz" if packed else "reviews_X_5.json")
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (tmp_path / "meta_X.json").write_text("{'asin': 'B1', 'title': 'One'}\n")
    x = read(tmp_path)
    assert x.titles == ["One", "B2"]
    # What has no time comes first.
    assert x.sequence(0).tolist() == [1, 0]
    np.testing.assert_array_equal(x.rating, np.array([3, 5, np.nan], np.float32))
    # Ratings are the same, in less.
    (tmp_path / "ratings_X.csv").write_text("A9,B1,1.0,1400000000\n")
    assert read(tmp_path).user_ids == ["A9"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"asin": "B1"}', "line 2: no 'reviewerID'"),
        ('{"reviewerID": "A", "asin": 1}', "line 2: no 'asin', or not a string"),
        ('{"reviewerID": "A", "asin": "B", "overall": "x"}', "line 2, field 'overall': 'x'"),
        ('{"reviewerID": "A", "asin": "B", "unixReviewTime": [1]}', "line 2, field 'unixReview"),
        ("__import__('os')", "line 2: neither JSON nor"),
    ],
)
def test_broken_amazon_reviews(tmp_path, line, words):
    good = '{"reviewerID": "A", "asin": "B"}'
    (tmp_path / "reviews_X.json").write_text(f"{good}\n{line}\n")
    with pytest.raises(DataError, match=r"reviews_X\.json") as error:
        read(tmp_path)
    assert words in str(error.value)


def test_amazon_names_are_text_and_not_html(tmp_path):
    (tmp_path / "ratings_Toy.csv").write_text("u,A,5.0,1\nu,B,5.0,2\n")
    first = {"asin": "A", "title": "Cr&egrave;me &amp; Wash", "brand": "Burt&#39;s Bees"}
    second = {
        "asin": "B",
        "title": "&lt;b&gt;",
        "brand": "Burt's Bees",
        "categories": [["", "A &amp; B"]],
    }
    (tmp_path / "meta_Toy.json").write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    x = read(tmp_path)
    assert x.titles == ["Crème & Wash", "<b>"]
    assert x.items["brand"].tolist() == [["Burt's Bees"], ["Burt's Bees"]]
    assert x.items["category"].tolist() == [[], ["A & B"]]


def test_amazon_metadata_is_data_and_never_run(amazon, tmp_path):
    flag = tmp_path / "ran"
    with gzip.open(tmp_path / "meta_Toy.json.gz", "wt") as file:
        file.write(f"__import__('pathlib').Path({str(flag)!r}).touch()\n")
    with pytest.raises(DataError, match="line 1: neither JSON nor a Python literal"):
        read(amazon)
    assert not flag.exists()


def test_a_truncated_gzip_is_named(amazon, tmp_path):
    path = tmp_path / "meta_Toy.json.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"meta_Toy.*gzip"):
        read(amazon)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ratings.csv", b"", ["empty"]),
        ("ratings.csv", b"userId,movieId,rating\n1,1,1\n", ["line 1", "timestamp"]),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,1,x,1\n", ["line 2", "rating"]),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,1,1,inf\n", ["line 2", "timestamp"]),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,1,1\n", ["line 2", "3 fields"]),
        ("ratings.csv", b"userId,movieId,rating,timestamp\n1,\xff,1,1\n", ["line 2", "UTF-8"]),
        ("ratings.csv", b"\x89PNG\r\n\x1a\n\0\0", ["ratings.csv"]),
        ("movies.csv", b'movieId,title,genres\n1,"open,x\n', ["movies.csv", "CSV"]),
        ("movies.csv", b"movieId,name,genres\n1,a,b\n", ["title"]),
    ],
)
def test_broken_movielens_files(movielens, name, content, words):
    (movielens / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read(movielens)
    assert all(word in str(error.value) for word in [name, *words]), str(error.value)


def test_a_title_may_be_as_long_as_a_line(movielens):
    (movielens / "movies.csv").write_text(f"movieId,title,genres\n1,{'x' * 200_000},a\n")
    assert len(read(movielens).titles[0]) == 200_000


def test_an_unknown_layout_tells_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"notes\.txt"):
        find_reader(tmp_path, DataConfig())
    with pytest.raises(ConfigError, match="movielens"):
        find_reader(tmp_path, DataConfig(reader="movilens"))


def test_counts_of_ml_latest_small(shared_data):
    x = read(shared_data / "ml-latest-small", name="ml-latest-small", min_user=5, min_item=5)
    assert (x.num_users, x.num_items, len(x)) == (610, 3650, 90274)
    counts = {k: sum(map(len, x.items[k])) for k in ("year", "director", "actor")}
    assert counts == {"year": 3650, "director": 3344, "actor": 9220}


def test_counts_of_amazon_beauty(shared_data):
    x = read(
        shared_data / "amazon-beauty", name="amazon-beauty", min_user=5, min_item=5, untitled="drop"
    )
    assert (x.num_users, x.num_items, len(x)) == (22332, 12086, 198215)
    assert sum(map(len, x.items["brand"])) == 9995
    inside = x.triples["head"].isin(x.item_ids) & x.triples["tail"].isin(x.item_ids)
    assert x.triples[inside]["relation"].value_counts().to_dict() == {
        "also_bought": 239078,
        "also_viewed": 155103,
        "bought_together": 9009,
    }


def test_the_preset_of_amazon_games_on_files_of_the_official_layout(tmp_path):
    from lkgrag.config.loading import load_config
    from lkgrag.run.stages import load_dataset

    users, items = range(8), range(6)
    rows = [
        f"A{u},B{i:03},{1 + (u + i) % 5}.0,{1_300_000_000 + 86_400 * (10 * u + i)}"
        for u in users
        for i in items
    ]
    (tmp_path / "ratings_Video_Games.csv").write_text("\n".join(rows) + "\n")
    with gzip.open(tmp_path / "meta_Video_Games.json.gz", "wt") as file:
        for i in items:
            # As in the official files: Python literals, one without a title.
            title = "" if i == 5 else f"'title': 'Game {i}, Gold', "
            file.write(
                f"{{'asin': 'B{i:03}', {title}'categories': [['Video Games', 'PC', 'Games']], "
                f"'related': {{'also_bought': ['B{(i + 1) % 6:03}', 'ELSEWHERE']}}, 'price': 9.99}}\n"
            )
    config = load_config({"preset": "amazon-games", "data.root": str(tmp_path)})
    assert config.retrieval.crossfit_window == 1
    x = load_dataset(config).interactions
    assert (x.num_users, x.num_items) == (8, 5)
    assert x.titles[0] == "Game 0, Gold"
    assert set(x.triples["relation"]) == {"also_bought"}


READER = """
from lkgrag.data import Tables
from lkgrag.data.readers import Reader

class Mine(Reader):
    name = "mine"

    def files(self, folder, config):
        return [folder / "mine.txt"]

    def read(self, folder, config):
        return Tables(None)
"""


def test_a_reader_that_was_edited_gives_other_data(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine.txt").write_text("the same")
    monkeypatch.setattr("lkgrag.data.readers.resolver._REGISTERED", {})
    found = []
    for number, code in enumerate((READER, READER, READER + "# edited\n")):
        (tmp_path / f"my_reader_{number}.py").write_text(code)
        register_reader(importlib.import_module(f"my_reader_{number}").Mine())
        found.append(read_tables(DataConfig(root=str(tmp_path), reader="mine"))[1])
    assert found[0] == found[1]
    assert found[2] != found[0]
    # By its class no reader needs to be registered.
    named = DataConfig(root=str(tmp_path), reader="my_reader_2:Mine")
    assert read_tables(named)[1] == found[2]
    with pytest.raises(ConfigError, match=r"data\.reader=my_reader_2:Tables.*no subclass"):
        read_tables(DataConfig(root=str(tmp_path), reader="my_reader_2:Tables"))
