"""Deleted interactions are nowhere."""

import numpy as np
import pytest
from helpers.small_run import write_shop

from benchmarks.language.deletion import World, without
from lkgrag.config.loading import load_config
from lkgrag.kg import build_kg
from lkgrag.run.stages import load_dataset


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop")
    write_shop(root)
    options = {"data.name": "shop", "data.root": str(root)}
    options |= {"data.min_user": "1", "data.min_item": "1"}
    dataset = load_dataset(load_config(options))
    return World.draw(dataset.interactions, dataset.split, 0)


def test_no_item_is_new_and_pseudo_new(world):
    assert not (world.new & world.pseudo).any()
    assert world.new.sum() == world.pseudo.sum() == round(0.1 * world.whole.num_items) > 0


def test_training_has_neither_hidden_items_nor_held_back_interactions(world):
    training = world.training
    assert not world.hidden[training.item].any()
    assert (np.diff(training.indptr) <= world.fit_end).all()
    assert len(training.user_ids) == world.whole.num_users
    for user in range(training.num_users):
        first = world.whole.sequence(user)[: world.fit_end[user]]
        assert training.sequence(user).tolist() == first[~world.hidden[first]].tolist()


def test_the_graph_has_no_behaviour_of_hidden_items(world):
    training = world.training
    graph = build_kg(training, np.diff(training.indptr), load_config({}).kg)
    for source, relation, target in graph.edge_types:
        if relation in ("rated", "rev_rated", "followed_by", "rev_followed_by", "co_rated"):
            edges = graph[source, relation, target].edge_index.numpy()
            for end, kind in ((0, source), (1, target)):
                if kind == "item":
                    assert not world.hidden[edges[end]].any()


def test_events_have_the_items_asked_for_and_histories_without_hidden_ones(world):
    for items in (world.new, world.pseudo):
        events = world.events(items)
        assert items[events.target].all()
        histories = world.histories(events)
        assert not any(world.hidden[h].any() for h in histories)
        for user, position, history in zip(events.user, events.position, histories, strict=True):
            before = world.whole.sequence(user)[:position]
            assert history.tolist() == before[~world.hidden[before]].tolist()
    # All validation events and held-back ones are of new, of pseudo-new or of other items.
    parts = [len(world.events(x)) for x in (world.new, world.pseudo, ~world.hidden)]
    assert sum(parts) == len(world.val) + len(world.held)


def test_older_events_lie_before_the_held_back_ones(world):
    events = world.older(world.pseudo)
    assert world.pseudo[events.target].all()
    assert (events.position < world.fit_end[events.user]).all()


def test_nothing_is_deleted_without_hidden_items(world):
    none = np.zeros(world.whole.num_items, bool)
    kept = without(world.whole, world.train_end, none)
    assert len(kept) == world.train_end.sum()
    assert kept.sequence(0).tolist() == world.whole.sequence(0)[: world.train_end[0]].tolist()
