"""The suite of a retriever.

In a test file::

    from lkgrag.testing import RetrieverTests

    class TestMyRetriever(RetrieverTests):
        retriever = MyRetriever

The tests check the contract in :mod:`lkgrag.retrieval.base`, on the sequences of 60 users over 24 items. Custom
and built-in retrievers pass the same tests.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import Tables
from lkgrag.data.growth import grow
from lkgrag.data.splits import make_split
from lkgrag.kg import build_kg
from lkgrag.retrieval.base import BuiltInRetriever, Retriever
from lkgrag.retrieval.custom import fit_custom, save_custom
from lkgrag.retrieval.resolver import CONTRACT, OPTION, SYSTEMS
from lkgrag.retrieval.systems import check_systems, fused_systems
from lkgrag.retrieval.trial import try_out
from lkgrag.testing.graph import planted
from lkgrag.utils.plugins import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions


class RetrieverTests:
    """Inherit, and set ``retriever``.

    Attributes:
        retriever: the class under test; defined in a module, not in a function.
        kwargs: for a custom retriever, arguments of its ``fit`` beyond the contract; for a built-in one, options
            of :class:`~lkgrag.config.RetrievalConfig`.
        tolerance: how far scores of the same history may differ between batches.
    """

    retriever: ClassVar[type[Retriever]]
    kwargs: ClassVar[dict[str, Any]] = {}
    tolerance: ClassVar[float] = 1e-4

    @property
    def built_in(self) -> type[BuiltInRetriever] | None:
        """The class under test if it is registered as built-in."""
        cls = SYSTEMS.get(self.retriever.name)
        return cls if cls is self.retriever else None

    @property
    def target(self) -> str:
        """The element of ``retrieval.systems`` that names the class."""
        if self.built_in is not None:
            return self.built_in.name
        # A test file that is run by its path may not be importable under its module's name.
        assert self.retriever.__module__ in sys.modules
        return f"{self.retriever.__module__}:{self.retriever.__qualname__}"

    @property
    def config(self) -> RetrievalConfig:
        """Options of a run that fuses the retriever."""
        if self.built_in is not None:
            return RetrievalConfig(systems=[self.target], **self.kwargs)
        return RetrievalConfig(systems=[self.target], kwargs={self.retriever.name: self.kwargs})

    def build(self, interactions: Interactions, train_end: NDArray[np.int64]) -> Retriever:
        """Fit as a run does, and check the type and the scores of the result."""
        data = build_kg(interactions, train_end, KGConfig(behaviour_min=1))
        cls, label = self.built_in, f"{OPTION}={self.target}"
        if cls is None:
            return fit_custom(interactions, self.config, 0, self.target, train_end, data)
        kwargs = cls.options_of(self.config)
        Call(cls.fit, cls, f"fit() of {cls.__name__}", CONTRACT, label, OPTION).check(kwargs)
        training = interactions.first(train_end)
        fitted = cls.fit(
            interactions=training, data=data, device=torch.device("cpu"), seed=0, **kwargs
        )
        assert isinstance(fitted, cls)
        histories = [training.sequence(user) for user in range(training.num_users)]
        try_out(fitted, histories, training.num_items, label)
        return fitted

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Several threads add in any order, and are slower on such small tensors."""
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    @pytest.fixture
    def interactions(self) -> Interactions:
        """The sequences, including each user's last two items."""
        return _sequences()

    @pytest.fixture
    def fitted(self, interactions: Interactions) -> Retriever:
        """The retriever, fitted on all but each user's last two items."""
        return self.build(interactions, _train_end())

    @pytest.fixture
    def histories(self, interactions: Interactions) -> list[NDArray[np.int64]]:
        """Histories of real users, of many lengths, including empty ones."""
        return [interactions.sequence(u)[: u % 7] for u in range(20)]

    def same(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> None:
        """Fail unless scores agree within ``tolerance``; where all are small, within less."""
        least = self.tolerance * min(1.0, float(np.ptp(b)))
        np.testing.assert_allclose(a, b, rtol=self.tolerance, atol=least)

    def test_options_are_accepted(self, interactions: Interactions) -> None:
        """The options of a run can name the retriever and its arguments."""
        check_systems(self.config)
        assert fused_systems(self.config, interactions) == [self.retriever.name]

    def test_scores_differ_between_items(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """A retriever with equal scores for all items proposes nothing."""
        scores = fitted.score([h for h in histories if len(h)])
        assert scores.std(1).max() > 1e-6

    def test_evidence_ranks_as_the_scores_do(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """The evidence, which is fused, is finite and orders items as the scores do."""
        scores, evidence = fitted.score(histories), fitted.evidence(histories)
        assert np.isfinite(evidence).all()
        order = np.argsort(scores, 1, kind="stable")
        sorted_evidence = np.take_along_axis(evidence, order, 1)
        assert (np.diff(sorted_evidence, axis=1) >= -self.tolerance).all()

    def test_strangers_are_scored(self, fitted: Retriever) -> None:
        """Histories are scored that are empty, repeat an item, or are longer than any in training."""
        many = np.arange(fitted.num_items).repeat(20)
        scores = fitted.score([np.zeros(0, np.int64), np.array([3, 3]), many])
        assert scores.shape == (3, fitted.num_items)
        assert np.isfinite(scores).all()

    def test_histories_do_not_see_one_another(
        self, fitted: Retriever, histories: list[NDArray[np.int64]]
    ) -> None:
        """A history has the same scores alone and in a batch of any order."""
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
        """Scores are bit-equal after saving and loading, also when saved over an earlier copy."""
        for _ in range(2):
            save_custom(fitted, tmp_path / "saved", self.target)
        again = self.retriever.load(tmp_path / "saved")
        np.testing.assert_array_equal(again.score(histories), fitted.score(histories))
        np.testing.assert_array_equal(again.evidence(histories), fitted.evidence(histories))

    def test_grown_data_are_scored(
        self,
        fitted: Retriever,
        interactions: Interactions,
        histories: list[NDArray[np.int64]],
    ) -> None:
        """``extend`` scores new items, after an update, and leaves the retriever as it was."""
        if type(fitted).extend is Retriever.extend:
            pytest.skip("it has no method extend: an update fits it again")
        before = fitted.score(histories)
        grown = _grown()
        data = build_kg(grown, np.diff(grown.indptr), KGConfig(behaviour_min=1))
        extended = fitted.extend(grown, data, torch.device("cpu"), 0)
        assert type(extended) is type(fitted)
        try_out(extended, histories, grown.num_items, f"{OPTION}={self.target}")
        np.testing.assert_array_equal(fitted.score(histories), before)

    def test_little_to_learn_from(self, interactions: Interactions) -> None:
        """Users without an interaction and items that nobody has chosen are accepted."""
        few = np.where(np.arange(interactions.num_users) % 3 == 0, 0, 2)
        self.build(interactions, few)


@functools.cache
def _sequences() -> Interactions:
    return planted(60, 24)


@functools.cache
def _grown() -> Interactions:
    """The same with a new user, and with two new items, of which one has no interaction."""
    new = [
        (_sequences().user_ids[0], "new", 9e9),
        ("stranger", "new", 9e9),
        ("stranger", "i3", 9e9),
    ]
    events = pd.DataFrame(new, columns=["user", "item", "time"])
    items = pd.DataFrame({"item": ["new", "cold"], "title": ["Thing 99", "Thing 98"]})
    return grow(
        _sequences(), Tables(events, items), DataConfig(min_user=1, min_item=1, time_unit="any")
    ).interactions


@functools.cache
def _train_end() -> NDArray[np.int64]:
    return make_split(_sequences(), DataConfig()).train_end
