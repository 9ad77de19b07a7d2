"""The suite of every registered scorer."""

from lkgrag.scorer import REGISTERED, resolve_scorer
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.scorer.published import PublishedPreference
from lkgrag.scorer.reference import ReferencePreference
from lkgrag.scorer.shortest import Shortest
from lkgrag.testing import PathScorerTests


class TestMetapathAttention(PathScorerTests):
    scorer = MetapathAttention


class TestMetapathAttentionNarrow(PathScorerTests):
    scorer = MetapathAttention
    kwargs = {"dim": 4, "dropout": 0.0}  # noqa: RUF012


class TestReferencePreference(PathScorerTests):
    scorer = ReferencePreference


class TestPublishedPreference(PathScorerTests):
    scorer = PublishedPreference


class TestShortest(PathScorerTests):
    scorer = Shortest


def test_every_registered_scorer_has_a_suite():
    tested = {
        c.scorer
        for c in globals().values()
        if isinstance(c, type) and issubclass(c, PathScorerTests) and hasattr(c, "scorer")
    }
    assert {resolve_scorer(name) for name in REGISTERED} <= tested
