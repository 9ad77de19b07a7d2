"""The readout keeps the contract."""

from mean_readout import MeanReadout

from lkgrag.testing import ReadoutTests


class TestMeanReadout(ReadoutTests):
    readout = MeanReadout
