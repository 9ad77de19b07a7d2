"""The suite of every metric of the table, and of the one on the page about custom metrics."""

import runpy
from pathlib import Path

from lkgrag.evaluation import METRICS
from lkgrag.testing import MetricTests

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "average_precision.py"


def metric_of_the_page():
    """The example's metric; other tests must not find it in the table."""
    before = dict(METRICS)
    found = runpy.run_path(str(EXAMPLE))["MAP"]
    assert METRICS.pop("map") is found
    assert before == METRICS
    return found


class TestReciprocalRank(MetricTests):
    metric = METRICS["mrr"]


class TestNDCG(MetricTests):
    metric = METRICS["ndcg"]


class TestRecall(MetricTests):
    metric = METRICS["recall"]


class TestAveragePrecision(MetricTests):
    metric = metric_of_the_page()


def test_every_metric_has_a_suite():
    tested = {
        c.metric.name
        for c in globals().values()
        if isinstance(c, type) and issubclass(c, MetricTests) and hasattr(c, "metric")
    }
    assert set(METRICS) <= tested
