"""Tables of other libraries: lazy ones, relations of data bases, and anything that gives itself as Arrow."""

import pandas as pd
import pyarrow as pa
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.in_memory import arrow_frame
from lkgrag.errors import DataError

LOOSE = DataConfig(min_user=1, min_item=1)
#: Beyond what a float of 64 bits can hold exactly.
LARGE = 2**53 + 1
COLUMNS = {
    "user": ["ann", "ann", "bo"],
    "item": [LARGE, LARGE + 1, LARGE],
    "rating": [5.0, None, 4.0],
    "time": [100, 200, 100],
}
ITEMS = {"item": [LARGE, LARGE + 1], "title": ["A", "B"], "kind": [["x", "y"], None]}


class Stream:
    """A table that can do nothing but give itself as Arrow, in batches."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return pa.Table.from_batches(self.table.to_batches(max_chunksize=2)).__arrow_c_stream__(
            requested_schema
        )


def check(interactions, items):
    x = Interactions.from_frames(interactions, items=items, config=LOOSE)
    assert x.item_ids == [str(LARGE), str(LARGE + 1)]
    assert x.user_ids == ["ann", "bo"]
    assert x.time.tolist() == [100, 200, 100]
    assert x.rating.tolist()[0] == 5
    assert x.rating[1] != x.rating[1]
    assert x.titles == ["A", "B"]
    assert x.items["kind"].tolist() == [["x", "y"], []]


@pytest.mark.parametrize(
    "wrap", [pa.table, lambda c: Stream(pa.table(c)), lambda c: pa.table(c).to_reader()]
)
def test_anything_with_an_arrow_stream(wrap):
    check(wrap(COLUMNS), wrap(ITEMS))


def test_polars():
    polars = pytest.importorskip("polars")
    check(polars.DataFrame(COLUMNS), polars.DataFrame(ITEMS))
    check(polars.LazyFrame(COLUMNS), polars.DataFrame(ITEMS).lazy())


def test_duckdb():
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("events", pa.table(COLUMNS))
    connection.register("goods", pa.table(ITEMS))
    check(connection.sql("select * from events"), connection.sql("select * from goods"))


class Lazy:
    """A lazy table as polars has it."""

    def __init__(self, columns):
        self.columns_of_mine = columns

    def collect_schema(self):
        return list(self.columns_of_mine)

    def collect(self):
        return pa.table(self.columns_of_mine)


def test_a_lazy_table_is_computed():
    check(Lazy(COLUMNS), Lazy(ITEMS))


class Relation:
    """A relation of a data base without Arrow's interface."""

    def to_arrow_table(self):
        return pa.table(COLUMNS)


def test_a_relation_gives_its_table():
    check(Relation(), ITEMS)


def test_whole_numbers_with_gaps_stay_whole():
    frame = arrow_frame(pa.table({"n": pa.array([LARGE, None], pa.int64())}))
    assert frame["n"].tolist() == [LARGE, pd.NA]


def test_dictionaries_dates_and_no_rows():
    table = pa.table(
        {
            "user": pa.array(["a", "b"]).dictionary_encode(),
            "item": ["x", "y"],
            "time": pa.array([1, 2], pa.date32()),
        }
    )
    x = Interactions.from_frames(table, config=LOOSE)
    assert x.time.tolist() == [86400, 172800]
    assert list(arrow_frame(table.slice(0, 0)).columns) == ["user", "item", "time"]
    with pytest.raises(DataError, match="no interaction"):
        Interactions.from_frames(table.slice(0, 0), config=LOOSE)


class Failing:
    def __arrow_c_stream__(self, requested_schema=None):
        raise TypeError("gone")


@pytest.mark.parametrize("table", [Failing(), 3, "abc", object()])
def test_what_is_no_table_is_refused(table):
    with pytest.raises(DataError, match=r"^interactions: "):
        Interactions.from_frames(table, config=LOOSE)


def test_two_columns_of_one_name_are_refused():
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["user", "user"])
    with pytest.raises(DataError, match="'user' is there twice"):
        Interactions.from_frames(Stream(table), config=LOOSE)


def test_categories_of_polars():
    polars = pytest.importorskip("polars")
    for kind in (polars.Categorical, polars.Enum(["ann", "bo"])):
        events = polars.DataFrame(COLUMNS).with_columns(polars.col("user").cast(kind))
        check(events, polars.DataFrame(ITEMS))
    numbers = pd.DataFrame({"x": pd.Categorical([3, 1, 3])})
    assert arrow_frame(pa.Table.from_pandas(numbers))["x"].tolist() == [3, 1, 3]


def test_a_lazy_table_that_fails_is_one_line():
    polars = pytest.importorskip("polars")
    with pytest.raises(DataError, match="interactions: cannot be read as a table") as error:
        Interactions.from_frames(polars.DataFrame(COLUMNS).lazy().select("nope"), config=LOOSE)
    assert "\n" not in str(error.value)


def test_a_relation_whose_query_fails_is_one_line():
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql("select 'a' as \"user\", cast('x' || range as int) as item from range(3)")
    with pytest.raises(DataError, match="interactions: cannot be read as a table") as error:
        Interactions.from_frames(relation, config=LOOSE)
    assert "\n" not in str(error.value)
