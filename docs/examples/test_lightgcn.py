"""The retriever keeps the contract."""

from lightgcn import LightGCNRetriever

from lkgrag.testing import RetrieverTests


class TestLightGCN(RetrieverTests):
    retriever = LightGCNRetriever
