"""Which reader reads a folder: built-in, registered, installed, or named by its class."""

from importlib.metadata import EntryPoint

import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Tables
from lkgrag.data.readers import (
    BUILT_IN,
    Reader,
    find_reader,
    read_tables,
    readers,
    register_reader,
    resolver,
)
from lkgrag.errors import ConfigError, DataError
from lkgrag.testing import ReaderSample, ReaderTests


class Plain(Reader):
    """Lines of a user and an item."""

    name = "plain"

    def files(self, folder, config):
        return [folder / "plain.txt"]

    def read(self, folder, config):
        file = self.files(folder, config)[0]
        try:
            rows = [(user, item) for user, item in map(str.split, file.read_text().splitlines())]
            events = pd.DataFrame(rows, columns=["user", "item"])
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: cannot be read ({error})") from error
        return Tables(events, source=str(file))


class TestPlain(ReaderTests):
    reader = Plain

    def write(self, folder):
        (folder / "plain.txt").write_text("u a\nu b\nv a\n")
        return ReaderSample(
            [("u", "a", None, None), ("u", "b", None, None), ("v", "a", None, None)]
        )


class Greedy(Plain):
    """Takes every folder."""

    name = "greedy"

    def matches(self, folder, config):
        return True


class Namesake(Plain):
    name = "recbole"


class Needy(Plain):
    name = "needy"

    def __init__(self, how):
        self.how = how


class Broken(Plain):
    name = "broken"

    def read(self, folder, config):
        return {"u": 1}[str(folder)]


class Empty(Plain):
    name = "empty"

    def read(self, folder, config):
        return None


HERE = f"{__name__}:"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain.txt").write_text("u a\n")
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch):
    monkeypatch.setattr(resolver, "_REGISTERED", {})


@pytest.fixture
def installed(monkeypatch):
    """Entry points of the group, by name and value."""

    def install(**points):
        found = [EntryPoint(name, value, resolver.GROUP) for name, value in points.items()]
        monkeypatch.setattr(resolver, "entry_points", lambda group: found)
        resolver._installed.cache_clear()

    yield install
    monkeypatch.undo()
    resolver._installed.cache_clear()


def config(folder, **options):
    return DataConfig(root=str(folder), **options)


def test_built_in_readers_have_their_names():
    assert list(readers()) == [cls.name for cls in BUILT_IN]
    assert all(type(readers()[cls.name]) is cls for cls in BUILT_IN)


def test_a_registered_reader_is_asked_first(folder):
    with pytest.raises(DataError, match=r"no known data set there. It holds: plain\.txt"):
        find_reader(folder, config(folder))
    register_reader(Plain())
    assert find_reader(folder, config(folder)).name == "plain"
    assert find_reader(folder, config(folder, reader="plain")).name == "plain"
    register_reader(Greedy())
    assert find_reader(folder, config(folder)).name == "greedy"
    assert find_reader(folder, config(folder, reader="recbole")).name == "recbole"


def test_a_class_needs_no_registration(folder):
    assert isinstance(find_reader(folder, config(folder, reader=f"{HERE}Plain")), Plain)
    assert read_tables(config(folder, reader=f"{HERE}Plain"))[0].source.endswith("plain.txt")


def test_installed_packages_bring_theirs(folder, installed):
    installed(plain=f"{HERE}Plain")
    assert find_reader(folder, config(folder)).name == "plain"
    assert list(readers())[-1] == "plain"
    with pytest.raises(
        ConfigError, match=r"data.reader=plan: no such reader. Did you mean 'plain'"
    ):
        find_reader(folder, config(folder, reader="plan"))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"x": "no_such_package:X"}, "lkgrag.readers=x: no module 'no_such_package'"),
        ({"x": f"{HERE}Namesake"}, "lkgrag.readers=x: another reader has the name 'recbole'"),
        ({"x": f"{HERE}Plain", "y": f"{HERE}Plain"}, "another reader has the name 'plain'"),
        ({"x": "lkgrag.data:Tables"}, "no subclass of lkgrag.data.readers.Reader"),
        ({"x": f"{HERE}Needy"}, "cannot be built without arguments"),
    ],
)
def test_broken_entry_points_are_named(folder, installed, points, message):
    installed(**points)
    with pytest.raises(ConfigError) as error:
        find_reader(folder, config(folder))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        ("Needy", "cannot be built without arguments"),
        ("Broken", "read() of Broken fails (KeyError: "),
        ("Empty", "read() of Empty must return lkgrag.data.Tables, got NoneType"),
        ("Missing", "cannot import"),
    ],
)
def test_broken_readers_are_named(folder, reader, message):
    with pytest.raises(ConfigError) as error:
        read_tables(config(folder, reader=f"{HERE}{reader}"))
    assert message in str(error.value)
    assert str(error.value).startswith(f"data.reader={HERE}{reader}: ")
    assert "\n" not in str(error.value)


class Upset(Plain):
    """Reads the lines backwards."""

    def read(self, folder, config):
        tables = super().read(folder, config)
        return Tables(tables.interactions.iloc[::-1], source=tables.source)


class Nameless(Plain):
    """Does not say what it read."""

    def read(self, folder, config):
        return Tables(super().read(folder, config).interactions)


class Careless(Plain):
    """Reads what is no text, and leaves errors as they come."""

    def read(self, folder, config):
        text = self.files(folder, config)[0].read_bytes().decode("latin-1")
        rows = [(*line.split(), "?", "?")[:2] for line in text.splitlines() or ["x y"]]
        return Tables(pd.DataFrame(rows, columns=["user", "item"]), source=str(folder))


@pytest.mark.parametrize(
    ("cls", "test", "message"),
    [
        (Upset, "test_the_order_of_the_file_is_kept", "'v', 'a'"),
        (Nameless, "test_tables_name_their_source", "does not name plain.txt"),
        (
            Careless,
            "test_missing_files",
            "without plain.txt there must be a DataError, got ConfigError",
        ),
        (Greedy, "test_the_layout_is_recognised", "an empty folder is taken for a data set"),
    ],
)
def test_the_suite_notices(cls, test, message, tmp_path, monkeypatch):
    suite = type("Suite", (TestPlain,), {"reader": cls})()
    folder = tmp_path / "data"
    folder.mkdir()
    sample = suite.write(folder)
    extra = (tmp_path, monkeypatch) if test == "test_the_layout_is_recognised" else ()
    with pytest.raises(AssertionError, match=message):
        getattr(suite, test)(folder, sample, *extra)


@pytest.mark.parametrize("fault", ["empty", "binary", "noise"])
def test_the_suite_notices_what_is_read_broken(fault, tmp_path):
    suite = type("Suite", (TestPlain,), {"reader": Careless})()
    sample = suite.write(tmp_path)
    with pytest.raises(AssertionError, match="read all the same"):
        suite.test_broken_files(tmp_path, sample, fault)
