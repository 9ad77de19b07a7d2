"""The verbaliser keeps the contract."""

from shared_names import SharedNames

from lkgrag.testing import VerbaliserTests


class TestSharedNames(VerbaliserTests):
    verbaliser = SharedNames
