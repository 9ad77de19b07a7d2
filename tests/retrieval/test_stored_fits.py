"""The built-in retrievers give the scores that they gave when ``stored_fits.json`` was written.

Every machine adds in its own order, so that scores agree to some digits only. To store scores of a changed
method, run ``python tests/retrieval/test_stored_fits.py``.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.kg import build_kg
from lkgrag.retrieval import SYSTEMS
from lkgrag.testing import planted

STORED = Path(__file__).with_name("stored_fits.json")
CONFIG = RetrievalConfig(hidden=8, blocks=1, max_len=5, batch_size=16, epochs=2, decay=0.7)
HISTORIES = [[], [3], [5, 2, 5, 11, 7, 0]]


def fitted():
    """Each built-in on the training interactions of 40 users; the graph with even weights."""
    x = planted(40, 24)
    end = make_split(x, DataConfig()).train_end
    contract = {
        "interactions": x.first(end),
        "data": build_kg(x, end, KGConfig(behaviour_min=1)),
        "device": torch.device("cpu"),
        "seed": 1,
    }
    systems = {n: cls.fit(**contract, **cls.options_of(CONFIG)) for n, cls in SYSTEMS.items()}
    graph = systems["graph_itemitem"]
    systems["graph_itemitem"] = graph.reweighted(dict.fromkeys(graph.components, 0.25))
    return systems


def scores():
    """By name, the scores of the histories, rounded so that the file stays short."""
    torch.set_num_threads(1)
    histories = [np.array(h, np.int64) for h in HISTORIES]
    return {n: np.round(np.float64(s.score(histories)), 6).tolist() for n, s in fitted().items()}


@pytest.fixture(scope="module")
def found():
    return scores()


@pytest.mark.parametrize("name", SYSTEMS)
def test_scores_are_those_stored(name, found):
    if name == "lrurec" and tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 17):
        pytest.skip("svds of SciPy below 1.17 gives the vectors that it starts from other signs")
    stored = json.loads(STORED.read_text())[name]
    np.testing.assert_allclose(found[name], stored, rtol=1e-4, atol=2e-5)


if __name__ == "__main__":
    rows = {n: [json.dumps(row) for row in table] for n, table in scores().items()}
    lines = [f' "{n}": [\n  ' + ",\n  ".join(table) + "\n ]" for n, table in rows.items()]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
