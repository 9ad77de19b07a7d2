r"""The suite of a data reader.

In a test file of your own::

    from lkgrag.testing import ReaderTests, ReaderSample

    class TestMyReader(ReaderTests):
        reader = MyReader

        def write(self, folder):
            (folder / "shop.log").write_text("2026-01-01 ann bought tea\n")
            return ReaderSample([("ann", "tea", None, 1767225600.0)], options={"name": "shop"})

Every test is of the contract in :mod:`lkgrag.data.readers.base`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data.interactions import Interactions
from lkgrag.data.memory import MEMORY
from lkgrag.data.readers import Reader, files_digest, find_reader, read_tables, resolver
from lkgrag.data.tables import Tables
from lkgrag.errors import ConfigError, DataError, LkgragError

#: A word for an option.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
#: What no text file holds.
BINARY = b"\x89PNG\r\n\x1a\n\0\0"
#: A column that no file has.
ABSENT = "no_such_column"


@dataclass(frozen=True)
class ReaderSample:
    """What must come out of a sample folder.

    Attributes:
        interactions: user, item, rating and time (seconds since 1970), in the order of the file; None
            where a rating or a time is unknown.
        titles: by item, of those that have one.
        items: by item, its attributes by column.
        users: by user, likewise.
        triples: head, relation and tail.
        options: of :class:`~lkgrag.config.DataConfig`, as ``{"name": "shop"}``.
    """

    interactions: list[tuple[str, str, float | None, float | None]]
    titles: dict[str, str] = field(default_factory=dict)
    items: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    users: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    triples: list[tuple[str, str, str]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


class ReaderTests:
    """Inherit, set ``reader``, and write a sample folder.

    Attributes:
        reader: the class under test; of a module, not of a function.
    """

    reader: ClassVar[type[Reader]]

    def write(self, folder: Path) -> ReaderSample:
        """Write all files of the layout into an empty folder, and say what must come out.

        Let each user and item come at least once, in some hundred bytes.
        """
        raise NotImplementedError(f"{type(self).__name__} needs write(folder) -> ReaderSample")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """An empty folder, which :meth:`sample` fills."""
        folder = tmp_path / "data"
        folder.mkdir()
        return folder

    @pytest.fixture
    def sample(self, folder: Path) -> ReaderSample:
        """The files are there, and this must come out."""
        return self.write(folder)

    def config(self, folder: Path, sample: ReaderSample, **options: Any) -> DataConfig:
        """Options of a run that reads the folder by the reader's class."""
        target = f"{self.reader.__module__}:{self.reader.__qualname__}"
        given = {"min_user": 1, "min_item": 1, "reader": target, **sample.options, **options}
        return DataConfig(root=str(folder), **given)

    def read(self, folder: Path, sample: ReaderSample) -> Interactions:
        """The interactions, as a run makes them."""
        config = self.config(folder, sample)
        return Interactions.from_tables(read_tables(config)[0], config)

    def files(self, folder: Path, sample: ReaderSample) -> list[Path]:
        """Those of the reader's files that are there."""
        files = self.reader().files(folder, self.config(folder, sample))
        return [file for file in files if file.is_file()]

    def outcome(self, folder: Path, sample: ReaderSample) -> LkgragError | None:
        """What reading raises, which must be an error of this package on one line; None if it reads."""
        raised = None
        try:
            self.read(folder, sample)
        except LkgragError as error:
            raised = error
        assert len(str(raised).splitlines()) == 1, f"more than one line: {raised}"
        return raised

    def test_the_class_is_a_reader(self) -> None:
        """It derives from ``Reader``, and its name can be an option's word."""
        assert issubclass(self.reader, Reader)
        name = self.reader.name
        assert NAME.fullmatch(name), f"name {name!r}: use small letters, digits, - and _"
        assert name != "auto", "'auto' asks all readers"
        assert not name.startswith(MEMORY), f"'{MEMORY}' is for data in memory"

    def test_files_lie_in_the_folder(self, folder: Path, sample: ReaderSample) -> None:
        """``files`` names paths in the folder, and the first is there."""
        files = self.reader().files(folder, self.config(folder, sample))
        assert files, "files() names none"
        assert all(folder in file.parents for file in files), f"outside the folder: {files}"
        assert files[0].is_file(), f"the sample has no {files[0].name}, which must be there first"

    def test_the_layout_is_recognised(
        self, folder: Path, sample: ReaderSample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The reader takes the sample, also when any layout may come, and no empty folder."""
        config = self.config(folder, sample, reader="auto")
        reader = self.reader()
        assert reader.matches(folder, config)
        empty = tmp_path / "empty"
        empty.mkdir()
        assert not reader.matches(empty, config), "an empty folder is taken for a data set"
        if self.reader not in resolver.BUILT_IN:
            monkeypatch.setitem(resolver._REGISTERED, reader.name, reader)
        assert type(find_reader(folder, config)) is self.reader

    def test_the_interactions_are_read(self, folder: Path, sample: ReaderSample) -> None:
        """Who, what, rating and time, as they were written."""
        x = self.read(folder, sample)
        users, items = np.array(x.user_ids)[x.user], np.array(x.item_ids)[x.item]
        read = zip(users.tolist(), items.tolist(), x.rating.tolist(), x.time.tolist(), strict=True)
        pd.testing.assert_frame_equal(_events(read), _events(sample.interactions))

    def test_the_order_of_the_file_is_kept(self, folder: Path, sample: ReaderSample) -> None:
        """Equal times are told apart by it."""
        events = read_tables(self.config(folder, sample))[0].interactions
        pairs = list(zip(events["user"].astype(str), events["item"].astype(str), strict=True))
        assert pairs == [(user, item) for user, item, *_ in sample.interactions]

    def test_what_is_known_of_items_is_read(self, folder: Path, sample: ReaderSample) -> None:
        """Titles, attributes and triples."""
        x = self.read(folder, sample)
        pairs = zip(x.item_ids, x.items["title"], strict=True)
        titles = {i: t for i, t in pairs if isinstance(t, str) and t.strip()}
        assert titles == sample.titles
        _check_attributes(x.items, x.item_ids, sample.items)
        assert sorted(map(tuple, x.triples.to_numpy().tolist())) == sorted(sample.triples)

    def test_what_is_known_of_users_is_read(self, folder: Path, sample: ReaderSample) -> None:
        """Their attributes."""
        x = self.read(folder, sample)
        _check_attributes(x.users, x.user_ids, sample.users)

    def test_tables_name_their_source(self, folder: Path, sample: ReaderSample) -> None:
        """For messages about what is in them."""
        tables = read_tables(self.config(folder, sample))[0]
        assert isinstance(tables, Tables)
        first = self.reader().files(folder, self.config(folder, sample))[0]
        assert first.name in tables.source, f"source {tables.source!r} does not name {first.name}"

    def test_every_file_counts_for_the_digest(self, folder: Path, sample: ReaderSample) -> None:
        """Cached stages are told apart by it: the same files give the same, others another."""
        config = self.config(folder, sample)
        digests = [read_tables(config)[1], files_digest(config)]
        assert digests[0] == digests[1]
        for file in self.files(folder, sample):
            with open(file, "ab") as handle:
                handle.write(b"\n")
            digests.append(files_digest(config))
        assert len(set(digests)) == len(digests) - 1, "a file that was changed counts for nothing"

    def test_missing_files(self, folder: Path, sample: ReaderSample) -> None:
        """Without the first there is an error that names it; without another at worst an error."""
        for file in reversed(self.files(folder, sample)):
            content = file.read_bytes()
            file.unlink()
            error = self.outcome(folder, sample)
            if not self.reader().matches(folder, self.config(folder, sample)):
                name = self.reader().files(folder, self.config(folder, sample))[0].name
                assert isinstance(error, DataError), (
                    f"without {file.name} there must be a DataError, got {error!r}"
                )
                assert name in str(error), f"the error does not name {name}: {error}"
            file.write_bytes(content)

    @pytest.mark.parametrize("fault", ["empty", "binary", "cut", "noise"])
    def test_broken_files(self, folder: Path, sample: ReaderSample, fault: str) -> None:
        """At worst an error on one line, which names the file; and never half of the first file."""
        for number, file in enumerate(self.files(folder, sample)):
            content = file.read_bytes()
            broken = {
                "empty": b"",
                "binary": BINARY,
                "cut": content[: len(content) // 2],
                "noise": content + b"\xff\0\xfe",
            }
            file.write_bytes(broken[fault])
            error = self.outcome(folder, sample)
            if error is not None and fault != "cut":
                assert file.name in str(error), f"the error does not name {file.name}: {error}"
            if number == 0 and fault in ("empty", "binary", "noise"):
                assert error is not None, f"{file.name} is broken ({fault}), and read all the same"
            file.write_bytes(content)

    def test_names_of_columns(self, folder: Path, sample: ReaderSample) -> None:
        """``data.columns`` is followed where ``renames`` says so, and refused elsewhere."""
        config = self.config(folder, sample, columns={"user": ABSENT})
        error = DataError if self.reader.renames else ConfigError
        with pytest.raises(error) as caught:
            read_tables(config)
        assert (ABSENT if self.reader.renames else "data.columns") in str(caught.value)


def _events(rows: Iterable[tuple[str, str, float | None, float | None]]) -> pd.DataFrame:
    """Interactions as a table in an order that does not depend on the file's."""
    table = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    table = table.astype({"rating": np.float32, "time": np.float64})
    return table.sort_values(list(table.columns), ignore_index=True)


def _check_attributes(
    table: pd.DataFrame, ids: list[str], expected: dict[str, dict[str, list[str]]]
) -> None:
    """Fail unless a table has exactly these attributes, however their columns are ordered."""
    columns = [column for column in table.columns if column != "title"]
    there = {
        key: {column: table[column].iloc[row] for column in columns if table[column].iloc[row]}
        for row, key in enumerate(ids)
    }
    assert {key: values for key, values in there.items() if values} == expected
