"""The suite of a path scorer.

In a test file of your own::

    from lkgrag.testing import PathScorerTests

    class TestMyScorer(PathScorerTests):
        scorer = MyScorer

Every test is of the contract in :mod:`lkgrag.scorer.base`, on a toy graph of ten films.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from lkgrag.ranker.fusion import list_cross_entropy
from lkgrag.scorer.base import PathScorer, PathScores, as_path_scores
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out
from lkgrag.testing.graph import toy_kg
from lkgrag.testing.paths import toy_paths

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch


class PathScorerTests:
    """Inherit, and set ``scorer``.

    Attributes:
        scorer: the class under test.
        kwargs: of its constructor, beyond the contract's.
        tolerance: of scores that must agree in another order or batch.
    """

    scorer: ClassVar[type[PathScorer]]
    kwargs: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def data(self) -> HeteroData:
        """The graph, of each test its own; override for one of yours."""
        return copy.deepcopy(_toy_kg())

    @pytest.fixture
    def paths(self, data: HeteroData) -> PathBatch:
        """A batch of prompts; override together with :meth:`data`."""
        return toy_paths(data=data)

    def build(self, data: HeteroData, paths: PathBatch, seed: int = 0) -> PathScorer:
        """A new scorer in evaluation mode."""
        torch.manual_seed(seed)
        scorer = self.scorer(
            metadata=data.metadata(),
            num_nodes={t: int(data[t].num_nodes or 0) for t in data.node_types},
            metapaths=paths.metapaths,
            **self.kwargs,
        )
        return scorer.eval()

    def scores(self, scorer: PathScorer, data: HeteroData, paths: PathBatch) -> PathScores:
        """Scores as the ranker takes them, which checks their shapes."""
        return as_path_scores(scorer(data, paths), paths)

    def same(self, a: Tensor, b: Tensor) -> None:
        """Fail unless the tensors agree within ``tolerance``."""
        torch.testing.assert_close(a, b, rtol=self.tolerance, atol=self.tolerance)

    def test_shapes_and_finite_values(self, data: HeteroData, paths: PathBatch) -> None:
        """One salience a path, one score a candidate, all finite."""
        salience, candidate = self.scores(self.build(data, paths), data, paths)
        assert salience.shape == (len(paths),)
        assert candidate.shape == paths.candidate_items.shape
        assert salience.isfinite().all()
        assert candidate.isfinite().all()

    def test_scores_differ_between_candidates(self, data: HeteroData, paths: PathBatch) -> None:
        """A scorer that says the same of everyone ranks nothing."""
        salience, candidate = self.scores(self.build(data, paths), data, paths)
        assert salience.std() > 1e-6
        assert candidate.std(1).max() > 1e-6

    def test_candidate_without_a_path_scores_zero(self, data: HeteroData, paths: PathBatch) -> None:
        """Exactly 0, whatever the others have."""
        gone = (paths.sample == 1) & (paths.candidate == int(paths.candidate[paths.sample == 1][0]))
        fewer = paths.select(~gone)
        with_path = torch.zeros_like(fewer.candidate_mask)
        with_path[fewer.sample, fewer.candidate] = True
        _, candidate = self.scores(self.build(data, paths), data, fewer)
        assert (~with_path).any()
        assert (candidate[~with_path] == 0).all()

    def test_every_parameter_learns(self, data: HeteroData, paths: PathBatch) -> None:
        """Each has a finite, non-zero gradient from the saliences or from the candidates.

        Those that salience depends on learn through the language model, those that candidate
        depends on through the fusion; a parameter outside both never learns.
        """
        scorer = self.build(data, paths).train()
        parameters = {n: p for n, p in scorer.named_parameters() if p.requires_grad}
        if not parameters:
            pytest.skip("nothing to learn")
        salience, candidate = self.scores(scorer, data, paths)
        target = torch.arange(paths.num_prompts, device=candidate.device) % 2
        fusion = list_cross_entropy(candidate, target, paths.candidate_mask).sum()
        luck = torch.randn(len(paths), generator=torch.Generator().manual_seed(1))
        routes = {"candidate": fusion, "salience": (salience * luck.to(salience)).sum()}
        learned: set[str] = set()
        for loss in routes.values():
            if not loss.requires_grad:
                continue
            grads = torch.autograd.grad(
                loss, list(parameters.values()), retain_graph=True, allow_unused=True
            )
            for name, grad in zip(parameters, grads, strict=True):
                if grad is not None:
                    assert grad.layout == torch.strided, f"{name} has a sparse gradient"
                    assert grad.isfinite().all(), f"{name} has a gradient that is not finite"
                    learned |= {name} if bool((grad != 0).any()) else set()
        idle = [name for name in parameters if name not in learned]
        assert not idle, f"no gradient from saliences or candidates reaches {', '.join(idle)}"

    def test_salience_learns(self, data: HeteroData, paths: PathBatch) -> None:
        """A scorer with parameters has some that the language model's loss can reach."""
        scorer = self.build(data, paths).train()
        if not any(p.requires_grad for p in scorer.parameters()):
            pytest.skip("nothing to learn")
        assert self.scores(scorer, data, paths).salience.requires_grad

    def test_a_step_lowers_the_loss(self, data: HeteroData, paths: PathBatch) -> None:
        """Gradient descent on the candidates' cross-entropy goes down."""
        scorer = self.build(data, paths)
        if not self.scores(scorer, data, paths).candidate.requires_grad:
            pytest.skip("nothing to learn")
        target = torch.zeros(paths.num_prompts, dtype=torch.int64)
        optimizer = torch.optim.Adam(scorer.parameters(), lr=1e-2)
        losses = []
        for _ in range(30):
            _, candidate = self.scores(scorer, data, paths)
            loss = list_cross_entropy(candidate, target, paths.candidate_mask).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_seed_decides(self, data: HeteroData, paths: PathBatch) -> None:
        """The same seed gives the same scorer."""
        one, two = (self.scores(self.build(data, paths, seed=3), data, paths) for _ in range(2))
        assert torch.equal(one.salience, two.salience)
        assert torch.equal(one.candidate, two.candidate)

    def test_state_survives(self, data: HeteroData, paths: PathBatch, tmp_path: Path) -> None:
        """Scores are bit-equal after saving and loading the state, as a run does both.

        What a run tries before it trains a scorer must succeed as well.
        """
        file = tmp_path / "scorer.safetensors"
        try_out(functools.partial(self.build, data, paths), data, paths, file)
        first, second = self.build(data, paths, seed=0), self.build(data, paths, seed=1)
        one = self.scores(first, data, paths)
        save_scorer(file, first)
        load_scorer(file, second)
        two = self.scores(second, data, paths)
        assert torch.equal(one.salience, two.salience)
        assert torch.equal(one.candidate, two.candidate)
        three = self.scores(copy.deepcopy(first), data, paths)
        assert torch.equal(one.candidate, three.candidate)

    def test_prompts_do_not_see_one_another(self, data: HeteroData, paths: PathBatch) -> None:
        """A batch of two equals each alone, and any order of prompts gives the same scores."""
        scorer = self.build(data, paths)
        whole = self.scores(scorer, data, paths).candidate
        order = torch.randperm(paths.num_prompts, generator=torch.Generator().manual_seed(0))
        self.same(self.scores(scorer, data, paths.prompts(order)).candidate, whole[order])
        for first in range(paths.num_prompts - 1):
            two = torch.tensor([first, first + 1])
            self.same(self.scores(scorer, data, paths.prompts(two)).candidate, whole[two])
        alone = [
            self.scores(scorer, data, paths.prompts(torch.tensor([b])))
            for b in range(paths.num_prompts)
        ]
        self.same(torch.cat([a.candidate for a in alone]), whole)
        self.same(torch.cat([a.salience for a in alone]), self.scores(scorer, data, paths).salience)

    def test_order_of_candidates_does_not_matter(self, data: HeteroData, paths: PathBatch) -> None:
        """Candidates in another order have the same scores, in that order."""
        scorer = self.build(data, paths)
        whole = self.scores(scorer, data, paths)
        size = paths.num_candidates
        order = torch.randperm(size, generator=torch.Generator().manual_seed(2))
        moved, sort = _reordered(paths, order)
        again = self.scores(scorer, data, moved)
        self.same(again.candidate, whole.candidate[:, order])
        self.same(again.salience, whole.salience[sort])

    def test_order_of_paths_does_not_matter(self, data: HeteroData, paths: PathBatch) -> None:
        """Paths of a candidate in another order give it the same score."""
        scorer = self.build(data, paths)
        luck = torch.rand(len(paths), generator=torch.Generator().manual_seed(0))
        order = torch.argsort(paths.slot + luck.double())
        one, two = self.scores(scorer, data, paths), self.scores(scorer, data, _take(paths, order))
        self.same(two.candidate, one.candidate)
        self.same(two.salience, one.salience[order])

    def test_no_paths_at_all(self, data: HeteroData, paths: PathBatch) -> None:
        """A batch without a path scores 0 everywhere; one without a prompt is empty."""
        scorer = self.build(data, paths)
        nothing = paths.select(torch.zeros(len(paths), dtype=torch.bool))
        salience, candidate = self.scores(scorer, data, nothing)
        assert salience.shape == (0,)
        assert (candidate == 0).all()
        nobody = paths.prompts(torch.zeros(0, dtype=torch.int64))
        assert self.scores(scorer, data, nobody).candidate.shape == (0, paths.num_candidates)

    def test_strangers_without_ratings_or_times(self, data: HeteroData, paths: PathBatch) -> None:
        """Someone unknown with nothing but items is scored, and learned from."""
        strangers = replace(
            paths,
            user=torch.full_like(paths.user, -1),
            history_rating=torch.full_like(paths.history_rating, torch.nan),
            history_time=torch.full_like(paths.history_time, torch.nan),
            time=torch.full_like(paths.time, torch.nan),
        )
        scorer = self.build(data, paths).train()
        salience, candidate = self.scores(scorer, data, strangers)
        assert salience.isfinite().all()
        assert candidate.isfinite().all()
        loss = salience.sum() + candidate.sum()
        if loss.requires_grad:
            loss.backward()
            grads = [p.grad for p in scorer.parameters() if p.grad is not None]
            assert all(g.isfinite().all() for g in grads)

    def test_ratings_all_alike(self, data: HeteroData, paths: PathBatch) -> None:
        """Equal ratings have no spread; nothing is divided by it."""
        alike = replace(paths, history_rating=torch.full_like(paths.history_rating, 3.0))
        salience, candidate = self.scores(self.build(data, paths), data, alike)
        assert salience.isfinite().all()
        assert candidate.isfinite().all()

    def test_input_is_not_changed(self, data: HeteroData, paths: PathBatch) -> None:
        """A scorer leaves the graph and the batch as they were."""
        before = copy.deepcopy(_contents(data, paths))
        self.scores(self.build(data, paths), data, paths)
        after = _contents(data, paths)
        assert after.keys() == before.keys()
        for name, value in before.items():
            if isinstance(value, Tensor):
                same = torch.equal(after[name].nan_to_num(), value.nan_to_num())
            else:
                same = bool(np.all(after[name] == value))
            assert same, name

    @pytest.mark.parametrize(
        "device",
        [
            "meta",
            pytest.param(
                "cuda",
                marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
            ),
        ],
    )
    def test_moves_to_a_device(self, data: HeteroData, paths: PathBatch, device: str) -> None:
        """All state moves with the module; on a GPU the scores are those of the CPU."""
        scorer = self.build(data, paths)
        here = self.scores(scorer, data, paths)
        scorer.to(device)
        state = [*scorer.parameters(), *scorer.buffers()]
        assert all(t.device.type == device for t in state)
        if device == "cuda":
            there = self.scores(scorer, copy.copy(data).to(device), paths.to(device))
            assert there.candidate.device.type == device
            self.same(there.candidate.cpu(), here.candidate)
            self.same(there.salience.cpu(), here.salience)


@functools.cache
def _toy_kg() -> HeteroData:
    """Built once, and copied for each test."""
    return toy_kg()


def _contents(data: HeteroData, paths: PathBatch) -> dict[Any, Any]:
    """All that a graph and a batch hold, by place and name."""
    held = {(store._key, name): value for store in data.stores for name, value in store.items()}
    return {**held, **vars(paths)}


def _take(paths: PathBatch, order: Tensor) -> PathBatch:
    """The same paths in another order that is still sorted by (sample, candidate)."""
    names = ("sample", "history", "candidate", "metapath", "nodes", "weight")
    return replace(paths, **{name: getattr(paths, name)[order] for name in names})


def _reordered(paths: PathBatch, order: Tensor) -> tuple[PathBatch, Tensor]:
    """The batch with its candidates in another order, and where its paths came from."""
    place = torch.argsort(order)
    candidate = place[paths.candidate]
    sort = torch.argsort(paths.sample * paths.num_candidates + candidate, stable=True)
    names = ("sample", "history", "metapath", "nodes", "weight")
    moved = replace(
        paths,
        **{name: getattr(paths, name)[sort] for name in names},
        candidate=candidate[sort],
        candidate_items=paths.candidate_items[:, order],
        prior=paths.prior[:, order],
    )
    return moved, sort
