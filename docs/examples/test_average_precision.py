"""The metric keeps the contract."""

from average_precision import MAP

from lkgrag.testing import MetricTests


class TestMAP(MetricTests):
    metric = MAP
