"""The suite of tests for a path scorer.

Use it in your test file::

    from lkgrag.testing import PathScorerTests

    class TestMyScorer(PathScorerTests):
        scorer = MyScorer

Every test checks the contract in :mod:`lkgrag.scorer.base`, on a toy graph of ten films.
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
from lkgrag.scorer.resolver import graph_arguments
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out
from lkgrag.testing.graph import toy_kg
from lkgrag.testing.paths import toy_paths

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch


class PathScorerTests:
    """Inherit from this class, and set ``scorer``.

    Attributes:
        scorer: the class under test.
        kwargs: options of its constructor, beyond the arguments of the contract.
        tolerance: how far scores may differ that are computed in another order or batch.
    """

    scorer: ClassVar[type[PathScorer]]
    kwargs: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def data(self) -> HeteroData:
        """The graph, a new copy for each test; override it to use another graph."""
        return copy.deepcopy(_toy_kg())

    @pytest.fixture
    def paths(self, data: HeteroData) -> PathBatch:
        """A batch of prompts; override it together with :meth:`data`."""
        return toy_paths(data=data)

    def build(self, data: HeteroData, paths: PathBatch, seed: int = 0) -> PathScorer:
        """Build a new scorer in evaluation mode."""
        torch.manual_seed(seed)
        scorer = self.scorer(
            **graph_arguments(self.scorer, data),
            metapaths=paths.metapaths,
            **self.kwargs,
        )
        return scorer.eval()

    def scores(self, scorer: PathScorer, data: HeteroData, paths: PathBatch) -> PathScores:
        """Compute scores as the ranker does, which checks their shapes."""
        return as_path_scores(scorer(data, paths), paths)

    def same(self, a: Tensor, b: Tensor) -> None:
        """Fail unless the tensors agree within ``tolerance``."""
        torch.testing.assert_close(a, b, rtol=self.tolerance, atol=self.tolerance)

    def test_shapes_and_finite_values(self, data: HeteroData, paths: PathBatch) -> None:
        """There is one salience for each path and one score for each candidate, all finite."""
        salience, candidate = self.scores(self.build(data, paths), data, paths)
        assert salience.shape == (len(paths),)
        assert candidate.shape == paths.candidate_items.shape
        assert salience.isfinite().all()
        assert candidate.isfinite().all()

    def test_scores_differ_between_candidates(self, data: HeteroData, paths: PathBatch) -> None:
        """A scorer that gives all candidates the same score cannot rank."""
        salience, candidate = self.scores(self.build(data, paths), data, paths)
        assert salience.std() > 1e-6
        assert candidate.std(1).max() > 1e-6

    def test_candidate_without_a_path_scores_zero(self, data: HeteroData, paths: PathBatch) -> None:
        """A candidate without a path scores exactly 0, whatever paths the others have."""
        removed = (paths.sample == 1) & (
            paths.candidate == int(paths.candidate[paths.sample == 1][0])
        )
        fewer = paths.select(~removed)
        with_path = torch.zeros_like(fewer.candidate_mask)
        with_path[fewer.sample, fewer.candidate] = True
        _, candidate = self.scores(self.build(data, paths), data, fewer)
        assert (~with_path).any()
        assert (candidate[~with_path] == 0).all()

    def test_every_parameter_learns(self, data: HeteroData, paths: PathBatch) -> None:
        """Each parameter has a finite, non-zero gradient from the saliences or from the candidates' scores.

        The saliences are trained through the language model, the candidates' scores through the fusion. A
        parameter that neither depends on is never trained.
        """
        scorer = self.build(data, paths).train()
        parameters = {n: p for n, p in scorer.named_parameters() if p.requires_grad}
        if not parameters:
            pytest.skip("nothing to learn")
        salience, candidate = self.scores(scorer, data, paths)
        target = torch.arange(paths.num_prompts, device=candidate.device) % 2
        fusion = list_cross_entropy(candidate, target, paths.candidate_mask).sum()
        weight = torch.randn(len(paths), generator=torch.Generator().manual_seed(1))
        learned: set[str] = set()
        for loss in (fusion, (salience * weight.to(salience)).sum()):
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
        """If a scorer has parameters, the language model's loss reaches some of them."""
        scorer = self.build(data, paths).train()
        if not any(p.requires_grad for p in scorer.parameters()):
            pytest.skip("nothing to learn")
        assert self.scores(scorer, data, paths).salience.requires_grad

    def test_a_step_lowers_the_loss(self, data: HeteroData, paths: PathBatch) -> None:
        """Steps of an optimiser lower the candidates' cross-entropy."""
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
        first, second = (
            self.scores(self.build(data, paths, seed=3), data, paths) for _ in range(2)
        )
        assert torch.equal(first.salience, second.salience)
        assert torch.equal(first.candidate, second.candidate)

    def test_state_survives(self, data: HeteroData, paths: PathBatch, tmp_path: Path) -> None:
        """Scores are equal to the last bit after the state is saved and loaded, as in a run.

        The trial that a run makes before it trains a scorer must succeed too.
        """
        file = tmp_path / "scorer.safetensors"
        try_out(functools.partial(self.build, data, paths), data, paths, file)
        scorer, other = self.build(data, paths, seed=0), self.build(data, paths, seed=1)
        scores = self.scores(scorer, data, paths)
        save_scorer(file, scorer)
        load_scorer(file, other)
        loaded = self.scores(other, data, paths)
        assert torch.equal(scores.salience, loaded.salience)
        assert torch.equal(scores.candidate, loaded.candidate)
        copied = self.scores(copy.deepcopy(scorer), data, paths)
        assert torch.equal(scores.candidate, copied.candidate)

    def test_prompts_do_not_see_one_another(self, data: HeteroData, paths: PathBatch) -> None:
        """A prompt has the same scores alone and in a batch, in any order of the prompts."""
        scorer = self.build(data, paths)
        whole = self.scores(scorer, data, paths).candidate
        order = torch.randperm(paths.num_prompts, generator=torch.Generator().manual_seed(0))
        self.same(self.scores(scorer, data, paths.prompts(order)).candidate, whole[order])
        for first in range(paths.num_prompts - 1):
            pair = torch.tensor([first, first + 1])
            self.same(self.scores(scorer, data, paths.prompts(pair)).candidate, whole[pair])
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
        shift = torch.rand(len(paths), generator=torch.Generator().manual_seed(0))
        order = torch.argsort(paths.slot + shift.double())
        scores = self.scores(scorer, data, paths)
        again = self.scores(scorer, data, _take(paths, order))
        self.same(again.candidate, scores.candidate)
        self.same(again.salience, scores.salience[order])

    def test_no_paths_at_all(self, data: HeteroData, paths: PathBatch) -> None:
        """A batch without paths scores 0 everywhere; a batch without prompts has no scores."""
        scorer = self.build(data, paths)
        pathless = paths.select(torch.zeros(len(paths), dtype=torch.bool))
        salience, candidate = self.scores(scorer, data, pathless)
        assert salience.shape == (0,)
        assert (candidate == 0).all()
        empty = paths.prompts(torch.zeros(0, dtype=torch.int64))
        assert self.scores(scorer, data, empty).candidate.shape == (0, paths.num_candidates)

    def test_strangers_without_ratings_or_times(self, data: HeteroData, paths: PathBatch) -> None:
        """Unknown users, of whom only the items are known, are scored and give finite gradients."""
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
        """Equal ratings have a spread of 0; the scores stay finite."""
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
        """All state moves with the module; on a GPU the scores are the same as on the CPU."""
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
    """Build the graph once; each test gets a copy."""
    return toy_kg()


def _contents(data: HeteroData, paths: PathBatch) -> dict[tuple[object, str], Any]:
    """List all values of a graph and of a batch, by their place and name."""
    held = [(store._key, store.items()) for store in data.stores]
    held.append(("paths", vars(paths).items()))
    return {(place, name): value for place, items in held for name, value in items}


def _take(paths: PathBatch, order: Tensor) -> PathBatch:
    """Reorder the paths; the new order must still be sorted by (sample, candidate)."""
    names = ("sample", "history", "candidate", "metapath", "nodes", "weight")
    return replace(paths, **{name: getattr(paths, name)[order] for name in names})


def _reordered(paths: PathBatch, order: Tensor) -> tuple[PathBatch, Tensor]:
    """Reorder the candidates; return the batch, and the former places of its paths."""
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
