import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions, make_split
from lkgrag.data.interactions import Tables
from lkgrag.errors import ConfigError
from lkgrag.kg import PathWords, build_kg, kg_table, load_kg, save_kg
from lkgrag.testing.graph import TOY_SEQUENCES, toy_interactions, toy_kg

NEXT, BACK, CO = (("item", r, "item") for r in ("followed_by", "rev_followed_by", "co_rated"))


def edges(data, edge_type, attribute=None):
    pairs = [tuple(p) for p in data[edge_type].edge_index.T.tolist()]
    if attribute is None:
        return set(pairs)
    return dict(zip(pairs, data[edge_type][attribute].tolist(), strict=True))


def films(triples, items=None, links=None):
    """Five items that two users rated in order, with the given tables."""
    ids = [str(i) for i in range(5)]
    events = [(u, i, 5, t) for u in ("a", "b") for t, i in enumerate(ids)]
    frame = pd.DataFrame(events, columns=["user", "item", "rating", "time"])
    triples = pd.DataFrame(triples, columns=["head", "relation", "tail"])
    links = None if links is None else pd.DataFrame(links, columns=["item", "entity"])
    config = DataConfig(min_user=1, min_item=1)
    return Interactions.from_tables(Tables(frame, items, None, triples, links), config)


def build(interactions, **options):
    end = np.diff(interactions.indptr) - 2
    return build_kg(interactions, end, KGConfig(behaviour_min=1, **options))


def test_attributes_have_a_node_a_value():
    data = toy_kg()
    assert data["genre"].name == ["Action", "Drama", "Horror", "Sci-Fi", "Thriller"]
    genre = edges(data, ("item", "has_genre", "genre"))
    assert {g for i, g in genre if i == 0} == {2, 3}
    assert {(g, i) for i, g in genre} == edges(data, ("genre", "rev_has_genre", "item"))
    assert not any(i == 9 for i, _ in genre)
    assert data["item"].name[3] == "Star Wars (1977)"
    assert data["director"].named


def test_behaviour_counts_by_hand():
    data = toy_kg(KGConfig(behaviour_min=1, follow_window=1))
    count = edges(data, NEXT, "count")
    train = [s[:3] for s in TOY_SEQUENCES]
    expected: dict[tuple[int, int], int] = {}
    for sequence in train:
        for pair in itertools.pairwise(sequence):
            expected[pair] = expected.get(pair, 0) + 1
    assert count == expected
    assert edges(data, BACK, "count") == {(b, a): n for (a, b), n in count.items()}
    together = edges(data, CO, "count")
    assert together[3, 0] == together[0, 3] == sum({0, 3} <= set(s) for s in train)
    assert all((b, a) in together for a, b in together)
    for edge_type in (NEXT, BACK, CO):
        weight = data[edge_type].weight
        assert weight.dtype == torch.float32
        assert float(weight.min()) > 0
        assert float(weight.max()) <= 1


def test_window_and_minimum():
    wide = edges(toy_kg(KGConfig(behaviour_min=1, follow_window=2)), NEXT)
    assert (3, 1) in wide
    assert (3, 1) not in edges(toy_kg(KGConfig(behaviour_min=1, follow_window=1)), NEXT)
    often = edges(toy_kg(KGConfig(behaviour_min=2, follow_window=1)), NEXT, "count")
    assert often
    assert min(often.values()) >= 2


def test_co_rated_keeps_the_strongest_partners_of_either_end():
    everything = edges(toy_kg(), CO, "weight")
    top = edges(toy_kg(KGConfig(behaviour_min=1, co_rated_top=1)), CO, "weight")
    assert set(top) < set(everything)
    for item in {a for a, _ in everything}:
        best = max(w for (a, _), w in everything.items() if a == item)
        assert any(w == best for (a, _), w in top.items() if a == item)


def test_rated_edges_are_training_only():
    interactions = toy_interactions()
    data = toy_kg()
    rated = edges(data, ("user", "rated", "item"), "time")
    assert {u: [i for v, i in rated if v == u] for u in range(8)} == {
        u: sorted(s[:3]) for u, s in enumerate(TOY_SEQUENCES)
    }
    assert rated[0, 3] == 0
    assert rated[0, 0] == 100
    assert len(interactions) == 40


def test_other_folds_have_the_same_schema_and_nodes():
    interactions = toy_interactions()
    full = build_kg(interactions, np.full(8, 3), KGConfig())
    for end in (0, 1, 2):
        part = build_kg(interactions, np.full(8, end), KGConfig())
        assert part.metadata() == full.metadata()
        for node in full.node_types:
            assert part[node].name == full[node].name
        genre = ("item", "has_genre", "genre")
        assert torch.equal(part[genre].edge_index, full[genre].edge_index)
    assert part[NEXT].num_edges < full[NEXT].num_edges


def test_filters():
    only = build(toy_interactions(), relations=["directed_by"])
    assert only.edge_types == [
        ("item", "directed_by", "director"),
        ("director", "rev_directed_by", "item"),
    ]
    assert "genre" not in only.node_types
    less = build(toy_interactions(), exclude=["co_rated", "has_genre"])
    assert {"co_rated", "has_genre"}.isdisjoint(r for _, r, _ in less.edge_types)
    bare = build(toy_interactions(), users=False, behaviour=False)
    assert "user" not in bare.node_types
    assert "occupation" not in bare.node_types
    assert NEXT not in bare.edge_types


def test_unknown_relation_is_named():
    with pytest.raises(ConfigError, match=r"kg\.exclude.*'has_gener'.*Did you mean 'has_genre'"):
        build(toy_interactions(), exclude=["has_gener"])


@pytest.mark.parametrize("option", ["follow_window", "co_rated_top", "behaviour_min"])
def test_numbers_out_of_range_are_refused(option):
    with pytest.raises(ConfigError, match=rf"kg\.{option} must be at least 1, got 0"):
        build_kg(toy_interactions(), np.full(8, 3), KGConfig(**{option: 0}))


def test_wrong_train_end_is_refused():
    for end in (np.full(3, 1), np.full(8, 99)):
        with pytest.raises(ValueError, match="train_end"):
            build_kg(toy_interactions(), end, KGConfig())


def test_transposes_are_merged_and_reported():
    forward = [("0", "film.film.directed_by", "m.01"), ("1", "film.film.directed_by", "m.01")]
    backward = [(t, "film.director.film", h) for h, _, t in forward]
    data = build(films(forward + backward))
    assert data.merged == ["film.director.film is the inverse of film.film.directed_by"]
    assert edges(data, ("item", "directed_by", "director")) == {(0, 0), (1, 0)}
    assert [e for e in data.edge_types if "direct" in e[1]] == [
        ("item", "directed_by", "director"),
        ("director", "rev_directed_by", "item"),
    ]
    assert not data["director"].named


def test_backward_relation_alone_is_turned():
    data = build(films([("m.01", "film.director.film", "0"), ("x", "music.composer.works", "1")]))
    assert edges(data, ("item", "directed_by", "director")) == {(0, 0)}
    assert edges(data, ("item", "has_composer", "composer")) == {(1, 0)}


def test_relations_between_items():
    data = build(films([("0", "sequel", "1"), ("0", "remake", "2"), ("0", "sequel", "elsewhere")]))
    assert edges(data, ("item", "sequel", "item")) == {(0, 1)}
    assert edges(data, ("item", "rev_sequel", "item")) == {(1, 0)}
    assert data["item", "remake", "item"].weight.tolist() == [1.0]
    assert data.left_out == {"sequel": 1}


def test_items_of_one_entity_all_have_its_triples():
    links = [("0", "m1"), ("1", "m1"), ("1", "m9"), ("2", "m2"), ("2", "m2"), ("3", "m3")]
    triples = [("m1", "studio", "A"), ("B", "film.director.film", "m1"), ("m9", "studio", "C")]
    triples += [("m2", "remake", "m1"), ("m1", "remake", "m3")]
    data = build(films(triples, links=links))
    assert data["studio"].name == ["A", "C"]
    assert edges(data, ("item", "has_studio", "studio")) == {(0, 0), (1, 0), (1, 1)}
    assert edges(data, ("item", "directed_by", "director")) == {(0, 0), (1, 0)}
    assert edges(data, ("item", "remake", "item")) == {(2, 0), (2, 1), (0, 3), (1, 3)}


def test_item_columns_join_items():
    items = pd.DataFrame({"item": ["0", "1"], "also_bought": [["1", "9"], ["1"]]})
    data = build(films([], items=items))
    assert edges(data, ("item", "also_bought", "item")) == {(0, 1)}
    assert data.left_out == {"also_bought": 1}


def test_names_never_collide():
    items = pd.DataFrame({"item": ["0", "1"], "genre": [["Drama"], ["Drama"]], "user": ["x", "y"]})
    triples = [
        ("0", "film.film.genre", "m.0genre"),
        ("0", "genre", "noir"),
        ("1", "followed_by", "event"),
        ("a thing", "unlinked", "another"),
    ]
    data = build(films(triples, items=items))
    assert data["genre"].name == ["Drama"]
    assert data["film_genre"].name == ["m.0genre"]
    assert data["kg_genre"].name == ["noir"]
    assert data["user_value"].name == ["x", "y"]
    assert ("item", "followed_by", "item") in data.edge_types
    assert data["kg_followed_by"].name == ["event"]
    assert data.left_out["triples without an item"] == 1
    assert data.validate()


def test_no_relation_takes_the_name_of_an_inverse():
    triples = [("0", "part_of", "1"), ("4", "rev_part_of", "3"), ("2", "rev_made_by", "x")]
    data = build(films(triples))
    assert edges(data, ("item", "part_of", "item")) == {(0, 1)}
    assert edges(data, ("item", "rev_part_of", "item")) == {(1, 0)}
    assert edges(data, ("item", "has_kg_rev_part_of", "item")) == {(4, 3)}
    assert edges(data, ("item", "has_kg_rev_made_by", "kg_rev_made_by")) == {(2, 0)}


def test_names_of_any_script_stay_apart(tmp_path):
    columns = {
        "жанр": ["драма", "драма"],
        "год": ["1999", "2001"],
        "?": ["x", "y"],
        "!": ["x", "y"],
    }
    triples = [("0", "执导", "A"), ("1", "执导", "A"), ("0", "主演", "A"), ("2", "主演", "A")]
    data = build(films(triples, items=pd.DataFrame({"item": ["0", "1"], **columns})))
    save_kg(data, tmp_path)
    data = load_kg(tmp_path)
    relations = {"жанр", "год", "value_3f", "value_21", "执导", "主演"}
    assert {f"has_{name}" for name in relations} <= {relation for _, relation, _ in data.edge_types}
    assert edges(data, ("item", "has_执导", "执导")) == {(0, 0), (1, 0)}
    assert edges(data, ("item", "has_主演", "主演")) == {(0, 0), (2, 0)}
    there, back = ("item", "has_жанр", "жанр"), ("жанр", "rev_has_жанр", "item")
    assert PathWords(data).sentence((there, back), [0, 0, 1]) == "shares жанр драма with 0"
    assert data.to_homogeneous().num_edges == sum(data[e].num_edges for e in data.edge_types)
    assert data.validate()


def test_table_names_counts_and_merges():
    rows = kg_table(toy_kg())
    text = {(r.kind, r.name): r.count for r in rows}
    assert text["node", "genre"] == 5
    assert text["edge", "user -rated-> item"] == 24
    assert not any("rev_" in r.name for r in rows)


def test_no_tables_at_all():
    split_free = films([])
    data = build_kg(split_free, np.array([5, 5]), KGConfig())
    assert data.node_types == ["item", "user"]
    assert make_split(split_free, DataConfig()).train_end.tolist() == [3, 3]
