"""Planted leaks are found, and what is clean is not accused."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lkgrag import audit as command
from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions, make_split
from lkgrag.kg import build_kg
from lkgrag.kg.checks.audit import CHECKED, LEAK, NO_SIGN, SUSPECTED, audit
from lkgrag.testing import planted

CONFIG = KGConfig()


@pytest.fixture(scope="module")
def shop():
    return planted(num_users=300, num_items=120, seed=5)


def with_triples(x, triples):
    """The same interactions with further relations."""
    frame = pd.DataFrame(
        {
            "user": [x.user_ids[u] for u in x.user],
            "item": [x.item_ids[i] for i in x.item],
            "rating": x.rating,
            "time": x.time,
        }
    )
    items = pd.DataFrame({"item": x.item_ids, "title": x.titles, "colour": list(x.items["colour"])})
    table = pd.DataFrame(triples, columns=["head", "relation", "tail"])
    config = DataConfig(min_user=1, min_item=1)
    return Interactions.from_frames(frame, items, table, config=config)


def findings(x, config=CONFIG, data=None):
    split = make_split(x, DataConfig())
    data = build_kg(x, split.train_end, config) if data is None else data
    return {f.relation: f for f in audit(data, x, split, config)}


def test_a_clean_graph(shop):
    found = findings(shop)
    assert {n for n, f in found.items() if f.verdict == CHECKED} == {
        "rated",
        "followed_by",
        "co_rated",
    }
    assert {f.verdict for f in found.values()} == {CHECKED, NO_SIGN}
    # The maker decides what comes next, in training as in test: that is knowledge, not a leak.
    assert found["has_maker"].test.lift > 2
    assert found["has_colour"].test.lift == pytest.approx(1, abs=0.2)


def test_links_made_of_the_answers(shop):
    split = make_split(shop, DataConfig())
    pairs = {
        (shop.sequence(u)[p - 1], t)
        for u, p, t in zip(split.test.user, split.test.position, split.test.target, strict=True)
    }
    triples = [(shop.item_ids[a], "goes_with", shop.item_ids[b]) for a, b in pairs]
    found = findings(with_triples(shop, triples))
    assert found["goes_with"].verdict == LEAK
    assert found["goes_with"].test.true > 0.9
    assert found["has_colour"].verdict == NO_SIGN


def test_values_made_of_the_answers(shop):
    split = make_split(shop, DataConfig())
    triples = []
    for u, p, t in zip(split.test.user, split.test.position, split.test.target, strict=True):
        triples += [(shop.item_ids[i], "in_basket", f"b{u}") for i in (shop.sequence(u)[p - 1], t)]
    found = findings(with_triples(shop, triples))
    assert found["has_in_basket"].verdict == LEAK


def test_links_made_of_all_choices_are_suspect(shop, capsys):
    """As `also_bought`: crawled after everything, it knows training and test alike."""
    triples = set()
    for u in range(shop.num_users):
        sequence = shop.sequence(u).tolist()
        for a, b in itertools.pairwise(sequence):
            triples.add((shop.item_ids[a], "also_bought", shop.item_ids[b]))
    found = findings(with_triples(shop, sorted(triples)))
    assert found["also_bought"].verdict == SUSPECTED
    assert found["also_bought"].train.lift > 3
    command.print_findings(list(found.values()))
    assert "to leave them out: kg.exclude=[also_bought]" in capsys.readouterr().out


def test_behaviour_counted_with_the_test(shop):
    split = make_split(shop, DataConfig())
    later = build_kg(shop, split.train_end + 1, CONFIG)
    found = findings(shop, data=later)
    for name in ("rated", "followed_by", "co_rated"):
        assert found[name].verdict == LEAK
        assert found[name].over > 0


def test_what_came_later(shop):
    found = findings(shop)
    assert 0 < found["rated"].later < 1
    x, split = shop, make_split(shop, DataConfig())
    mask = x.position < split.train_end[x.user]
    when = x.time[x.indptr[split.test.user] + split.test.position]
    expected = np.mean([(x.time[mask] >= t).mean() for t in when])
    assert found["rated"].later == pytest.approx(expected)
    timed = findings(shop, replace(CONFIG, temporal=True))
    assert timed["followed_by"].later == 0.0
    assert np.isnan(found["has_maker"].later)


def test_the_command(small_run, tmp_path, capsys):
    out = tmp_path / "audit.json"
    command.body({"run": str(small_run[0] / "out"), "out": str(out)}, set())
    text = capsys.readouterr().out
    assert "has_maker" in text
    assert "training only" in text
    assert max(map(len, text.splitlines())) <= 80
    found = json.loads(out.read_text())
    assert {f["relation"] for f in found} >= {"rated", "followed_by", "co_rated", "has_maker"}
