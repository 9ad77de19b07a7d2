"""Databases that are missing, damaged, locked, of another version, or lack a part: one line that says what to do."""

import json
import subprocess
import sys

import ladybug
import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from lkgrag.config import PathsConfig
from lkgrag.errors import ConfigError, DataError, LkgragError, RunError
from lkgrag.kg import LadybugStore, write_ladybug
from lkgrag.kg.store import library
from lkgrag.kg.store.library import explained
from lkgrag.kg.store.writing import items_digest
from lkgrag.paths import StoreFinder
from lkgrag.utils.locks import locked

IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def data():
    out = HeteroData()
    out["item"].num_nodes, out["brand"].num_nodes, out["user"].num_nodes = 3, 2, 4
    out["item", "has_brand", "brand"].edge_index = torch.tensor([[0, 1, 1, 2], [0, 0, 1, 1]])
    out["brand", "rev_has_brand", "item"].edge_index = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 2]])
    out["user", "rated", "item"].edge_index = torch.tensor([[0, 3], [1, 2]])
    return out


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("db") / "graph.lbug"
    assert write_ladybug(data, out, IDS) == {"has_brand": 4}
    return out


def changed(path, tmp_path, *statements):
    """A copy of a database, after statements."""
    copy = tmp_path / "copy.lbug"
    copy.write_bytes(path.read_bytes())
    with ladybug.Database(str(copy), buffer_pool_size=64 << 20, max_db_size=1 << 34) as database:
        connection = ladybug.Connection(database, num_threads=1)
        for statement in statements:
            connection.execute(statement)
        connection.close()
    return copy


def test_what_is_written(data, path):
    store = LadybugStore(path)
    assert store.schema.items == items_digest(IDS) != items_digest(["a", "c", "b"])
    assert store.schema.node_tables == {"item": "item", "brand": "brand"}
    assert [t.properties for t in store.schema.tables.values()] == [("degree",)]
    assert store._ask("MATCH (i:item) RETURN i.key ORDER BY i.id") == [[x] for x in IDS]
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    rows = store.get_rows(("item", "has_brand", "brand"), np.array([0, 1, 9]), False)
    assert rows.indptr.tolist() == [0, 1, 3, 3]
    assert rows.other.tolist() == [0, 0, 1]
    assert rows.degree.tolist() == [2, 2, 2]
    assert store.get_degrees(("item", "has_brand", "brand")).tolist() == [2, 2]
    assert store.get_degrees(("brand", "rev_has_brand", "item")).tolist() == [1, 2, 1]
    with pytest.raises(DataError, match="there is no relation item-likes-item"):
        store.stored(("item", "likes", "item"))
    with pytest.raises(DataError, match="there are no nodes user"):
        store.num_nodes("user")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such database; write it"),
        (b"", "empty; write it again"),
        (b"some text", "no database of ladybug"),
        (b"some text" * 1000, "no database of ladybug"),
    ],
)
def test_files_that_are_no_database(tmp_path, content, message):
    file = tmp_path / "graph.lbug"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        LadybugStore(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="a folder, but a database of ladybug is a file"):
        LadybugStore(tmp_path)


def test_another_storage_version_is_named(path, tmp_path):
    content = bytearray(path.read_bytes())
    here = ladybug.Database.get_storage_version()
    at = content.index(b"LBUG") + 4
    content[at] += 1
    other = tmp_path / "other.lbug"
    other.write_bytes(content)
    with pytest.raises(DataError, match=f"of storage version .*installed ladybug reads {here}"):
        LadybugStore(other)


def test_damage_is_one_line(path, tmp_path):
    content = path.read_bytes()
    cut = tmp_path / "cut.lbug"
    cut.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="if it is damaged, write it again"):
        LadybugStore(cut)


def test_a_missing_table_is_named(path, tmp_path):
    without = changed(path, tmp_path, "DROP TABLE has_brand")
    with pytest.raises(DataError, match="the relation table has_brand is missing; write it again"):
        LadybugStore(without)
    without = changed(path, tmp_path, "DROP TABLE has_brand", "DROP TABLE brand")
    with pytest.raises(DataError, match=r"table (has_brand|brand) is missing"):
        LadybugStore(without)
    without = changed(path, tmp_path, "ALTER TABLE has_brand DROP degree")
    store = LadybugStore(without)
    with pytest.raises(DataError, match="the rows of has_brand cannot be read"):
        store.get_rows(("item", "has_brand", "brand"), np.array([0]), False)
    without = changed(path, tmp_path, "MATCH ()-[e:has_brand]->() SET e.degree = NULL")
    with pytest.raises(DataError, match="an edge of has_brand has no degree"):
        LadybugStore(without).get_rows(("item", "has_brand", "brand"), np.array([0]), False)


def test_graphs_of_other_formats_are_refused(path, tmp_path):
    found = LadybugStore(path)._ask("MATCH (m:lkgrag_graph) RETURN m.graph")[0][0]
    meta = json.dumps({**json.loads(found), "version": 99}).replace('"', '\\"')
    clear = "MATCH (m:lkgrag_graph) DELETE m"
    other = changed(path, tmp_path, clear, f'CREATE (:lkgrag_graph {{graph: "{meta}"}})')
    with pytest.raises(DataError, match="a graph of format 99, but this lkgrag reads 1"):
        LadybugStore(other)
    with pytest.raises(DataError, match="a graph of format None"):
        LadybugStore(changed(path, tmp_path, clear))


def test_a_database_without_items_is_refused(tmp_path):
    other = tmp_path / "other.lbug"
    with ladybug.Database(str(other), buffer_pool_size=64 << 20, max_db_size=1 << 34) as database:
        connection = ladybug.Connection(database)
        connection.execute("CREATE NODE TABLE film(id INT64, PRIMARY KEY(id))")
        connection.close()
    with pytest.raises(DataError, match="no node table 'item', only film"):
        LadybugStore(other)


def test_a_query_that_fails_in_the_middle_is_one_line(path, monkeypatch):
    store = LadybugStore(path)
    finder = StoreFinder(store, PathsConfig())

    class Broken:
        def execute(self, *args):
            raise RuntimeError("IO exception: Cannot read from file.\nmore")

    monkeypatch.setattr(store, "_connection", Broken())
    with pytest.raises(DataError) as caught:
        finder._fetch_values(np.array([0]))
    assert "the rows of has_brand cannot be read (IO exception: Cannot read from file.)" in str(
        caught.value
    )


@pytest.mark.slow
def test_a_locked_database_is_named(path, tmp_path):
    copy = tmp_path / "locked.lbug"
    copy.write_bytes(path.read_bytes())
    hold = (
        "import ladybug, sys; d = ladybug.Database(sys.argv[1], buffer_pool_size=1 << 26, max_db_size=1 << 34); "
        "c = ladybug.Connection(d); c.execute('CREATE (:brand {id: 7})'); print('x', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(copy)], stdin=pipe, stdout=pipe
    ) as holder:
        holder.stdout.readline()
        with (
            pytest.raises(DataError, match="another process writes to it: wait"),
            explained(copy, "cannot be opened"),
        ):
            ladybug.Database(str(copy), buffer_pool_size=1 << 26, max_db_size=1 << 34)
        holder.stdin.close()


def test_without_the_library_one_line_says_what_to_install(path, tmp_path, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "ladybug", None)
    for attempt in (lambda: LadybugStore(path), lambda: write_ladybug(data, tmp_path / "new")):
        with pytest.raises(ConfigError, match=r'pip install "lkgrag\[store\]"'):
            attempt()
    assert not list(tmp_path.iterdir())


def test_files_are_not_replaced_unasked(data, path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already; add overwrite=true"):
        write_ladybug(data, path)
    with pytest.raises(ConfigError, match="a folder; a database is a file"):
        write_ladybug(data, tmp_path, overwrite=True)
    with pytest.raises(DataError, match="2 ids of items, but the graph has 3"):
        write_ladybug(data, tmp_path / "new", ["a", "b"])
    assert path.read_bytes() == before
    copy = tmp_path / "copy.lbug"
    copy.write_bytes(b"old")
    write_ladybug(data, copy, overwrite=True)
    assert LadybugStore(copy).schema.items is None


def test_a_failed_write_leaves_nothing(data, tmp_path, monkeypatch):
    target = tmp_path / "graph.lbug"
    target.write_bytes(b"old")
    monkeypatch.setattr(library, "LEAST", 1 << 14)
    with pytest.raises(LkgragError, match="its pages need more memory: raise memory=") as caught:
        write_ladybug(data, target, overwrite=True, memory=1 << 15)
    assert str(caught.value).startswith(str(target))
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_what_a_killed_writer_left_is_cleared_and_a_living_one_is_respected(data, tmp_path):
    target, left = tmp_path / "graph.lbug", tmp_path / ".graph.lbug.tmp"
    left.mkdir()
    (left / "graph").write_bytes(b"half")
    with locked(left / ".lock", wait=False):
        with pytest.raises(RunError, match="is in use by a living process"):
            write_ladybug(data, target)
        assert (left / "graph").read_bytes() == b"half"
    write_ladybug(data, target)
    assert [p.name for p in tmp_path.iterdir()] == [target.name]


def test_names_that_clash_or_are_no_words_get_tables_of_their_own(tmp_path):
    data = HeteroData()
    data["item"].num_nodes = data["Genre x"].num_nodes = data["genre_X"].num_nodes = 2
    edges = torch.tensor([[0, 1], [0, 1]])
    for edge_type in (
        ("item", "genre", "Genre x"),
        ("item", "genre", "genre_X"),
        ("item", "ITEM", "item"),
    ):
        data[edge_type].edge_index = edges if edge_type[1] == "genre" else edges.flip(0)
    path = tmp_path / "graph"
    counts = write_ladybug(data, path)
    store = LadybugStore(path)
    assert len({t.name.lower() for t in store.schema.tables.values()}) == len(counts) == 3
    for edge_type in store.edge_types:
        assert store.get_rows(edge_type, np.array([0, 1]), False) is not None


def test_many_relations_are_read_within_little_memory(tmp_path):
    # Each table and each prepared statement holds pages.
    data, number = HeteroData(), 40
    data["item"].num_nodes, data.temporal = 20, False
    ends = torch.stack([torch.arange(20), torch.arange(20) % 5])
    for kind in range(number):
        data[f"v{kind}"].num_nodes = 5
        data["item", f"has_{kind}", f"v{kind}"].edge_index = ends
        data[f"v{kind}", f"rev_has_{kind}", "item"].edge_index = ends.flip(0)
    write_ladybug(data, tmp_path / "graph")
    store = LadybugStore(tmp_path / "graph", memory="32MB")
    for _ in range(2):
        for edge_type in store.edge_types:
            rows = store.get_rows(edge_type, np.arange(5), edge_type[0] != "item")
            np.testing.assert_array_equal(np.diff(rows.indptr), np.ones(5))
    store.close()
