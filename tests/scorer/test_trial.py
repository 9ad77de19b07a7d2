"""The trial of custom scorers: what cannot be trained or saved is refused before training."""

import re
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from lkgrag.config import ScorerConfig
from lkgrag.errors import ConfigError
from lkgrag.scorer import PathScorer, build_scorer
from lkgrag.scorer.resolver import REGISTERED
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out, warn_of_idle_parts
from lkgrag.testing import PathScorerTests, toy_kg, toy_paths
from lkgrag.training.pretraining import pretrain


class Plain(PathScorer):
    """Weighs meta-paths; each of its subclasses has one fault."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.weight = nn.Parameter(torch.zeros(len(metapaths)))

    def forward(self, data, paths):
        return paths.weight.log() + self.weight[paths.metapath]


class Nothing(Plain):
    def forward(self, data, paths):
        return None


class Mapping(Plain):
    def forward(self, data, paths):
        return {"salience": super().forward(data, paths), "candidate": None}


class Column(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths)[:, None]


class Truth(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) > 0


class Complex(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) * 1j


class Masked(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths).masked_fill(paths.metapath == 0, -torch.inf)


class NotANumber(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) * torch.nan


class SparseGradient(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.bias = nn.Embedding(len(metapaths), 1, sparse=True)

    def forward(self, data, paths):
        return super().forward(data, paths) + self.bias(paths.metapath)[:, 0]


class SparseBuffer(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.register_buffer("adjacency", torch.eye(3).to_sparse())


class ExtraState(Plain):
    def get_extra_state(self):
        return {"steps": 1}

    def set_extra_state(self, state):
        pass


class LateBuffer(Plain):
    def forward(self, data, paths):
        self.register_buffer("degree", torch.ones(3))
        return super().forward(data, paths)


class LateSize(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.linear = nn.LazyLinear(1)

    def forward(self, data, paths):
        return self.linear(super().forward(data, paths)[:, None])[:, 0]


class ChangesWeights(Plain):
    def forward(self, data, paths):
        for store in data.edge_stores:
            if "weight" in store:
                store["weight"].mul_(0.5)
        return super().forward(data, paths)


class AddsToTheGraph(Plain):
    def forward(self, data, paths):
        data.extra = torch.ones(3)
        return super().forward(data, paths)


class ChangesPaths(Plain):
    def forward(self, data, paths):
        return paths.weight.log_() + self.weight[paths.metapath]


class ChangesRatings(Plain):
    def forward(self, data, paths):
        paths.history_rating[paths.history_rating.isnan()] = 0.0
        return super().forward(data, paths)


class Chance(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) + torch.randn(len(paths))


class Counts(Plain):
    """Its scores depend on how often it was called."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, data, paths):
        self.calls += 1
        return super().forward(data, paths) * self.calls


class Raises(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths)[:, 1]


class ReadsVectors(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) + data["item"].x.mean()


class ReadsAllVectors(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths) + data.x_dict["item"].mean()


class Tied(Plain):
    """Two names of one parameter, which is allowed."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)
        self.second.weight = self.first.weight

    def forward(self, data, paths):
        x = super().forward(data, paths)[:, None]
        return self.second(self.first(x))[:, 0]


class TensorState(Tied):
    """State beside parameters and buffers, which is allowed if it is a tensor."""

    seen = 0

    def get_extra_state(self):
        return torch.tensor(self.seen)

    def set_extra_state(self, state):
        self.seen = int(state)


class Eighth(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths).detach().to(torch.float8_e4m3fn)


class Sparse(Plain):
    def forward(self, data, paths):
        return super().forward(data, paths).to_sparse()


class Elsewhere(Plain):
    def forward(self, data, paths):
        return torch.zeros(len(paths), device="meta")


class WithoutValues(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.bias = nn.Parameter(torch.zeros(1, device="meta"))


class InPlace(Plain):
    def forward(self, data, paths):
        x = super().forward(data, paths).exp()
        y = x.log()
        x += 1
        return y


class NoWay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise KeyError("no way")


class FailsBackwards(Plain):
    def forward(self, data, paths):
        return NoWay.apply(super().forward(data, paths))


class Orphan(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        """Without that of the base class."""


def build(cls, data, paths):
    config = ScorerConfig(name=f"{__name__}:{cls.__name__}")
    return build_scorer(config, data, paths.metapaths)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Nothing, "PathScores with two tensors, or a tensor of saliences, got NoneType"),
        (Mapping, "got dict"),
        (Column, r"salience, one value a path, must have shape \[\d+\], got \[\d+, 1\]"),
        (Truth, "salience, one value a path, must be floats of 16 bits or more, got bool"),
        (Complex, "must be floats of 16 bits or more, got complex64"),
        (Eighth, "must be floats of 16 bits or more, got float8"),
        (Sparse, "must be a dense tensor, got sparse_coo"),
        (Elsewhere, "must be on the device of the paths, cpu, got meta"),
        (WithoutValues, "'bias' is on the device meta"),
        (InPlace, r"the gradient of its scores cannot be computed \(RuntimeError"),
        (FailsBackwards, r"the gradient of its scores cannot be computed \(KeyError: 'no way'"),
        (Masked, "NaN or infinite"),
        (NotANumber, "NaN or infinite"),
        (SparseGradient, "'bias.weight' has a sparse gradient"),
        (SparseBuffer, "'adjacency', a sparse tensor"),
        (ExtraState, "'_extra_state', a dict"),
        (LateBuffer, "constructor must register all parameters and buffers"),
        (LateSize, "'linear.weight' has no size before the first batch"),
        (ChangesWeights, "changes the graph"),
        (AddsToTheGraph, "changes the graph"),
        (ChangesPaths, "changes the paths"),
        (ChangesRatings, "changes the paths"),
        (Chance, "other scores when it is called again"),
        (Counts, "other scores when it is called again"),
        (Raises, r"its forward\(\) fails \(IndexError: too many indices"),
    ],
)
def test_what_would_fail_later_is_refused(tmp_path, cls, words):
    data = toy_kg()
    paths = toy_paths(data=data)
    with pytest.raises(ConfigError, match=words) as error:
        try_out(partial(build, cls, data, paths), data, paths, tmp_path / "file")
    assert str(error.value).startswith(f"scorer.name={__name__}:{cls.__name__}: ")


def test_a_constructor_calls_that_of_the_base_class():
    data = toy_kg()
    with pytest.raises(ConfigError, match=r"Orphan does not call super\(\).__init__\("):
        build(Orphan, data, toy_paths(data=data))


@pytest.mark.parametrize(
    ("cls", "test"),
    [
        (SparseGradient, "every_parameter_learns"),
        (SparseBuffer, "state_survives"),
        (ExtraState, "state_survives"),
        (LateBuffer, "state_survives"),
        (LateSize, "state_survives"),
        (ChangesWeights, "input_is_not_changed"),
        (AddsToTheGraph, "input_is_not_changed"),
    ],
)
def test_the_suite_finds_what_a_run_refuses(tmp_path, cls, test):
    suite = PathScorerTests()
    suite.scorer = cls
    data = toy_kg()
    arguments = [data, toy_paths(data=data)] + [tmp_path] * (test == "state_survives")
    with pytest.raises((AssertionError, ConfigError)):
        getattr(suite, f"test_{test}")(*arguments)


@pytest.mark.parametrize("cls", [Plain, Tied, TensorState])
def test_what_is_allowed_is_trained_and_comes_back(tmp_path, cls):
    data, paths = toy_kg(), toy_paths(num_prompts=12)
    try_out(partial(build, cls, data, paths), data, paths, tmp_path / "file")
    scorer, again = (build(cls, data, paths) for _ in range(2))
    scorer.seen = 7
    pretrain(scorer, data, paths, [0] * 12, ScorerConfig(pretrain_epochs=2))
    save_scorer(tmp_path / "file", scorer)
    load_scorer(tmp_path / "file", again)
    assert torch.equal(again(data, paths), scorer(data, paths))
    assert cls is not TensorState or again.seen == 7


def test_a_state_of_another_class_is_named(tmp_path):
    data = toy_kg()
    paths = toy_paths(data=data)
    save_scorer(tmp_path / "file", build(Tied, data, paths))
    with pytest.raises(ConfigError, match=r":Plain: .*file does not fit .*Unexpected key"):
        load_scorer(tmp_path / "file", build(Plain, data, paths))


class Whole(Plain):
    """Integer scores."""

    def forward(self, data, paths):
        return (super().forward(data, paths) * 10).long()


class Cut(Plain):
    """Scores without a way back to the parameters."""

    def forward(self, data, paths):
        return super().forward(data, paths).detach()


class Zero(Plain):
    """A parameter whose factor is always 0."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.silent = nn.Parameter(torch.ones(()))

    def forward(self, data, paths):
        return super().forward(data, paths) + 0 * self.silent


class Frozen(Zero):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.silent.requires_grad_(False)


class Idle(Plain):
    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.idle = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (
            Whole,
            "its scores are int64, through which nothing is learned: return floats. .* 'weight'",
        ),
        (Cut, "no gradient ever reached 'weight'"),
        (Zero, "no gradient ever reached 'silent'"),
        (Idle, "no gradient ever reached 'idle.weight', 'idle.bias'"),
        (Frozen, None),
        (Plain, None),
    ],
)
def test_what_never_learns_is_said_once(tmp_path, caplog, cls, words):
    data, paths = toy_kg(), toy_paths(num_prompts=12)
    structural = try_out(partial(build, cls, data, paths), data, paths, tmp_path / "file")
    assert set(structural) == {"idle.weight", "idle.bias"} & set(structural) | (
        {"weight"} if cls in (Whole, Cut) else set()
    )
    scorer = build(cls, data, paths)
    done = pretrain(scorer, data, paths, [0] * 12, ScorerConfig(pretrain_epochs=2))
    warn_of_idle_parts(scorer, data, paths, done.idle)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (words is not None)
    assert not told or re.search(words, told[0])
    assert not told or told[0].startswith(f"scorer.name={__name__}:{cls.__name__}: ")


def test_a_forward_that_fails_later_is_told_in_one_line():
    data, paths = toy_kg(), toy_paths(num_prompts=12)
    scorer = build(Plain, data, paths)
    scorer.forward = lambda data, paths: 1 / 0
    with pytest.raises(ConfigError, match=r":Plain: its forward\(\) fails \(ZeroDivisionError"):
        pretrain(scorer, data, paths, [0] * 12, ScorerConfig(pretrain_epochs=2))


def test_the_suite_names_the_parameters_that_do_not_learn():
    suite, data = PathScorerTests(), toy_kg()
    suite.scorer = Idle
    with pytest.raises(AssertionError, match=r"reaches idle\.weight, idle\.bias(\n|$)"):
        suite.test_every_parameter_learns(data, toy_paths(data=data))


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_a_graph_without_paths_brings_no_warning(name):
    data = toy_kg()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_scorer(ScorerConfig(name=name), data, [])


@pytest.mark.parametrize("faulty", [ReadsVectors, ReadsAllVectors])
def test_a_scorer_that_reads_vectors_is_told_the_option(faulty, tmp_path):
    data, paths = toy_kg(), toy_paths()
    num_nodes = {t: data[t].num_nodes for t in data.node_types}
    make = partial(faulty, data.metadata(), num_nodes, paths.metapaths)
    with pytest.raises(ConfigError, match=r"its forward\(\) fails .*set text.encoder=minilm$"):
        try_out(make, data, paths, tmp_path / "scorer")
    data["item"].x = torch.ones(data["item"].num_nodes, 3)
    try_out(make, data, paths, tmp_path / "scorer")
