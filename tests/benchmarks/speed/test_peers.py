"""What others compute is what we compute."""

import numpy as np
import pytest

from benchmarks.speed import paths, peers
from lkgrag.config import KGConfig
from lkgrag.paths import ShortestPaths
from lkgrag.testing import toy_kg


@pytest.mark.parametrize("make", [peers.Igraph, peers.TorchSparse, peers.Cypher, peers.Networkx])
def test_peers_give_the_same_lengths(make):
    data = toy_kg(KGConfig(behaviour_min=1))
    finder = ShortestPaths(data, longest=peers.LONGEST)
    try:
        peer = make(finder)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed: pip install -e .[bench]")
    history, candidates = np.array([0, 2, 5]), np.array([1, 3, 8, 9])
    assert peer(history.tolist(), candidates.tolist()) == paths.lengths_of(
        finder, history, candidates
    )
