"""Plain tables: which file is what, which column is what, and what is told of it."""

import gzip

import pandas as pd
import pyarrow as pa
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.readers import find_reader, read_tables
from lkgrag.data.readers.attribute_columns import attribute_columns
from lkgrag.data.readers.column_names import usual_columns
from lkgrag.errors import ConfigError, DataError

ROWS = "ann,mug,5,100\nann,tea,3,200\nbo,mug,4,100\n"


def read(folder, **options):
    config = DataConfig(
        **{"name": "shop", "root": str(folder), "min_user": 1, "min_item": 1, **options}
    )
    return Interactions.from_tables(read_tables(config)[0], config)


def check(x):
    assert x.user_ids == ["ann", "bo"]
    assert [x.item_ids[i] for i in x.item] == ["mug", "tea", "mug"]
    assert x.rating.tolist() == [5, 3, 4]
    assert x.time.tolist() == [100, 200, 100]


@pytest.mark.parametrize(
    "header",
    [
        "user,item,rating,time",
        "UserID,ItemID,Rating,Timestamp",
        "user_id,item_id,score,ts",
        "Customer ID,Product-Code,STARS,Event_Time",
        "reviewerID,asin,overall,unixReviewTime",
        "visitorid,itemid,rating,timestamp",
        "uid,sku,rating,created_at",
        "User-ID,ISBN,Book-Rating,unix_time",
    ],
)
def test_usual_names_in_any_case_are_known(tmp_path, header):
    (tmp_path / "clicks.csv").write_text(f"{header}\n{ROWS}")
    x = read(tmp_path)
    check(x)
    columns = header.split(",")
    told = f"clicks.csv: user is {columns[0]}, item is {columns[1]}, rating is {columns[2]}, time is {columns[3]}"
    assert x.stats["notes"] == [told]


def test_names_of_columns_decide(tmp_path):
    (tmp_path / "clicks.csv").write_text(f"who,what,how,when\n{ROWS}")
    with pytest.raises(
        DataError, match=r"clicks\.csv: no column is known as the user\. Columns there: who, what"
    ):
        read(tmp_path)
    columns = {"user": "who", "item": "what", "rating": "how", "time": "when"}
    check(read(tmp_path, columns=columns))
    with pytest.raises(
        DataError, match=r"no column 'hwo', which data\.columns\.user names\. Did you mean 'who'"
    ):
        read(tmp_path, columns={**columns, "user": "hwo"})
    with pytest.raises(ConfigError, match="no meaning 'usr'"):
        read(tmp_path, columns={"usr": "who"}, reader="table")


def test_a_named_column_is_not_taken_for_something_else(tmp_path):
    (tmp_path / "clicks.csv").write_text(
        "user,item,rating,timestamp,date\nann,mug,1,5,2020-01-02\n"
    )
    assert read(tmp_path).stats["notes"] == [
        "clicks.csv: user is user, item is item, rating is rating, time is timestamp; not used: date "
        "(data.columns chooses)"
    ]
    x = read(tmp_path, columns={"time": "date"})
    assert x.time.tolist() == [1577923200]
    assert read(tmp_path, columns={"user": "item", "item": "user"}).user_ids == ["mug"]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_numbers_name_columns_where_there_is_no_header(tmp_path, separator):
    (tmp_path / "clicks.csv").write_text(ROWS.replace(",", separator))
    with pytest.raises(
        DataError, match=r"if line 1 is no header, give numbers: data\.columns=\{user: 1, item: 2\}"
    ):
        read(tmp_path)
    check(read(tmp_path, columns={"user": "1", "item": "2", "rating": "3", "time": "4"}))
    turned = read(tmp_path, columns={"user": "2", "item": "1"})
    assert turned.user_ids == ["mug", "tea"]
    with pytest.raises(DataError, match=r"no column '5', which data\.columns\.user names"):
        read(tmp_path, columns={"user": "5", "item": "1"})
    # The first row may hold these very numbers; above columns without names pandas writes some, too.
    (tmp_path / "clicks.csv").write_text("1,2\n1,3\n")
    assert len(read(tmp_path, columns={"user": "1", "item": "2"})) == 2
    (tmp_path / "clicks.csv").write_text("0,1\nann,mug\n")
    assert read(tmp_path, columns={"user": "0", "item": "1"}).user_ids == ["ann"]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", "^"])
def test_separators(tmp_path, separator):
    (tmp_path / "shop.csv").write_text(f"user,item,rating,time\n{ROWS}".replace(",", separator))
    options = {"separator": separator} if separator in ("::", "^") else {}
    check(read(tmp_path, **options))


def test_quotes(tmp_path):
    (tmp_path / "shop.tsv").write_text(
        '"user"\t"item"\n"ann"\t"a ""big"" mug"\n'.replace('"user"\t"item"', "user\titem")
    )
    assert read(tmp_path).item_ids == ['a "big" mug']


def test_the_file_that_root_names_is_read_and_those_beside_it(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f"{name}.csv.gz").write_bytes(
            gzip.compress(f"user,item,rating,time\n{ROWS}".encode())
        )
    (tmp_path / "new_items.csv").write_text("id,title,kind\nmug,A mug,x\n")
    with pytest.raises(
        DataError, match=r"which table holds the interactions\? There are new\.csv\.gz, new_items"
    ):
        read(tmp_path, name="shop")
    x = read(tmp_path / "new.csv.gz")
    check(x)
    assert x.titles == ["A mug", "tea"]
    assert x.stats["notes"][-1] == "not read: old.csv.gz"
    check(read(tmp_path, name="old"))


def test_several_files_of_one_name_are_refused(tmp_path):
    for suffix in ("csv", "tsv"):
        (tmp_path / f"shop.{suffix}").write_text("user,item\na,b\n")
    with pytest.raises(DataError, match=r"shop\.csv, shop\.tsv have one name: leave one"):
        read(tmp_path)


def test_notes_and_licences_are_no_tables(tmp_path):
    (tmp_path / "LICENSE.txt").write_text("user,item\na,b\n")
    with pytest.raises(DataError, match="no known data set there"):
        find_reader(tmp_path, DataConfig(root=str(tmp_path)))
    (tmp_path / "clicks.txt").write_text(f"user,item,rating,time\n{ROWS}")
    check(read(tmp_path))


def test_columns_given_for_movielens_are_followed(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,4.0,10\n")
    x = read(tmp_path, columns={"user": "userId", "item": "movieId"})
    assert x.user_ids == ["1"]
    with pytest.raises(
        ConfigError, match=r"fixed columns; leave it out, or set data\.reader=table"
    ):
        read(tmp_path, columns={"user": "userId"}, reader="movielens")


def test_tables_with_any_names_are_told_by_their_columns(tmp_path):
    """As Book-Crossing has them, with quotes and semicolons."""
    (tmp_path / "BX-Book-Ratings.csv").write_text(
        '"User-ID";"ISBN";"Book-Rating"\n"7";"034545104X";"0"\n'
    )
    (tmp_path / "BX-Books.csv").write_text(
        '"ISBN";"Book-Title";"Book-Author"\n"034545104X";"Flesh; Tones";"A"\n'
    )
    (tmp_path / "BX-Users.csv").write_text('"User-ID";"Location"\n"7";"rome"\n')
    x = read(tmp_path)
    assert (x.user_ids, x.titles, x.rating.tolist()) == (["7"], ["Flesh; Tones"], [0])
    assert x.items["Book-Author"].tolist() == [["A"]]
    assert x.users["Location"].tolist() == [["rome"]]
    assert [note.split(":")[0] for note in x.stats["notes"]] == [
        "BX-Book-Ratings.csv",
        "BX-Books.csv",
        "BX-Users.csv",
    ]


def test_files_called_links_or_ratings_may_be_something_else(tmp_path):
    (tmp_path / "ratings_small.csv").write_text(f"user,item,rating,time\n{ROWS}")
    (tmp_path / "links.csv").write_text("item,imdbId\nmug,1\n")
    x = read(tmp_path)
    check(x)
    assert x.stats["notes"][-1] == "not read: links.csv"


def test_a_title_that_options_name_must_be_there(tmp_path):
    (tmp_path / "shop.csv").write_text(f"user,item,rating,time\n{ROWS}")
    (tmp_path / "items.csv").write_text("item,iid,title,label\nx,mug,T,A mug\n")
    columns = {"item": "iid", "title": "label"}
    (tmp_path / "shop.csv").write_text(f"user,iid,rating,time\n{ROWS}")
    assert read(tmp_path, columns=columns).titles == ["A mug", "tea"]
    with pytest.raises(
        DataError, match=r"items\.csv: no column 'lable', which data\.columns\.title names"
    ):
        read(tmp_path, columns={**columns, "title": "lable"})


def test_dates_need_no_option_in_plain_tables(tmp_path):
    (tmp_path / "shop.csv").write_text(
        "user,item,date\nann,mug,2020-01-02\nann,tea,\nbo,mug,2020-01-01T00:00:01Z\n"
    )
    assert read(tmp_path).time.tolist()[1:] == [1577923200, 1577836801]
    (tmp_path / "shop.csv").write_text("user,item,date\nann,mug,2020-01-02\nann,tea,tomorrow\n")
    with pytest.raises(DataError, match=r"field 'date': '(tomorrow|2020)"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
def test_types_of_parquet_and_arrow(tmp_path, suffix):
    large = 2**53 + 1
    table = pa.table(
        {
            "user_id": pa.array([large, large, large + 1]),
            "item_id": pa.array(["a", "b", "a"]).dictionary_encode(),
            "rating": pa.array([5, None, 4], pa.int8()),
            "timestamp": pa.array(
                [1_600_000_000_000, 1_600_000_001_000, None], pa.timestamp("ms", "Europe/Rome")
            ),
            "payload": [{"x": 1}] * 3,
        }
    )
    path = tmp_path / f"events.{suffix}"
    if suffix == "parquet":
        pa.parquet.write_table(table, path, row_group_size=2)
    else:
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=2)
    x = read(tmp_path)
    assert x.user_ids == [str(large), str(large + 1)]
    assert x.time.tolist()[:2] == [1_600_000_000, 1_600_000_001]
    assert (x.rating[0], x.time[2] == x.time[2]) == (5, False)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=rf"events\.{suffix}") as error:
        read(tmp_path, reader="table")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"user": "a"}', "line 2, field 'item': the id is empty"),
        ('{"user": "a", "item": ""}', "line 2, field 'item': the id is empty"),
        ('{"user": "a", "item": "b", "rating": "x"}', "line 2, field 'rating': 'x'"),
        ('{"user": "a", "item": "b", "rating": [1]}', "line 2, field 'rating'"),
        (
            '{"user": {"id": 1}, "item": "b"}',
            "line 2, field 'user': the id \"{'id': 1}\" is a list or an object",
        ),
        (
            '{"user": "a", "item": ["b"]}',
            "line 2, field 'item': the id \"['b']\" is a list or an object",
        ),
        ("[1]", "line 2: not an object"),
        ("{user: 1}", "line 2: no JSON"),
        ('{"user": "a", "item": "b"', "line 2: no JSON"),
    ],
)
def test_broken_objects(tmp_path, line, words):
    (tmp_path / "shop.jsonl").write_text(f'{{"user": "a", "item": "b", "rating": 1}}\n{line}\n')
    with pytest.raises(DataError, match=r"shop\.jsonl") as error:
        read(tmp_path)
    assert words in str(error.value)


def test_links_join_triples(tmp_path):
    (tmp_path / "shop.csv").write_text(f"user,item,rating,time\n{ROWS}")
    (tmp_path / "kg.tsv").write_text("head\trelation\ttail\nm1\tby\tp\n")
    (tmp_path / "links.csv").write_text("item_id,entity\nmug,m1\n")
    x = read(tmp_path)
    assert x.links.values.tolist() == [[0, "m1"]]
    assert x.triples.values.tolist() == [["m1", "by", "p"]]
    (tmp_path / "kg.tsv").write_text("head\ttail\nm1\tp\n")
    with pytest.raises(DataError, match=r"kg\.tsv: no column is known as the relation"):
        read(tmp_path)


def test_attribute_columns():
    table = pd.DataFrame(
        {
            "item": ["a", "b"],
            "kind": ["x|y", ""],
            "tags": ['["p", "q"]', "[1]"],
            "year": ["1999.0", None],
            "price": ["1.5", "2"],
            "about": ["long " * 50, "x"],
            "photo": ["http://a", "https://b"],
            "more": [{"k": 1}, None],
            "empty": ["", "nan"],
        }
    )
    out, left_out = attribute_columns(table, ("item", "title"), " ")
    assert out["kind"].tolist() == [["x", "y"], []]
    assert out["tags"].tolist() == [["p", "q"], [1]]
    assert out["year"].tolist() == [["1999"], []]
    assert left_out == [
        "price (numbers with fractions)",
        "about (long texts)",
        "photo (addresses)",
        "more (objects)",
        "empty (empty)",
    ]
    assert attribute_columns(table[["item", "kind"]], ("item",), ";")[0]["kind"].tolist() == [
        ["x|y"],
        [],
    ]


def test_a_column_has_one_meaning():
    found = usual_columns(["user", "user_id", "item"], ("user", "item"), {"item": "user"})
    assert found == {"user": "user_id", "item": "user"}
    assert usual_columns(["x"], ("user",), {}) == {}
    assert usual_columns(["item_id"], ("item",), {"item": "sku"}, is_strict=False) == {
        "item": "item_id"
    }
