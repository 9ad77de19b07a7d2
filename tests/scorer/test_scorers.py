"""The suite of every registered scorer."""

import pytest
import torch

from lkgrag.scorer import REGISTERED, resolve_scorer
from lkgrag.scorer.graphsage import GraphSAGE
from lkgrag.scorer.hgt import HGT
from lkgrag.scorer.kgat import KGAT
from lkgrag.scorer.lightgcn import LightGCN
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.scorer.nbfnet import NBFNet
from lkgrag.scorer.published import PublishedPreference
from lkgrag.scorer.reference import ReferencePreference
from lkgrag.scorer.rgcn import RGCN
from lkgrag.scorer.shortest import Shortest
from lkgrag.testing import PathScorerTests, toy_kg


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


class TestGraphSAGE(PathScorerTests):
    scorer = GraphSAGE


class TestGraphSAGEWithVectors(PathScorerTests):
    scorer = GraphSAGE
    kwargs = {"hidden": 8, "layers": 1, "counts": False}  # noqa: RUF012

    @pytest.fixture
    def data(self):
        data = toy_kg()
        data["item"].x = torch.randn(10, 6, generator=torch.Generator().manual_seed(0))
        return data


class TestRGCN(PathScorerTests):
    scorer = RGCN


class TestHGT(PathScorerTests):
    scorer = HGT


class TestKGAT(PathScorerTests):
    scorer = KGAT


class TestLightGCN(PathScorerTests):
    scorer = LightGCN


class TestLightGCNWithoutCounts(PathScorerTests):
    scorer = LightGCN
    kwargs = {"hidden": 8, "counts": False}  # noqa: RUF012


class TestNBFNet(PathScorerTests):
    scorer = NBFNet


def test_every_registered_scorer_has_a_suite():
    tested = {
        c.scorer
        for c in globals().values()
        if isinstance(c, type) and issubclass(c, PathScorerTests) and hasattr(c, "scorer")
    }
    assert {resolve_scorer(name) for name in REGISTERED} <= tested
