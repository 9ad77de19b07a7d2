"""The suite of a metric.

In your test file::

    from lkgrag.testing import MetricTests

    class TestMyMetric(MetricTests):
        metric = MY_METRIC

Every test is of the contract of :class:`lkgrag.evaluation.Metric`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from lkgrag.evaluation.metrics import (
    METRICS,
    Metric,
    expected_gains,
    gains,
    metric_label,
    metric_names,
    register_metric,
)
from lkgrag.evaluation.protocol import SplitResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

#: Cut-offs that a metric is tested with, if it has any.
CUTOFFS = (1, 3, 10)
#: Orders that are drawn where an expectation is compared with a simulation.
DRAWS = 20_000


class MetricTests:
    """Inherit, and set ``metric``.

    Attributes:
        metric: the object under test.
    """

    metric: ClassVar[Metric]

    @pytest.fixture(autouse=True)
    def registered(self) -> Iterator[None]:
        """The metric stands in the table during a test, and not afterwards."""
        before = dict(METRICS)
        register_metric(self.metric)
        yield
        METRICS.clear()
        METRICS.update(before)

    @property
    def keys(self) -> list[str]:
        """Its keys in ``metrics.json``, of every cut-off that is tested."""
        return self.metric.keys(CUTOFFS)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """All ranks to 200, and two deep ones, the last that of an item which is never proposed."""
        return np.array([*range(1, 201), 10**9, np.iinfo(np.int64).max])

    def test_registration_may_be_repeated(self) -> None:
        """A second registration changes nothing."""
        names = metric_names([*CUTOFFS])
        assert register_metric(self.metric) is self.metric
        assert metric_names([*CUTOFFS]) == names

    def test_keys_stand_in_the_figures_of_a_run(self) -> None:
        """All keys stand in ``metrics.json``, as means over events, and can be compared."""
        assert set(self.keys) <= set(metric_names([*CUTOFFS]))
        ranks = np.array([1, 2, 5, 0])
        zeros = np.zeros(4, np.int64)
        result = SplitResult(
            "test", np.arange(4), zeros, zeros, zeros + 8, ranks > 0, 8, {"ranker": ranks}
        )
        figures = result.figures([*CUTOFFS])["ranker"]["all"]
        for key in self.keys:
            assert figures[key] == gains(ranks, key).mean()
            difference = result.compare("ranker", "random", key, resamples=10)
            assert difference.mean == pytest.approx(
                figures[key] - result.gains("random", key).mean()
            )

    def test_labels_differ(self) -> None:
        """Every key has a heading of its own in tables."""
        labels = [metric_label(key) for key in metric_names([*CUTOFFS])]
        assert len(set(labels)) == len(labels)
        assert all(metric_label(key).startswith(self.metric.label) for key in self.keys)

    def test_missed_is_worth_nothing(self) -> None:
        """A target that is not in the list has 0."""
        for key in self.keys:
            assert gains([0], key).tolist() == [0.0]

    def test_gains_are_bounded(self) -> None:
        """Every gain lies in [0, 1], and some rank has more than 0."""
        for key in self.keys:
            gain = gains(self.ranks, key)
            assert ((gain >= 0) & (gain <= 1)).all()
            assert gain.max() > 0

    def test_gains_never_rise_with_the_rank(self) -> None:
        """A later place is never worth more than an earlier one, and nothing behind the cut-off."""
        for key in self.keys:
            gain = gains(self.ranks, key)
            assert (np.diff(gain) <= 0).all()
            _, at, cutoff = key.partition("@")
            if at:
                assert not gain[int(cutoff) :].any()

    def test_each_rank_is_worth_the_same_in_any_company(self) -> None:
        """Gains have the shape of the ranks, do not depend on other ranks, and leave the ranks as they are."""
        ranks = np.array([[0, 1, 2], [3, 11, 200]])
        for key in self.keys:
            before = ranks.copy()
            gain = gains(ranks, key)
            assert (gain.shape, gain.dtype) == (ranks.shape, np.float64)
            alone = [[float(gains(rank, key)) for rank in row] for row in ranks]
            assert gain.tolist() == alone
            assert (ranks == before).all()
            assert gains(np.zeros(0, np.int64), key).shape == (0,)

    def test_expectation_of_a_random_order_is_that_of_a_simulation(self) -> None:
        """The closed form for ``random`` agrees with drawn orders of 1, 4 and 20 candidates."""
        rng = np.random.default_rng(0)
        for key in self.keys:
            for number in (1, 4, 20):
                drawn = gains(rng.integers(1, number + 1, DRAWS), key)
                error = drawn.std() / np.sqrt(DRAWS)
                (expected,) = expected_gains([number], key)
                assert abs(expected - drawn.mean()) <= 5 * error + 1e-9
        assert expected_gains([0], self.keys[0]).tolist() == [0.0]
