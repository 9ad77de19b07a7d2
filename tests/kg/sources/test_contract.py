"""The suite of every built-in relation source."""

from lkgrag.kg.sources import BUILT_IN
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.kg.sources.rated import Rated
from lkgrag.kg.sources.similar_title import SimilarTitle
from lkgrag.testing import RelationSourceTests


class TestRated(RelationSourceTests):
    source = Rated


class TestFollowedBy(RelationSourceTests):
    source = FollowedBy


class TestCoRated(RelationSourceTests):
    source = CoRated


class TestSimilarTitle(RelationSourceTests):
    source = SimilarTitle


def test_every_built_in_source_has_a_suite():
    tested = {
        c.source
        for c in globals().values()
        if isinstance(c, type) and issubclass(c, RelationSourceTests) and hasattr(c, "source")
    }
    assert set(BUILT_IN) <= tested
