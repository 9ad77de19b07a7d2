"""A header that the wrong reader gets, and columns of files that nobody reads."""

import pytest

from lkgrag.config import DataConfig
from lkgrag.data.interactions import Interactions
from lkgrag.data.readers import read_tables
from lkgrag.errors import DataError

ROWS = "1,2,4,1000000000\n2,3,5,1000000001\n"


def refuse(folder, **options):
    with pytest.raises(DataError) as error:
        read_tables(DataConfig(name="shop", root=str(folder), **options))
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("name", "separator"), [("u.data", "\t"), ("ratings.dat", "::")])
def test_a_header_where_none_is_read(tmp_path, name, separator):
    table = "UserID,MovieID,Rating,Timestamp\n" + ROWS
    (tmp_path / name).write_text(table.replace(",", separator))
    text = refuse(tmp_path)
    for words in ("line 1 is a header", "UserID, MovieID", "user, item, rating, time", name):
        assert words in text
    assert "data.reader=" in text
    assert f"chosen because of {name}" in text


def test_a_header_of_other_names_tells_the_reader_and_its_names(tmp_path):
    (tmp_path / "ratings.csv").write_text("Who,What,Stars,When\n" + ROWS)
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n2,A,x\n")
    text = refuse(tmp_path)
    for words in ("no column is known as the user", "Who, What", "data.columns={user: ...}"):
        assert words in text
    text = refuse(tmp_path, reader="movielens")
    for words in ("'userId'", "needed: userId, movieId", "chosen by data.reader=movielens"):
        assert words in text


@pytest.mark.parametrize("name", ["ratings_A.csv", "ratings.csv"])
def test_usual_headers_are_read_by_any_name(tmp_path, name):
    (tmp_path / name).write_text("UserID,MovieID,Rating,Timestamp\n" + ROWS)
    events = read_tables(DataConfig(name="shop", root=str(tmp_path)))[0].interactions
    assert events["user"].tolist() == ["1", "2"]
    assert events["item"].tolist() == ["2", "3"]


def test_columns_of_atomic_files_that_are_not_read_are_named(tmp_path, caplog):
    rows = "".join(f"u{n % 2}\ti{n}\t{n}\t{n}\n" for n in range(4))
    (tmp_path / "shop.inter").write_text(
        "user_id:token\titem_id:token\tTimestamp:float\tstars:float\n" + rows
    )
    (tmp_path / "shop.item").write_text(
        "item_id:token\titem:token\n" + "".join(f"i{n}\tx\n" for n in range(4))
    )
    tables, _ = read_tables(DataConfig(name="shop", root=str(tmp_path)))
    text = caplog.text
    assert "'Timestamp' looks like the time" in text
    assert "data.columns={time: Timestamp}" in text
    assert "'stars' looks like the rating" in text
    assert "the column 'item' is not used" in text
    assert len(Interactions.from_tables(tables, DataConfig(min_user=1, min_item=1))) == 4
