import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, PathsConfig, ScorerConfig
from lkgrag.data import Queries, make_split
from lkgrag.errors import ConfigError
from lkgrag.evaluation import pessimistic_rank
from lkgrag.kg import build_kg
from lkgrag.paths import PathFinder
from lkgrag.scorer import build_scorer
from lkgrag.testing import planted
from lkgrag.training.pretraining import ExampleLists, _split_by_user, pretrain, pretrain_parts


@pytest.fixture(scope="module")
def world():
    """Lists of ten in which the target shares a maker with the latest item."""
    interactions = planted(num_users=150)
    split = make_split(interactions, DataConfig())
    data = build_kg(interactions, split.train_end, KGConfig(behaviour=False))
    finder = PathFinder(data, PathsConfig())
    rng = np.random.default_rng(0)

    def ask(events):
        candidates = np.stack(
            [
                np.append(
                    rng.permutation(np.setdiff1d(np.arange(interactions.num_items), t))[:9], t
                )
                for t in events.target
            ]
        )
        candidates = rng.permuted(candidates, axis=1)
        prior = np.zeros(candidates.shape, np.float32)
        queries = Queries.from_events(interactions, events, candidates, prior, 5)
        return queries, finder(queries)

    return data, ask(split.val), ask(split.test)


def accuracy(scorer, data, asked):
    queries, paths = asked
    with torch.no_grad():
        scores = scorer(data, paths).candidate
    return (pessimistic_rank(scores, queries.target) == 1).mean()


def build(world, seed=0):
    data, (_, paths), _ = world
    torch.manual_seed(seed)
    return build_scorer(ScorerConfig(), data, paths.metapaths)


def test_learns_which_relation_decides(world):
    data, (queries, paths), test = world
    scorer = build(world)
    before = accuracy(scorer, data, test)
    result = pretrain(scorer, data, paths, queries.target, ScorerConfig(pretrain_epochs=15))
    after = accuracy(scorer, data, test)
    assert after > 0.6
    assert after > before + 0.1
    assert not scorer.training
    best = result.curve[result.best_epoch]
    assert best["held"] == min(row["held"] for row in result.curve)
    assert best["held"] < 0.7 * best["held_prior"] == pytest.approx(0.7 * np.log(10))
    assert result.a > 0
    # The paths of the deciding relation are the salient ones.
    with torch.no_grad():
        salience = scorer(data, paths).salience
    by_maker = torch.tensor([m[0][1] == "has_maker" for m in paths.metapaths])[paths.metapath]
    assert salience[by_maker].mean() > salience[~by_maker].mean() + 1


def test_seed_decides_and_the_global_generator_is_left_alone(world):
    data, (queries, paths), _ = world
    config = ScorerConfig(pretrain_epochs=2)
    states, curves = [], []
    for _ in range(2):
        scorer = build(world)
        torch.manual_seed(99)
        curves.append(pretrain(scorer, data, paths, queries.target, config, seed=1).curve[1:])
        luck = torch.rand(1)
        torch.manual_seed(99)
        assert torch.equal(luck, torch.rand(1))
        states.append(scorer.state_dict())
    assert curves[0] == curves[1]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_never_worse_than_the_start_on_held_out_users(world):
    data, (queries, paths), _ = world
    wrong = np.random.default_rng(0).integers(0, 10, len(queries))
    scorer = build(world)
    state = {k: v.clone() for k, v in scorer.state_dict().items()}
    result = pretrain(scorer, data, paths, wrong, ScorerConfig(pretrain_epochs=8, pretrain_lr=0.1))
    assert result.curve[result.best_epoch]["held"] <= result.curve[0]["held"]
    if result.best_epoch == 0:
        assert all(torch.equal(state[k], v) for k, v in scorer.state_dict().items())


def test_users_are_on_one_side_only():
    user = np.repeat([4, 7, 9, 11, 12, 15, 16], 3)
    learn, held = _split_by_user(user, seed=0)
    assert set(learn) | set(held) == set(range(21))
    assert not set(user[learn]) & set(user[held])
    assert len(held) == 3
    learn, held = _split_by_user(np.full(20, -1), seed=0)
    assert (len(learn), len(held)) == (17, 3)
    learn, held = _split_by_user(np.zeros(5, np.int64), seed=0)
    assert len(learn) == len(held) == 5


def test_nothing_to_learn(world):
    data, (queries, paths), _ = world
    shortest = build_scorer(ScorerConfig(name="shortest"), data, paths.metapaths)
    assert pretrain(shortest, data, paths, queries.target, ScorerConfig()).curve == []
    none = ScorerConfig(pretrain_epochs=0)
    assert pretrain(build(world), data, paths, queries.target, none).curve == []
    with pytest.raises(ValueError, match="must hold its target"):
        pretrain(build(world), data, paths, queries.target * 0 - 1, ScorerConfig())


def test_a_loss_that_is_not_finite_in_training_is_told(world):
    """On the held-out lists nothing is seen of it: that would leave the scorer as it was built."""
    data, (queries, paths), _ = world
    scorer = build(world)
    forward = scorer.forward

    def no_number(data, paths):
        scores = forward(data, paths)
        return scores.salience * torch.nan if scorer.training else scores

    scorer.forward = no_number
    with pytest.raises(ConfigError, match=r"scorer\.name=.*its loss in training is nan; lower"):
        pretrain(scorer, data, paths, queries.target, ScorerConfig(pretrain_epochs=2))


def test_lists_of_several_graphs_are_learned_from_together(world):
    """One graph in two parts: all lists are learned from, and no batch mixes the parts."""
    data, (queries, paths), test = world
    other = build_kg(planted(num_users=150), np.zeros(len(queries), int), KGConfig(behaviour=False))
    seen, scorer = [], build(world)
    forward = scorer.forward

    def watch(graph, batch):
        seen.append((graph is data, {*batch.user.tolist()}))
        return forward(graph, batch)

    scorer.forward = watch
    halves = [np.flatnonzero(queries.user % 2 == half) for half in (0, 1)]
    lists = [
        ExampleLists(graph, paths.prompts(torch.as_tensor(half)), queries.target[half])
        for graph, half in zip((data, other), halves, strict=True)
    ]
    result = pretrain_parts(scorer, lists, ScorerConfig(pretrain_epochs=15))
    for is_first, users in seen:
        assert {user % 2 for user in users} == {0 if is_first else 1}
    assert set().union(*(users for _, users in seen)) == {*queries.user.tolist()}
    assert result.curve[result.best_epoch]["held"] < 0.8 * np.log(10)
    scorer.forward = forward
    assert accuracy(scorer, data, test) > 0.6


def test_one_part_is_as_ever(world):
    data, (queries, paths), _ = world
    config = ScorerConfig(pretrain_epochs=2)
    one, two = build(world), build(world)
    first = pretrain(one, data, paths, queries.target, config, seed=3)
    second = pretrain_parts(two, [ExampleLists(data, paths, queries.target)], config, seed=3)
    assert first.curve[1:] == second.curve[1:]
