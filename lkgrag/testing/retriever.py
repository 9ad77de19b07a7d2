"""The suite of a retriever.

In a test file of your own::

    from lkgrag.testing import RetrieverTests

    class TestMyRetriever(RetrieverTests):
        retriever = MyRetriever

Every test is of the contract in :mod:`lkgrag.retrieval.base`, on 60 users' sequences of 24 items.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data.splits import make_split
from lkgrag.kg import build_kg
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.custom import fit_own, own_systems, save_own
from lkgrag.testing.graph import planted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions


class RetrieverTests:
    """Inherit, and set ``retriever``.

    Attributes:
        retriever: the class under test; of a module, not of a function.
        kwargs: of its ``fit``, beyond the contract's.
        tolerance: of scores that must agree in another batch.
    """

    retriever: ClassVar[type[Retriever]]
    kwargs: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-4

    @property
    def config(self) -> RetrievalConfig:
        """Options of a run that fuses the retriever."""
        target = f"{self.retriever.__module__}:{self.retriever.__qualname__}"
        # A test file that is run by its path may be no module of that name to others.
        assert self.retriever.__module__ in sys.modules
        return RetrievalConfig(systems=[target], kwargs={self.retriever.name: self.kwargs})

    def build(self, interactions: Interactions, train_end: NDArray[np.int64]) -> Retriever:
        """Fitted as a run fits it, which checks what it is and what it returns."""
        (target,) = own_systems(self.config).values()
        return fit_own(interactions, self.config, 0, target, train_end, _graph())

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Several add in any order, and take longer for as little."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    @pytest.fixture
    def interactions(self) -> Interactions:
        """The sequences, their last two items among them."""
        return _sequences()

    @pytest.fixture
    def fitted(self, interactions: Interactions) -> Retriever:
        """Fitted on all but each user's last two items."""
        return self.build(interactions, _train_end())

    @pytest.fixture
    def histories(self, interactions: Interactions) -> list[NDArray[np.int64]]:
        """Of real users, shortened to many lengths, the empty one among them."""
        return [interactions.sequence(u)[: u % 7] for u in range(20)]

    def same(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        """Fail unless the scores agree within ``tolerance``; small ones within less."""
        least = self.tolerance * min(1.0, float(np.ptp(b)))
        np.testing.assert_allclose(a, b, rtol=self.tolerance, atol=least)

    def test_options_are_accepted(self) -> None:
        """``retrieval.systems`` and ``retrieval.kwargs`` may name it so."""
        assert list(own_systems(self.config)) == [self.retriever.name]

    def test_scores_differ_between_items(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """A retriever that says the same of every item proposes nothing."""
        scores = fitted.score([h for h in histories if len(h)])
        assert scores.std(1).max() > 1e-6

    def test_evidence_ranks_as_the_scores_do(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """What is fused agrees with what is scored, and is finite."""
        scores, evidence = fitted.score(histories), fitted.evidence(histories)
        assert np.isfinite(evidence).all()
        order = np.argsort(scores, 1, kind="stable")
        sorted_evidence = np.take_along_axis(evidence, order, 1)
        assert (np.diff(sorted_evidence, axis=1) >= -self.tolerance).all()

    def test_strangers_are_scored(self, fitted: Retriever) -> None:
        """Someone without a history, with an item twice, and with more items than anyone in training."""
        many = np.arange(fitted.num_items).repeat(20)
        found = fitted.score([np.zeros(0, np.int64), np.array([3, 3]), many])
        assert found.shape == (3, fitted.num_items)
        assert np.isfinite(found).all()

    def test_histories_do_not_see_one_another(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """A batch equals each alone, in any order."""
        whole = fitted.score(histories)
        alone = np.concatenate([fitted.score([h]) for h in histories])
        self.same(alone, whole)
        order = np.random.default_rng(0).permutation(len(histories))
        self.same(fitted.score([histories[i] for i in order]), whole[order])

    def test_seed_decides(
        self,
        fitted: Retriever,
        interactions: Interactions,
        histories: list[NDArray[np.int64]],
    ) -> None:
        """The same seed gives the same scores, whatever was drawn before."""
        torch.rand(7)
        np.random.rand(7)
        again = self.build(interactions, _train_end())
        np.testing.assert_array_equal(again.score(histories), fitted.score(histories))

    def test_state_survives(
        self, fitted: Retriever, histories: list[NDArray[np.int64]], tmp_path: Path
    ) -> None:
        """Scores are bit-equal after saving and loading, and so when saved once more over them."""
        (target,) = own_systems(self.config).values()
        for _ in range(2):
            save_own(fitted, tmp_path / "saved", target)
        again = self.retriever.load(tmp_path / "saved")
        np.testing.assert_array_equal(again.score(histories), fitted.score(histories))
        np.testing.assert_array_equal(again.evidence(histories), fitted.evidence(histories))

    def test_little_to_learn_from(self, interactions: Interactions) -> None:
        """Users without any interaction, and items that nobody has chosen, are borne."""
        few = np.where(np.arange(interactions.num_users) % 3 == 0, 0, 2)
        self.build(interactions, few)


@functools.cache
def _sequences() -> Interactions:
    return planted(60, 24)


@functools.cache
def _train_end() -> NDArray[np.int64]:
    return make_split(_sequences(), DataConfig()).train_end


@functools.cache
def _graph() -> HeteroData:
    return build_kg(_sequences(), _train_end(), KGConfig(behaviour_min=1))
