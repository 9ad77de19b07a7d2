"""The relation source keeps the contract."""

from one_sitting import OneSitting

from lkgrag.testing import RelationSourceTests


class TestOneSitting(RelationSourceTests):
    source = OneSitting
