"""Triples that become links: direction, merged transposes, entities of several items, names."""

import numpy as np
import pandas as pd
import pytest

from lkgrag.kg.sources.triples import looks_like_id, triple_links


def links_of(triples, entities=None):
    """Links and report of triples; ``entities`` are pairs of an item and its entity."""
    if entities is None:
        entities = [(i, f"e{i}") for i in range(5)]
    table = pd.DataFrame(triples, columns=["head", "relation", "tail"], dtype=object)
    joined = pd.DataFrame(entities, columns=["item", "entity"]).astype({"item": np.int64})
    return triple_links(table, joined)


def edges(link):
    return set(zip(link.source.tolist(), link.target.tolist(), strict=True))


def only(triples, entities=None):
    (link,), report = links_of(triples, entities)
    return link, report


def test_no_triples():
    links, report = links_of([])
    assert links == []
    assert (report.merged, report.unlinked, report.outside) == ([], 0, {})


class TestDirection:
    def test_a_head_that_is_an_item_owns_the_value(self):
        link, _ = only([("e0", "film.film.directed_by", "Scott")])
        assert (link.owner, link.relation.name, link.relation.node) == (
            "item",
            "directed_by",
            "director",
        )
        assert edges(link) == {(0, "Scott")}

    def test_a_tail_that_is_an_item_owns_it_too(self):
        link, _ = only([("Scott", "film.director.film", "e0")])
        assert link.relation.name == "directed_by"
        assert edges(link) == {(0, "Scott")}

    def test_an_unknown_relation_towards_items_is_turned_and_renamed(self):
        link, _ = only([("Ann", "acted_in", "e1"), ("Bo", "acted_in", "e1")])
        assert link.relation.name == "acted_in_by"
        assert edges(link) == {(1, "Ann"), (1, "Bo")}

    def test_triples_against_the_direction_of_most_are_left_out_and_counted(self):
        triples = [("e0", "studio", "A"), ("e1", "studio", "A"), ("B", "studio", "e2")]
        link, report = only(triples)
        assert edges(link) == {(0, "A"), (1, "A")}
        assert report.outside == {"studio": 1}


class TestBetweenItems:
    def test_both_ends_are_items(self):
        link, _ = only([("e0", "remake", "e1")])
        assert link.relation.node == "item"
        assert edges(link) == {(0, 1)}
        assert link.target.dtype == np.int64

    def test_an_item_is_not_joined_with_itself(self):
        link, _ = only([("e0", "remake", "e0"), ("e0", "remake", "e1")])
        assert edges(link) == {(0, 1)}

    def test_what_leads_outside_is_left_out_and_counted(self):
        link, report = only([("e0", "sequel", "e1"), ("e0", "sequel", "x"), ("y", "sequel", "e2")])
        assert edges(link) == {(0, 1)}
        assert report.outside == {"sequel": 2}

    def test_few_pairs_of_items_leave_the_relation_its_values(self):
        # One triple in twenty joins two items: below the share that makes a relation one of items.
        values = [(f"e{i % 5}", "based_on", f"book {i}") for i in range(19)]
        links, _ = links_of([*values, ("e0", "based_on", "e1")])
        between, valued = links
        assert edges(between) == {(0, 1)}
        assert len(edges(valued)) == 19


class TestMerging:
    FORWARD = (("e0", "film.film.directed_by", "Scott"), ("e1", "film.film.directed_by", "Scott"))

    def test_a_transpose_is_merged_and_reported(self):
        backward = [(t, "film.director.film", h) for h, _, t in self.FORWARD]
        link, report = only([*self.FORWARD, *backward])
        assert edges(link) == {(0, "Scott"), (1, "Scott")}
        assert report.merged == ["film.director.film is the inverse of film.film.directed_by"]

    def test_the_same_pairs_are_merged(self):
        again = [(h, "z_directed", t) for h, _, t in self.FORWARD]
        link, report = only([*self.FORWARD, *again])
        assert link.origin == "film.film.directed_by"
        assert report.merged == ["z_directed is the same as film.film.directed_by"]

    def test_one_pair_more_is_another_relation(self):
        again = [(t, "film.director.film", h) for h, _, t in self.FORWARD]
        links, report = links_of([*self.FORWARD, *again, ("Scott", "film.director.film", "e2")])
        assert len(links) == 2
        assert report.merged == []

    def test_a_symmetric_relation_is_not_its_own_double(self):
        link, report = only([("e0", "similar_to", "e1"), ("e1", "similar_to", "e0")])
        assert edges(link) == {(0, 1), (1, 0)}
        assert report.merged == []

    def test_a_triple_twice_is_one_edge(self):
        link, _ = only([("e0", "studio", "A")] * 3)
        assert len(link.source) == 1


class TestEntities:
    def test_triples_without_an_item_are_counted(self):
        links, report = links_of([("x", "knows", "y"), ("x", "studio", "y"), ("e0", "studio", "A")])
        assert [edges(link) for link in links] == [{(0, "A")}]
        assert report.unlinked == 2

    def test_a_head_without_an_item_gives_no_edge(self):
        link, report = only([("e9", "studio", "A"), ("e1", "studio", "A")])
        assert edges(link) == {(1, "A")}
        assert report.unlinked == 1

    @pytest.mark.parametrize("end", ["head", "tail"])
    def test_every_item_of_an_entity_has_its_triples(self, end):
        entities = [(0, "m"), (1, "m"), (2, "e2")]
        triple = ("m", "studio", "A") if end == "head" else ("A", "film.director.film", "m")
        link, _ = only([triple], entities)
        assert edges(link) == {(0, "A"), (1, "A")}

    def test_items_of_one_entity_at_both_ends(self):
        entities = [(0, "m"), (1, "m"), (2, "n"), (3, "n")]
        link, _ = only([("m", "remake", "n"), ("m", "remake", "m")], entities)
        assert edges(link) == {(a, b) for a in (0, 1) for b in (2, 3)} | {(0, 1), (1, 0)}

    def test_an_item_of_two_entities_has_the_triples_of_both(self):
        link, _ = only([("m", "studio", "A"), ("n", "studio", "B")], [(0, "m"), (0, "n")])
        assert edges(link) == {(0, "A"), (0, "B")}

    def test_a_link_given_twice_counts_once(self):
        link, _ = only([("m", "studio", "A")], [(0, "m"), (0, "m")])
        assert link.source.tolist() == [0]


class TestNames:
    def test_values_that_are_mostly_identifiers_are_not_named(self):
        named, _ = only([("e0", "studio", "A"), ("e1", "studio", "B"), ("e2", "studio", "m.01")])
        assert named.named
        ids, _ = only([("e0", "studio", "m.01"), ("e1", "studio", "m.02"), ("e2", "studio", "B")])
        assert not ids.named

    def test_a_value_counts_once_however_many_items_have_it(self):
        triples = [(f"e{i}", "studio", "A") for i in range(4)]
        triples += [("e4", "studio", "m.01"), ("e4", "studio", "m.02")]
        assert not only(triples)[0].named

    @pytest.mark.parametrize(
        ("name", "is_id"),
        [
            ("m.0abc", True),
            ("/m/0abc", True),
            ("g.11b", True),
            ("Q42", True),
            ("P31", True),
            ("http://x.org/y", True),
            ("<http://x.org/y>", True),
            ("123456", True),
            ("7", True),
            ("1999", False),
            ("m.A", False),
            ("Ridley Scott", False),
            ("Q", False),
            ("主演", False),
        ],
    )
    def test_identifiers(self, name, is_id):
        assert looks_like_id(name) is is_id

    def test_links_come_in_the_order_of_their_relations(self):
        links, _ = links_of([("e0", "z", "A"), ("e0", "a", "B"), ("e1", "m", "C")])
        assert [link.origin for link in links] == ["a", "m", "z"]
