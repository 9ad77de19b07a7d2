"""Data that grow equal data that were read at once; what is known keeps its indices and its order."""

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.data.frames import build_tables
from lkgrag.data.growth import grow
from lkgrag.data.memory import content_digest
from lkgrag.data.stored import load_interactions, save_interactions
from lkgrag.errors import DataError, LkgragError

ALL = DataConfig(min_user=1, min_item=1)


def frame(rows, columns=("user", "item", "rating", "time")):
    return pd.DataFrame(rows, columns=list(columns))


def events(number=300, seed=0, users=20, items=15, step=7):
    rng = np.random.default_rng(seed)
    pairs = {(f"u{a}", f"i{b}") for a, b in rng.integers(0, [users, items], (number, 2)).tolist()}
    rows = sorted(pairs)
    rng.shuffle(rows)
    times = 1e9 + step * np.arange(len(rows)) // step
    return frame([(u, i, 3.0, t) for (u, i), t in zip(rows, times, strict=True)])


def grown(known, new, config=ALL, items=None, triples=None, users=None, **options):
    return grow(known, build_tables(new, items, triples, users, {}), config, **options)


def sequences(x):
    return {u: [x.item_ids[i] for i in x.sequence(n).tolist()] for n, u in enumerate(x.user_ids)}


@pytest.mark.parametrize("ties", ["hash", "file", "id"])
@pytest.mark.parametrize("rule", ["last", "first", "keep", "error"])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_grown_data_equal_data_that_were_read_at_once(ties, rule, share):
    config = DataConfig(min_user=1, min_item=1, ties=ties, duplicates=rule)
    table = events(step=5)
    if rule != "error":
        again = table.sample(40, random_state=1).assign(time=table["time"].max() + 3)
        table = pd.concat([table, again], ignore_index=True)
    cut = int(share * len(table)) or 1
    known = Interactions.from_frames(table[:cut], config=config)
    whole = Interactions.from_frames(table, config=config)
    found = grown(known, table[cut:], config)
    assert sequences(found.interactions) == sequences(whole)
    assert found.interactions.user_ids[: known.num_users] == known.user_ids
    assert found.interactions.item_ids[: known.num_items] == known.item_ids
    # The same lines again, and all lines at once, change nothing.
    for lines in (table[cut:], table):
        twice = grown(found.interactions, lines, config)
        assert twice.report.new == 0 or rule in ("first", "last")
        assert content_digest(twice.interactions) == content_digest(found.interactions)


def test_late_interactions_are_sorted_in_by_time():
    known = Interactions.from_frames(frame([("a", "x", 1, 10.0), ("a", "y", 1, 30.0)]), config=ALL)
    found = grown(known, frame([("a", "z", 5, 20.0)]))
    assert sequences(found.interactions) == {"a": ["x", "z", "y"]}
    np.testing.assert_array_equal(found.interactions.rating, [1, 5, 1])
    np.testing.assert_array_equal(found.interactions.time, [10, 20, 30])


def test_without_times_the_order_of_appearance_counts_after_the_known_ones():
    known = Interactions.from_frames(
        frame([("a", "x"), ("a", "y"), ("b", "y")], ["user", "item"]), config=ALL
    )
    new = frame([("a", "w"), ("b", "x"), ("a", "y"), ("a", "v")], ["user", "item"])
    found = grown(known, new)
    assert sequences(found.interactions) == {"a": ["x", "y", "w", "v"], "b": ["y", "x"]}
    assert (found.report.known, found.report.new, found.report.items) == (1, 3, 2)
    # And after known ones with times, which later ones with times follow.
    dated = Interactions.from_frames(frame([("a", "x", 1, 10.0), ("a", "y", 1, 30.0)]), config=ALL)
    undated = grown(dated, new[:1]).interactions
    assert sequences(undated)["a"] == ["x", "y", "w"]
    later = grown(undated, frame([("a", "q", 1, 40.0), ("a", "p", 1, 20.0)])).interactions
    assert sequences(later)["a"] == ["x", "p", "y", "w", "q"]


def test_new_items_follow_with_titles_attributes_and_triples():
    items = pd.DataFrame({"item": ["x", "y"], "title": ["X", "Y"], "genre": [["A"], ["B"]]})
    triples = frame([("x", "by", "d1"), ("y", "by", "d2")], ["head", "relation", "tail"])
    known = Interactions.from_frames(
        frame([("a", "x", 1, 1.0), ("b", "y", 1, 2.0)]), items, triples, config=ALL
    )
    table = pd.DataFrame(
        {
            "item": ["n", "m", "x"],
            "title": ["N", None, "X, again"],
            "genre": [["A", "C"], [], []],
            "colour": ["red", "", ""],
        }
    )
    more = frame(
        [("n", "by", "d1"), ("n", "cites", "y"), ("x", "by", "d1")], ["head", "relation", "tail"]
    )
    found = grown(known, frame([("c", "n", 1, 3.0)]), items=table, triples=more)
    x = found.interactions
    assert x.item_ids == ["x", "y", "n", "m"]
    assert x.items["title"].tolist() == ["X, again", "Y", "N", None]
    assert x.items["genre"].tolist() == [["A"], ["B"], ["A", "C"], []]
    assert x.titles == ["X, again", "Y", "N", "m"]
    assert x.triples.to_numpy().tolist()[2:] == [["n", "by", "d1"]]
    assert x.links["entity"].tolist() == ["x", "y", "n", "m"]
    report = found.report
    assert (report.items, report.unchosen, report.changed, report.triples) == (2, 1, 1, 1)
    assert any("'colour'" in line for line in report.ignored)
    assert any("'cites'" in line for line in report.ignored)
    chosen = grown(known, frame([("c", "n", 1, 3.0)]), items=table, unchosen=False)
    assert chosen.interactions.item_ids == ["x", "y", "n"]


def test_new_items_without_any_interaction():
    known = Interactions.from_frames(events(), config=ALL)
    found = grown(known, frame([]), items=pd.DataFrame({"item": ["n"], "title": ["New"]}))
    assert found.interactions.item_ids[-1] == "n"
    assert found.interactions.titles[-1] == "New"
    assert len(found.interactions) == len(known)


def test_few_interactions_are_enough_unless_more_are_asked_for():
    known = Interactions.from_frames(events(), config=ALL)
    new = frame(
        [("n", "i1", 1, 2e9), ("n", "j", 1, 2e9 + 1), ("u1", "j", 1, 2e9), ("o", "i2", 1, 2e9)]
    )
    found = grown(known, new)
    assert (found.report.users, found.report.items, found.report.dropped) == (2, 1, 0)
    cut = grown(known, new, DataConfig(min_user=2, min_item=2))
    assert (cut.report.users, cut.report.items, cut.report.dropped) == (1, 1, 1)
    none = grown(known, new, DataConfig(min_user=3, min_item=1))
    assert (none.report.users, none.report.items, none.report.dropped) == (0, 1, 3)


def test_a_known_pair_at_another_time_is_refused_where_duplicates_are_errors():
    config = DataConfig(min_user=1, min_item=1, duplicates="error")
    known = Interactions.from_frames(frame([("a", "x", 1, 10.0)]), config=config)
    assert grown(known, frame([("a", "x", 1, 10.0)]), config).report.known == 1
    with pytest.raises(DataError, match=r"user 'a' has item 'x' twice.*data\.duplicates=error"):
        grown(known, frame([("a", "x", 1, 11.0)]), config)


def test_triples_that_touch_no_item_are_refused():
    triples = frame([("x", "by", "d1")], ["head", "relation", "tail"])
    known = Interactions.from_frames(frame([("a", "x", 1, 1.0)]), None, triples, config=ALL)
    with pytest.raises(DataError, match="not one joins"):
        grown(known, frame([]), triples=frame([("q", "by", "r")], ["head", "relation", "tail"]))


def test_untitled_items_stay_out_where_they_were_dropped():
    config = DataConfig(min_user=1, min_item=1, untitled="drop")
    items = pd.DataFrame({"item": ["x", "y"], "title": ["X", "Y"]})
    known = Interactions.from_frames(frame([("a", "x", 1, 1.0)]), items, config=config)
    new = frame([("b", "x", 1, 2.0), ("b", "n", 1, 3.0), ("b", "o", 1, 4.0)])
    titles = pd.DataFrame({"item": ["n", "o"], "title": ["N", ""]})
    assert grown(known, new, config, items=titles).interactions.item_ids == ["x", "n"]


def test_stored_interactions_are_read_back_as_they_were(tmp_path):
    items = pd.DataFrame(
        {
            "item": ["x", "y"],
            "title": ["X", None],
            "id": [["1"], []],
            "0": ["a", "b"],
            "length": ["", "z"],
        }
    )
    triples = frame([("x", "by", "d1")], ["head", "relation", "tail"])
    users = pd.DataFrame({"user": ["a"], "age": ["30"]})
    table = frame([("a", "x", 1, 1.0), ("b", "y", np.nan, np.nan)])
    known = Interactions.from_frames(table, items, triples, users, config=ALL)
    save_interactions(known, tmp_path)
    read = load_interactions(tmp_path)
    assert content_digest(read) == content_digest(known)
    assert read.stats == known.stats
    (tmp_path / "events.parquet").unlink()
    with pytest.raises(LkgragError, match=r"events\.parquet.*train again"):
        load_interactions(tmp_path)


def test_another_rating_and_positions_for_times_are_told():
    rows = [("a", "x", 1, 0.0), ("a", "y", 2, 1.0), ("b", "y", 3, 0.0)]
    known = Interactions.from_frames(frame(rows), config=ALL)
    found = grown(known, frame([("a", "x", 5, 0.0), ("a", "y", np.nan, 1.0), ("a", "z", 1, 0.0)]))
    assert sequences(found.interactions)["a"][-1] == "y"
    assert found.interactions.rating.tolist()[-1] == 3
    rating, positions = found.report.ignored
    assert rating.startswith("1 known interactions have another rating")
    assert "positions" in positions
    assert "1 new interactions" in positions
    assert grown(known, frame([("a", "z", 1, 2.0)])).report.ignored == ()


def test_composed_and_decomposed_ids_are_the_same():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    known = Interactions.from_frames(frame([(composed, "x", 1, 1.0)]), config=ALL)
    new = frame(
        [(decomposed, "x", 1, 1.0), (decomposed, composed, 1, 2.0), ("b", decomposed, 1, 2.0)]
    )
    found = grown(known, new)
    assert sequences(found.interactions) == {composed: ["x", composed], "b": [composed]}
    assert found.report.known == 1


def test_a_new_item_is_linked_by_the_triples_that_begin_with_its_id(caplog):
    items = pd.DataFrame({"item": ["x"], "title": ["X"]})
    tables = build_tables(frame([("a", "x", 1, 1.0), ("a", "y", 1, 2.0)]), items, None, None, {})
    tables.triples = frame([("m.1", "by", "m.2")], ["head", "relation", "tail"])
    tables.links = frame([("x", "m.1")], ["item", "entity"])
    known = Interactions.from_tables(tables, ALL)
    new = frame([("b", "1998", 1, 3.0), ("b", "z", 1, 4.0)])
    more = frame([("z", "by", "m.2"), ("m.1", "by", "1998")], ["head", "relation", "tail"])
    x = grown(known, new, triples=more).interactions
    assert x.item_ids == ["x", "y", "1998", "z"]
    # A tail may look like an item's id by chance.
    assert x.links.to_numpy().tolist() == [[0, "m.1"], [3, "z"]]
    assert len(x.triples) == 3
    assert "in no triple" not in caplog.text
    with pytest.raises(DataError, match="not one joins"):
        grown(known, new, triples=frame([("q", "by", "1998")], ["head", "relation", "tail"]))
