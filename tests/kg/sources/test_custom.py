"""Custom relation sources: registered, in graphs and paths, checked, refused."""

import itertools
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig, KGConfig, PathsConfig
from lkgrag.data import Interactions, Queries, make_split
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.kg import (
    Edges,
    Pairs,
    PathWords,
    Relation,
    RelationSource,
    as_of,
    build_kg,
    count_users,
    custom_relation_code,
    find_leaks,
    inverse,
    is_symmetric,
    load_kg,
    phrase,
    register_relation_source,
    relation_sources,
    save_kg,
    short,
)
from lkgrag.kg.checks.audit import CHECKED, LEAK, NO_SIGN, audit
from lkgrag.kg.sources import BUILT_IN, registered, resolver
from lkgrag.paths import PathFinder
from lkgrag.testing import RelationSourceTests, toy_interactions

END = np.full(8, 3)
CONFIG = KGConfig(behaviour_min=1)


class Liked(RelationSource):
    """Joins items that a user rated 4 or more one after the other."""

    relation = Relation("liked_next", "item", "liked before", "liked after", short="liked")

    def edges(self, training, config):
        good = training.rating >= 4
        user, item, time = training.user[good], training.item[good], training.time[good]
        same = user[1:] == user[:-1]
        pairs = Pairs(item[:-1][same], item[1:][same], user[1:][same], time[1:][same])
        return count_users(pairs, training, config, shrinkage=1.0)

    def sentence(self, audience, count, other, *, backward):
        when = "before" if backward else "after"
        return f"liked {when} {other} by {audience.count(count)}"


class FirstLetter(RelationSource):
    """Joins items whose titles begin with the same letter."""

    relation = Relation("same_letter", "item", "begins as", "begins as", short="letter")
    made_of = "titles"
    symmetric = True

    def edges(self, training, config):
        first = np.array([(t or "\0")[0] for t in training.titles])
        low, high = np.triu_indices(training.num_items, 1)
        alike = (first[low] == first[high]) & (first[low] != "\0")
        weight = np.full(alike.sum(), 0.5, np.float32)
        return Edges.both_ways(low[alike], high[alike], weight)


class Outside(FirstLetter):
    """As if from a file."""

    relation = Relation("from_a_file", "item", "beside", "beside")
    made_of = "elsewhere"


class FirstChoice(RelationSource):
    """Joins users with their first item."""

    relation = Relation("began_with", "item", "began with", "first item of")
    owner = "user"

    def edges(self, training, config):
        first = training.position == 0
        index = np.stack([training.user[first], training.item[first]])
        return Edges(index, time=training.time[first])


class TestLiked(RelationSourceTests):
    source = Liked


class TestFirstLetter(RelationSourceTests):
    source = FirstLetter


class TestOutside(RelationSourceTests):
    source = Outside


class TestFirstChoice(RelationSourceTests):
    source = FirstChoice


@pytest.fixture
def custom():
    with registered(Liked), registered(FirstLetter):
        yield


LIKED, LETTER = ("item", "liked_next", "item"), ("item", "same_letter", "item")


def build(**options):
    return build_kg(toy_interactions(), END, replace(CONFIG, **options))


def test_its_edges_stand_between_those_of_this_package_and_those_of_the_data(custom):
    plain = [e[1] for e in build(exclude=["liked_next", "same_letter"]).edge_types]
    place = plain.index("similar_title") + 1
    added = ["liked_next", "rev_liked_next", "same_letter"]
    assert [e[1] for e in build().edge_types] == plain[:place] + added + plain[place:]
    assert list(relation_sources())[: len(BUILT_IN)] == [s.relation.name for s in BUILT_IN]


def test_the_order_of_registering_does_not_matter():
    orders = []
    for first, second in ((Liked, FirstLetter), (FirstLetter, Liked)):
        with registered(first), registered(second):
            orders.append(build().edge_types)
    assert orders[0] == orders[1]
    assert "liked_next" not in relation_sources()
    assert LIKED not in build().edge_types


def test_counts_by_hand(custom):
    data = build()
    pairs = [(a, b) for a, b in data[LIKED].edge_index.T.tolist()]
    found = dict(zip(pairs, data[LIKED]["count"].tolist(), strict=True))
    x, expected = toy_interactions(), {}
    for user in range(8):
        start = x.indptr[user]
        good = [x.item[start + p] for p in range(3) if x.rating[start + p] >= 4]
        for pair in itertools.pairwise(good):
            expected[pair] = expected.get(pair, 0) + 1
    assert found == expected


def test_options_name_it(custom):
    assert [e[1] for e in build(relations=["same_letter"]).edge_types] == ["same_letter"]
    assert LIKED not in build(exclude=["liked_next"]).edge_types
    assert LIKED not in build(behaviour=False).edge_types
    assert LETTER in build(behaviour=False).edge_types
    with pytest.raises(ConfigError, match=r"kg.exclude: no relation 'liked_nxt'.*'liked_next'"):
        build(exclude=["liked_nxt"])
    with registered(FirstChoice), pytest.raises(ConfigError, match="no relation 'began_with'"):
        build(users=False, exclude=["began_with"])


def test_words_of_edges_and_paths(custom):
    back = ("item", "rev_liked_next", "item")
    assert inverse(LIKED) == back
    assert inverse(LETTER) == LETTER
    assert is_symmetric("same_letter")
    assert not is_symmetric("liked_next")
    assert [phrase(LIKED), phrase(back), short(LETTER)] == ["liked before", "liked after", "letter"]
    data = build()
    words = PathWords(data)
    start, end = data[LIKED].edge_index[:, 0].tolist()
    number = words.audience.count(int(data[LIKED]["count"][0]))
    first, second = data["item"].name[start], data["item"].name[end]
    assert words.sentence((LIKED,), [start, end]) == f"liked after {first} by {number}"
    assert words.sentence((back,), [end, start]) == f"liked before {second} by {number}"
    start, end = data[LETTER].edge_index[:, 0].tolist()
    assert words.sentence((LETTER,), [start, end]) == f"begins as {data['item'].name[start]}"


def test_paths_go_over_it(custom):
    data = build(relations=["liked_next", "same_letter"])
    finder = PathFinder(data, PathsConfig(max_length=1))
    assert finder.metapaths == [(LIKED,), (inverse(LIKED),), (LETTER,)]
    start, end = data[LETTER].edge_index[:, 0].tolist()
    query = Queries.from_histories(
        [np.array([start])], np.array([[end]]), np.zeros((1, 1), np.float32), 1
    )
    paths = finder(query)
    assert finder.metapaths.index((LETTER,)) in paths.metapath.tolist()
    assert f"begins as {data['item'].name[start]}" in PathWords(data).batch(paths)


def test_the_temporal_rule_holds(custom):
    data = build(temporal=True)
    time = float(data[LIKED].time.median())
    past = as_of(data, time)
    assert 0 < past[LIKED].num_edges < data[LIKED].num_edges
    assert float(past[LIKED].time.max()) < time
    # Titles have no time: their edges always stand.
    assert past[LETTER].num_edges == data[LETTER].num_edges


class Timeless(Liked):
    relation = Relation("timeless", "item", "x", "y")

    def edges(self, training, config):
        return replace(super().edges(training, config), time=None)


def test_the_temporal_rule_needs_times():
    with registered(Timeless):
        assert ("item", "timeless", "item") in build().edge_types
        with pytest.raises(ConfigError, match=r"'timeless' of .*Timeless: kg.temporal=true needs"):
            build(temporal=True)
        # The audit of a run without the rule does not need them.
        found = findings(build())
        assert np.isnan(found["timeless"].later)


def findings(data, config=CONFIG):
    x = toy_interactions()
    split = make_split(x, DataConfig())
    return {f.relation: f for f in audit(data, x, split, config)}


def test_the_audit_counts_it_again(custom):
    with registered(Outside):
        found = findings(build())
        assert found["liked_next"].verdict == CHECKED
        assert 0 <= found["liked_next"].later <= 1
        assert found["same_letter"].verdict == NO_SIGN
        assert found["from_a_file"].why.startswith("no time known")
    later = build_kg(toy_interactions(), END + 2, CONFIG)
    found = findings(later)
    assert found["liked_next"].verdict == LEAK
    assert found["liked_next"].over > 0
    # With the widest options, where those of the graph are not told.
    x = toy_interactions()
    assert not [k for k in find_leaks(build(), x, END) if "liked" in k.edge_type[1]]
    assert [k for k in find_leaks(later, x, END) if "liked" in k.edge_type[1]]


def test_a_saved_graph_knows_its_custom_relations(custom, tmp_path):
    data = build()
    assert data.custom == {
        "liked_next": f"{__name__}:Liked",
        "same_letter": f"{__name__}:FirstLetter",
    }
    save_kg(data, tmp_path / "with")
    assert load_kg(tmp_path / "with").custom == data.custom
    save_kg(build(relations=["followed_by"]), tmp_path / "without")
    assert "custom" not in (tmp_path / "without" / "schema.json").read_text()
    assert "custom" not in load_kg(tmp_path / "without")


def test_a_saved_graph_needs_them(tmp_path):
    with registered(Liked):
        save_kg(build(), tmp_path)
    message = r"schema.json: the relation 'liked_next' is made by .*Liked, which is not registered"
    with pytest.raises(LkgragError, match=message):
        load_kg(tmp_path)


def films(triples, items=None):
    frame = pd.DataFrame(
        [(u, f"{i}", t) for u in "ab" for t, i in enumerate(range(5))],
        columns=["user", "item", "time"],
    )
    table = pd.DataFrame(triples, columns=["head", "relation", "tail"])
    return Interactions.from_frames(frame, items, table, config=DataConfig(min_user=1, min_item=1))


def test_a_relation_of_the_data_by_its_name_gets_another(custom, tmp_path):
    x = films([("0", "same_letter", "1"), ("0", "liked_next", "noon")])
    data = build_kg(x, np.array([3, 3]), CONFIG)
    assert ("item", "has_kg_same_letter", "item") in data.edge_types
    assert data["liked_next_value"].name == ["noon"]
    with resolver_without(Liked, FirstLetter):
        plain = build_kg(x, np.array([3, 3]), CONFIG)
        assert ("item", "same_letter", "item") in plain.edge_types
        save_kg(plain, tmp_path)
    with pytest.raises(LkgragError, match=r"'same_letter' comes from the data.*rename the custom"):
        load_kg(tmp_path)


class resolver_without:  # noqa: N801
    """The sources are not there within."""

    def __init__(self, *sources):
        self.names = [source.relation.name for source in sources]

    def __enter__(self):
        self.gone = {name: resolver._REGISTERED.pop(name) for name in self.names}
        relation_sources.cache_clear()

    def __exit__(self, *error):
        resolver._REGISTERED.update(self.gone)
        relation_sources.cache_clear()


def test_a_column_may_have_the_name_of_a_relation():
    items = pd.DataFrame({"item": list("01234"), "followed_by": [["x"], ["x"], ["y"], [], []]})
    data = build_kg(films([], items), np.array([3, 3]), CONFIG)
    assert data["followed_by_value"].name == ["x", "y"]
    assert data["item", "followed_by", "item"].num_edges
    assert data["item", "has_followed_by", "followed_by_value"].num_edges == 3
    assert data.validate()


def test_the_code_is_part_of_what_a_graph_depends_on(tmp_path, monkeypatch):
    assert custom_relation_code() == {}
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "from lkgrag.kg import Relation\nfrom lkgrag.kg.sources.co_rated import CoRated\n"
        "class Mine(CoRated):\n    relation = Relation('mine', 'item', 'x', 'x')\n"
    )
    codes = []
    for code in (text, text, text + "# edited\n"):
        (tmp_path / "my_relation.py").write_text(code)
        sys.modules.pop("my_relation", None)
        module = __import__("my_relation")
        with registered(module.Mine):
            codes.append(custom_relation_code())
    assert list(codes[0]) == ["kg.relations.mine"]
    assert codes[0] == codes[1] != codes[2]


def test_code_without_a_source_file_is_known_by_its_name():
    scope = {"__name__": "nowhere", "Liked": Liked, "Relation": Relation}
    exec("class X(Liked):\n    relation = Relation('x', 'item', 'x', 'y')", scope)
    with registered(scope["X"]):
        assert custom_relation_code() == {"kg.relations.x": "nowhere:X"}


def named(name, base=Liked, **attributes):
    relation = Relation(name, "item", "x", "x")
    return type("Named", (base,), {"relation": relation, "__module__": __name__, **attributes})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (named("followed_by"), "this package has a relation 'followed_by'; choose another name"),
        (named("rated"), "this package has a relation 'rated'"),
        (named("directed_by"), "'directed_by' is a relation of columns and triples"),
        (named("rev_liked"), "the relation's name 'rev_liked' must be at most 32 small letters"),
        (named("Liked Next"), "the relation's name 'Liked Next' must be"),
        (named("a" * 33), "must be at most 32"),
        (
            named("x", made_of="thin air"),
            "`made_of` must be one of interactions, titles, elsewhere",
        ),
        (named("x", owner="brand"), "`owner` must be one of item, user"),
        (named("x", owner="user", symmetric=True), "cannot be symmetric"),
        (named("x", relation=None), "set `relation` to a lkgrag.kg.Relation whose node is 'item'"),
        (named("x", relation=Relation("x", "brand", "y")), "whose node is 'item'"),
        (RelationSource, "RelationSource has no method edges"),
        (dict, "no subclass of lkgrag.kg.RelationSource"),
        (Liked(), "no subclass of lkgrag.kg.RelationSource"),
    ],
)
def test_what_is_no_source_is_refused(source, message):
    with pytest.raises(ConfigError) as error:
        register_relation_source(source)
    assert message in str(error.value)
    assert custom_relation_code() == {}


def test_two_sources_of_one_name_are_refused(custom):
    again = type("Liked", (Liked,), {"__module__": __name__})
    assert register_relation_source(again) is again
    assert type(relation_sources()["liked_next"]) is again
    with pytest.raises(ConfigError, match=r"'liked_next' is that of .*:Liked; rename one"):
        register_relation_source(named("liked_next"))


@pytest.fixture
def installed(monkeypatch):
    """Entry points of the group, by name and value."""

    def install(**points):
        found = [EntryPoint(name, value, resolver.GROUP) for name, value in points.items()]
        monkeypatch.setattr(resolver, "entry_points", lambda group: found)
        resolver._installed.cache_clear()
        relation_sources.cache_clear()

    yield install
    monkeypatch.undo()
    resolver._installed.cache_clear()
    relation_sources.cache_clear()


def test_installed_packages_bring_theirs(installed):
    installed(liked=f"{__name__}:Liked")
    assert LIKED in build().edge_types
    assert list(custom_relation_code()) == ["kg.relations.liked_next"]
    # Its module may register it, too.
    with registered(Liked):
        assert LIKED in build().edge_types


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"x": "no_such_package:X"}, "lkgrag.relations=x: no module 'no_such_package'"),
        ({"x": "pathlib:Path"}, "no subclass of lkgrag.kg.RelationSource"),
        ({"x": f"{__name__}:Liked", "y": f"{__name__}:Clash"}, "'liked_next' is that of"),
    ],
)
def test_broken_entry_points_are_named(installed, points, message):
    installed(**points)
    with pytest.raises(ConfigError) as error:
        relation_sources()
    assert message in str(error.value)


class Clash(Liked):
    pass


def one_edge(index=((0,), (1,)), weight=(0.5,), **more):
    return Edges(np.array(index, np.int64), np.array(weight, np.float32), **more)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: 1 / 0, "edges() fails (ZeroDivisionError: division by zero)"),
        (lambda: None, "edges() must return lkgrag.kg.Edges, got NoneType"),
        (lambda: Edges(np.zeros((2, 3))), "index must be int64 of shape [2, E], got float64"),
        (lambda: one_edge(weight=(1, 1)), "weight must be float32 of shape [1], got float32 of"),
        (lambda: one_edge(((0,), (10,))), "each target must lie in [0, 10), got 10 to 10"),
        (lambda: one_edge(((-1,), (1,))), "each source must lie in [0, 10), got -1 to -1"),
        (lambda: one_edge(weight=(0,)), "each weight must lie in (0, 1]"),
        (lambda: one_edge(weight=(float("nan"),)), "each weight must lie in (0, 1]"),
        (lambda: one_edge(count=np.array([0])), "each count must be at least 1, got 0"),
        (lambda: Edges(np.array([[0], [1]])), "edges between items need a weight"),
        (lambda: one_edge(((2,), (2,))), "item 2 is joined with itself"),
        (lambda: one_edge(((0, 0), (1, 1)), (1, 1)), "the pair 0, 1 comes twice"),
    ],
)
def test_edges_that_do_not_keep_the_contract(made, message):
    source = named("broken", edges=lambda self, training, config: made())
    with registered(source), pytest.raises(ConfigError) as error:
        build()
    assert message in str(error.value)
    assert str(error.value).startswith(f"relation 'broken' of {__name__}:")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: one_edge(), "needs each edge in both directions"),
        (lambda: one_edge(((0, 1), (1, 0)), (1, 0.5)), "the same weight in both directions"),
    ],
)
def test_symmetric_edges_that_are_not(made, message):
    source = named("lopsided", FirstLetter, edges=lambda self, training, config: made())
    with registered(source), pytest.raises(ConfigError, match=message):
        build()


def test_a_source_cannot_change_what_others_see():
    def spoil(self, training, config):
        training.item[:] = 0

    with registered(named("spoiler", edges=spoil)), pytest.raises(ConfigError, match="read-only"):
        build()


class Forgetful(Liked):
    """Whose edges are older than what they are made of."""

    relation = Relation("forgetful", "item", "x", "y")

    def edges(self, training, config):
        edges = super().edges(training, config)
        return edges if edges.time is None else replace(edges, time=edges.time - 150)


class Peeking(FirstLetter):
    """Which says that it is made of titles, and counts interactions."""

    relation = Relation("peeking", "item", "x", "x")

    def edges(self, training, config):
        edges = super().edges(training, config)
        return replace(edges, weight=edges.weight / np.float32(len(training.item) + 1))


class Remembering(Liked):
    """Which gives at the second call what the first one saw."""

    relation = Relation("remembering", "item", "x", "y")
    seen = None

    def edges(self, training, config):
        edges = super().edges(training, config)
        before, type(self).seen = type(self).seen, edges
        return edges if before is None else before


@pytest.mark.parametrize(
    ("cls", "test", "message"),
    [
        (Forgetful, "test_a_time_is_when_the_edge_came_to_stand", "do not make it"),
        (Peeking, "test_what_does_not_count_interactions_does_not_see_them", "depend on who"),
        (Remembering, "test_a_source_has_no_memory", "at the second call"),
    ],
)
def test_the_suite_notices(cls, test, message):
    suite = type("Suite", (RelationSourceTests,), {"source": cls})()
    with registered(cls), pytest.raises(AssertionError, match=message):
        getattr(suite, test)(toy_interactions(), END)
