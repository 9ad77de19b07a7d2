"""The users of a saved ranker: the table in memory and the table in a file give the same."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from helpers.users import users_of

from lkgrag.errors import DataError, LkgragError
from lkgrag.serving.users import GROUP, Users, UsersInMemory

#: Two whole row groups and a part of a third one.
USERS = 2 * GROUP + 100


@pytest.fixture(scope="module")
def in_memory():
    return users_of(USERS)


@pytest.fixture(scope="module")
def file(in_memory, tmp_path_factory):
    path = tmp_path_factory.mktemp("users") / "users.parquet"
    in_memory.save(path)
    return path


@pytest.fixture(params=["in memory", "in a file"])
def table(request, in_memory, file):
    return in_memory if request.param == "in memory" else Users(file)


@pytest.fixture
def groups_read(monkeypatch):
    """Numbers of the row groups that are read, in order."""
    read, numbers = pq.ParquetFile.read_row_group, []

    def recording(self, number):
        numbers.append(number)
        return read(self, number)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", recording)
    return numbers


def test_ids_are_in_the_order_of_the_indices(table):
    assert len(table) == USERS
    assert list(table) == [f"u{n}" for n in range(USERS)]


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 5),
        (GROUP - 1, GROUP),
        (GROUP, GROUP + 1),
        (GROUP - 3, GROUP + 3),
        (GROUP - 1, 2 * GROUP + 1),
        (0, USERS),
        (USERS - 1, USERS + 9),
        (7, 7),
        (USERS, USERS + 1),
    ],
)
def test_a_file_gives_the_rows_of_the_table_that_wrote_it(in_memory, file, start, stop):
    expected, rows = in_memory.rows(start, stop), Users(file).rows(start, stop)
    assert [user for user, _ in rows] == [f"u{n}" for n in range(start, min(stop, USERS))]
    for (user, (items, ratings)), (other, (other_items, other_ratings)) in zip(
        rows, expected, strict=True
    ):
        assert user == other
        assert (items.dtype, ratings.dtype) == (np.int64, np.float32)
        np.testing.assert_array_equal(items, other_items)
        np.testing.assert_array_equal(ratings, other_ratings)


def test_only_the_row_groups_of_a_span_are_read(file, groups_read):
    users = Users(file)
    users.rows(GROUP - 3, GROUP + 3)
    assert groups_read == [0, 1]
    # The last one is in memory.
    users.rows(GROUP, GROUP + 1)
    assert groups_read == [0, 1]
    users.rows(USERS - 1, USERS)
    users.rows(0, GROUP)
    assert groups_read == [0, 1, 2, 0]


@pytest.mark.parametrize("index", [0, GROUP - 1, GROUP, 2 * GROUP - 1, 2 * GROUP, USERS - 1])
def test_an_id_is_found_on_either_side_of_a_row_groups_border(table, index):
    assert table.find(f"u{index}") == table.index(f"u{index}") == index
    ((user, _),) = table.rows(index, index + 1)
    assert user == f"u{index}"


def test_an_unknown_id_is_refused_with_the_nearest_ones(table):
    assert table.find("u99999") == -1
    with pytest.raises(DataError) as error:
        table.index("u99999")
    message = str(error.value)
    assert message.startswith(f"users=u99999: no such user among the {USERS} of this run.")
    assert "Did you mean 'u999'" in message
    assert message.endswith("For someone unknown give history=[...]")


def test_ids_are_exact(table):
    for user in ("U7", "u7 ", "7", ""):
        assert table.find(user) == -1, user


def test_a_user_without_history_and_unknown_ratings_survive_the_file(tmp_path):
    ratings = np.array([np.nan, 4.0], np.float32)
    users = UsersInMemory(["none", "two"], np.array([0, 0, 2]), np.array([5, 3]), ratings)
    users.save(tmp_path / "users.parquet")
    (first, (items, rating)), (_, (two_items, two_ratings)) = Users(
        tmp_path / "users.parquet"
    ).rows(0, 2)
    assert first == "none"
    assert len(items) == len(rating) == 0
    assert (items.dtype, rating.dtype) == (np.int64, np.float32)
    assert two_items.tolist() == [5, 3]
    np.testing.assert_array_equal(two_ratings, ratings)


def test_a_missing_value_in_a_file_is_an_unknown_rating(tmp_path):
    table = pd.DataFrame({"user": ["a"], "items": [[1, 2]], "ratings": [[None, 3.0]]})
    table.to_parquet(tmp_path / "users.parquet")
    ((_, (_, ratings)),) = Users(tmp_path / "users.parquet").rows(0, 1)
    np.testing.assert_array_equal(ratings, np.array([np.nan, 3.0], np.float32))


def test_a_copy_of_a_file_is_the_same_byte_for_byte(file, tmp_path):
    Users(file).save(tmp_path / "copy.parquet")
    assert (tmp_path / "copy.parquet").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("content", [b"", b"x" * 100, "cut short"])
def test_a_broken_file_is_refused(file, tmp_path, content):
    whole = file.read_bytes()
    content = whole[: len(whole) // 2] if content == "cut short" else content
    (tmp_path / "users.parquet").write_bytes(content)
    with pytest.raises(
        LkgragError, match=r"users\.parquet: broken Parquet file .*; train the ranker again"
    ):
        Users(tmp_path / "users.parquet")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(LkgragError, match=r"users\.parquet: no such file; train the ranker again"):
        Users(tmp_path / "users.parquet")


@pytest.mark.parametrize("column", ["user", "items", "ratings"])
def test_a_file_without_a_column_is_refused(file, tmp_path, column):
    pd.read_parquet(file).drop(columns=column).to_parquet(tmp_path / "users.parquet")
    with pytest.raises(LkgragError, match=rf"users\.parquet: no column '{column}'; train"):
        Users(tmp_path / "users.parquet")


def test_an_id_is_found_beyond_the_part_that_is_searched_at_once(tmp_path):
    num = 70_000
    indptr, items = np.arange(num + 1), np.zeros(num, np.int64)
    users = UsersInMemory([f"u{n}" for n in range(num)], indptr, items, items.astype(np.float32))
    users.save(tmp_path / "users.parquet")
    read = Users(tmp_path / "users.parquet")
    assert [read.find(f"u{n}") for n in (0, 65_535, 65_536, num - 1)] == [
        0,
        65_535,
        65_536,
        num - 1,
    ]


def test_many_ids_are_found_in_any_order(table):
    wanted = [7, USERS - 1, 7, GROUP, 0]
    assert table.indices([f"u{n}" for n in wanted]) == wanted
    assert table.indices([]) == []
    assert table.indices(["u3"]) == [3]
    with pytest.raises(DataError, match="users=nobody: no such user"):
        table.indices(["u1", "nobody", "u2"])
