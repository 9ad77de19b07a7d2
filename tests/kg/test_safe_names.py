"""Whatever columns, relations and entities are called, the graph's own stores and attributes stay its own."""

import keyword
import tempfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import HeteroData
from torch_geometric.data.storage import EdgeStorage, NodeStorage

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg import (
    PathWords,
    Relation,
    build_kg,
    kg_table,
    load_kg,
    phrase,
    register_relation_source,
    relation_sources,
    save_kg,
)
from lkgrag.kg.naming import column_relation, triple_relation
from lkgrag.kg.reserved import GRAPH, PYG
from lkgrag.kg.safe_names import safe_node, safe_relation, shown
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.vocabulary import COLUMNS, TRIPLES, USER_COLUMNS

ITEMS = [f"i{n}" for n in range(6)]
USERS = [f"u{n}" for n in range(5)]
OURS = [*relation_sources(), *(f"rev_{name}" for name in relation_sources()), *GRAPH]
OURS += ["name", "named", "num_nodes", "weight", "count", "rating", "time", "x", "item", "user"]
INSTALLED = {
    name
    for cls in (HeteroData, NodeStorage, EdgeStorage)
    for name in dir(cls)
    if not name.startswith("_")
}
ODD = [
    "",
    " ",
    "_",
    "__",
    "__class__",
    "_parent",
    "2nd",
    "3",
    "?",
    "a.b",
    "a/b",
    "a:b",
    "é",
    "жанр",
    "执导",
]
ODD += [
    "RATED",
    "Rated",
    "co-rated",
    "rated ",
    "x_dict",
    "num_nodes_dict",
    "rated_value",
    "rated_value_value",
]
ODD += [
    "merged_value",
    "merged_link",
    "kg_rated",
    "has_rated",
    "has_kg_rated",
    "rev_",
    "rev_rev_rated",
    "🎬",
]
NAMES = sorted({*OURS, *INSTALLED, *PYG, *keyword.kwlist, *ODD})


def interactions(items=None, users=None, triples=None):
    rows = [(u, ITEMS[(n + p) % 6], 5, p) for n, u in enumerate(USERS) for p in range(4)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    return Interactions.from_frames(
        frame, items, triples, users, DataConfig(min_user=1, min_item=1)
    )


def graph(x):
    """The graph, saved and read again, whose own parts are as without the data's names."""
    config = KGConfig(behaviour_min=1, similar_titles=2)
    data = build_kg(x, np.full(5, 3), config)
    with tempfile.TemporaryDirectory() as folder:
        save_kg(data, folder)
        again = load_kg(folder)
    assert again.metadata() == data.metadata()
    plain = build_kg(interactions(), np.full(5, 3), config)
    for found in (data, again, data.clone(), data.to("cpu")):
        assert found.validate()
        assert isinstance(found.merged, list)
        assert isinstance(found.left_out, dict)
        assert (found.temporal, found.follow_window) == (False, 3)
        assert found["user"].num_nodes == 5
        for edge_type in plain.edge_types:
            assert found[edge_type].edge_index.equal(plain[edge_type].edge_index), edge_type
            if edge_type[0] != "user" and edge_type[2] != "user":
                assert found[edge_type].weight.equal(plain[edge_type].weight), edge_type
        taken = {relation for _, relation, _ in plain.edge_types} | set(GRAPH)
        new = set(found.node_types) - {"item", "user"}
        assert not new & taken
        assert not [name for name in new if hasattr(HeteroData(), name) and name != "size"]
        assert not {e[1] for e in found.edge_types if e not in plain.edge_types} & taken
    data.to_homogeneous()
    words = PathWords(data)
    for edge_type in data.edge_types:
        pair = data[edge_type].edge_index[:, :1].T.flatten().tolist()
        if pair:
            assert words.sentence((edge_type,), pair)
    assert all(row.words for row in kg_table(data) if row.kind == "edge")
    return data, {
        e for e in data.edge_types if e not in plain.edge_types and not e[1].startswith("rev_")
    }


def try_names(names, kind):
    values = [f"v{n % 2}" for n in range(6)]
    if kind in ("items", "users"):
        key, owners = ("item", ITEMS) if kind == "items" else ("user", USERS)
        columns = {name: values[: len(owners)] for name in names}
        return graph(interactions(**{kind: pd.DataFrame({key: owners, **columns})}))
    others = [ITEMS[(n + 1) % 6] for n in range(6)]
    tails = {"entities": values, "both": [*values[:3], *others[3:]], "between": others}
    heads = ITEMS
    if kind == "heads":
        heads, tails["heads"] = values, ITEMS
    rows = [
        # Of relations with the same pairs only one would stay, so each has one pair more.
        (head, name, f"{tail} {k}" if kind == "entities" else tail)
        for k, name in enumerate(names)
        for n, (head, tail) in enumerate(zip(heads, tails[kind], strict=True))
        if kind == "entities" or n != k % 6
    ]
    return graph(interactions(triples=pd.DataFrame(rows, columns=["head", "relation", "tail"])))


def given_relation(name, kind):
    if kind in ("items", "users"):
        return column_relation(name, kind.removesuffix("s"))
    return triple_relation(name, item_is_tail=kind == "heads")


def is_readable(name, kind):
    """Whether it can be the name of such a column or relation."""
    if kind in ("items", "users"):
        return name not in ("item", "title", "user", "name", "id") or (
            kind == "items" and name == "user"
        )
    return bool(name.strip())


@pytest.mark.parametrize("kind", ["items", "users", "entities", "heads", "between", "both"])
def test_no_name_reaches_what_is_ours(kind):
    names = [name for name in NAMES if is_readable(name, kind)]
    # Of relations between the same items only one stays, so these share a graph by sixes.
    size = 30 if kind in ("items", "users", "entities") else 6
    for start in range(0, len(names), size):
        some = names[start : start + size]
        _, new = try_names(some, kind)
        phrases = {phrase(edge_type) for edge_type in new}
        for name in some:
            # An odd one out: what a relation of ours is called from triples looks like that.
            if kind in ("items", "users", "entities") and "kg_" not in name:
                words = given_relation(name, kind).phrase.removesuffix(" value")
                assert {words, f"{words} value"} & phrases, name
        assert new


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=6)), min_size=2, max_size=5))
def test_names_together_stay_apart(names):
    columns = {n: [f"{n} {k % 2}" for k in range(6)] for n in names if is_readable(n, "items")}
    try:
        data, _ = graph(interactions(items=pd.DataFrame({"item": ITEMS, **columns})))
    except DataError as error:
        assert "twice" in str(error)  # noqa: PT017
        return
    for name in columns:
        # Names of one spelling in snake case are one attribute; their values are all there.
        values = {v.strip() for v in (f"{name} 0", f"{name} 1")}
        found = [t for t in data.node_types if values <= set(data[t].name)]
        assert len(found) == 1 or not name.isprintable(), name


def test_the_shown_name_is_the_given_one():
    for name in ("rated", "merged", "followed_by", "x", "metadata", "to", "import", "num_nodes"):
        node = safe_node(name)
        assert node != name
        assert shown(node) == name.replace("_", " ")
        assert shown(safe_node(node)) == node.replace("_", " ")
        edge_type = ("item", f"has_{name}", node)
        assert phrase(edge_type) == f"has the {name.replace('_', ' ')}"
        assert phrase((node, f"rev_has_{name}", "item")) == f"{name.replace('_', ' ')} of"
    data, _ = try_names(["rated"], "items")
    there, back = ("item", "has_rated", "rated_value"), ("rated_value", "rev_has_rated", "item")
    assert PathWords(data).sentence((there, back), [0, 0, 2]) == "shares rated v0 with i0"
    for name, words in (("rated", "has the rated"), ("followed_by", "followed by")):
        _, (edge_type,) = try_names([name], "between")
        assert phrase(edge_type) == words
    _, (edge_type,) = try_names(["merged"], "between")
    assert phrase(edge_type) == "has the merged"


def test_ordinary_names_are_kept():
    for table in (COLUMNS, USER_COLUMNS, TRIPLES):
        for relation in table.values():
            assert safe_relation(relation) is relation
    for name in (
        "size",
        "colour",
        "type",
        "maker",
        "weight",
        "count",
        "rating",
        "name",
        "time",
        "label",
    ):
        assert safe_node(name) == name


def test_the_list_has_all_names_of_the_installed_version():
    assert {"size"} == INSTALLED - PYG


@pytest.mark.parametrize("name", ["merged", "left_out", "temporal", "custom", "item", "user"])
def test_a_custom_relation_has_no_name_of_the_graph(name):
    class Mine(CoRated):
        relation = Relation(name, "item", "x", "x")

    with pytest.raises(ConfigError, match=f"'{name}'; choose another name"):
        register_relation_source(Mine)
