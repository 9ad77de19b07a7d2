"""The scorer keeps the contract."""

from graph_scorer import GraphScorer

from lkgrag.testing import PathScorerTests


class TestGraphScorer(PathScorerTests):
    scorer = GraphScorer
