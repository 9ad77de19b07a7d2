"""Ids from files: lines of text, and columns of tables."""

import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from lkgrag.cli.arguments import ID_FILES, parse_users
from lkgrag.data.id_files import read_ids
from lkgrag.data.readers.formats import FORMATS
from lkgrag.errors import DataError


def test_the_command_line_knows_every_format():
    assert set(ID_FILES) == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "7\n\n 8 \n7\n"),
        ("a.csv", "7\n8\n7\n"),
        ("a.csv", "user\n7\n8\n"),
        ("a.csv", "Users\n7\n8\n"),
        ("a.csv", "\ufeffuser_id\r\n7\r\n8\r\n"),
        ("a.csv", "age,userId\n7,7\n9,8\n"),
        ("a.csv", "age;id\n30;7\n40;8\n"),
        ("a.tsv", "CustomerID\tcountry\n7\tDE\n8\tFR\n"),
        ("a.jsonl", '{"user": 7}\n{"user": "8"}\n'),
        ("a.json", '[{"uid": 7, "x": 1}, {"uid": 8, "x": 2}]'),
    ],
)
def test_ids_are_read_once_each_in_their_order(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert read_ids(path, "user", "users") == ["7", "8"]
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read_ids(packed, "user", "users") == ["7", "8"]


def test_a_line_of_text_is_an_id_whatever_it_holds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text('user\nSaint, The (1997)\n"quoted"\n')
    assert read_ids(path, "user", "users") == ["user", "Saint, The (1997)", '"quoted"']


@pytest.mark.parametrize("column", [[7, 8], ["7", "8"], [7.0, 8.0], pd.Categorical(["7", "8"])])
def test_parquet_and_arrow(tmp_path, column):
    frame = pd.DataFrame({"user": column, "n": [1, 2]})
    frame.to_parquet(tmp_path / "a.parquet")
    pyarrow.feather.write_feather(pa.Table.from_pandas(frame), str(tmp_path / "a.arrow"))
    frame[["user"]].rename(columns={"user": "any"}).to_parquet(tmp_path / "b.parquet")
    for name in ("a.parquet", "a.arrow", "b.parquet"):
        assert read_ids(tmp_path / name, "user", "users") == ["7", "8"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "a,b\n1,2\n",
            "users=.*a.csv: no column is known as the user. Columns there: a, b",
        ),
        ("a.csv", "user,n\n1,2\n,3\n", "a.csv: line 3, field 'user': the id is empty"),
        ("a.csv", "user,n\n1\n", "a.csv: line 2: 1 field where there should be 2"),
        ("a.csv", "user\n", "there is no user in it"),
        ("a.csv", "", "empty"),
        ("a.txt", "\n \n", "there is no user in it"),
        ("a.parquet", "user\n1\n", "no Parquet file"),
        ("a.jsonl", '{"user": 1.5}\n', "1.5' is no whole number"),
        ("a.jsonl", '{"user": 1}\n{"x": 1}\n', "line 2, field 'user': the id is empty"),
        ("a.xlsx", "x", "not one of the files that are read"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message) as error:
        read_ids(path, "user", "users")
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file; give a file with one user a line"):
        read_ids(tmp_path / "a.csv", "user", "users")
    with pytest.raises(DataError, match="a folder, not a file"):
        read_ids(tmp_path, "user", "users")


def test_what_the_command_line_takes_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def parse(text):
        found = parse_users({"users": text})
        return found if isinstance(found, list | None) else str(found)

    assert parse("all") is None
    assert parse(" a.csv ") == "a.csv"
    assert parse("x/A.PARQUET") == "x/A.PARQUET"
    assert parse("a.csv.gz") == "a.csv.gz"
    assert parse("[a.csv]") == ["a.csv"]
    assert parse("a.csv,b.csv") == ["a.csv", "b.csv"]
    (tmp_path / "a,b.csv").write_text("1\n")
    assert parse("a,b.csv") == "a,b.csv"
    # A file that happens to have the name of a user is not read.
    (tmp_path / "1").write_text("2\n")
    assert parse("1") == ["1"]
    assert parse("x/1") == ["x/1"]
