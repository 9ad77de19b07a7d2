"""Requests in words: how well each item is what someone asks for.

``words.py`` finds the request's words in the items' texts, ``kinds.py`` spreads a match over items that share a
category or another value, ``model.py`` weighs both, and ``synthetic.py`` makes requests to learn the weights from.
"""

from lkgrag.text.requests.kinds import ItemKinds
from lkgrag.text.requests.model import FEATURES, RequestModel, RequestScores
from lkgrag.text.requests.synthetic import SyntheticRequest, synthetic_requests
from lkgrag.text.requests.words import RequestWords

__all__ = [
    "FEATURES",
    "ItemKinds",
    "RequestModel",
    "RequestScores",
    "RequestWords",
    "SyntheticRequest",
    "synthetic_requests",
]
