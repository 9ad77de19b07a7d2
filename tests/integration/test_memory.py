"""Runs on tables in memory."""

import json

import numpy as np
import pytest

from lkgrag import Ranker
from lkgrag.config import DataConfig
from lkgrag.config.loading import load_config
from lkgrag.data import Interactions
from lkgrag.errors import DataError
from lkgrag.run.pipeline import train
from lkgrag.run.reevaluate import evaluate_run
from lkgrag.serving.saved_run import load_run


def sales(seed=0):
    rng = np.random.default_rng(seed)
    rows = [(u, int(i)) for u in range(24) for i in rng.permutation(20)[:8]]
    users, items = zip(*rows)
    return Interactions.from_frames(
        {"who": users, "what": items},
        {"what": list(range(20)), "label": [f"Thing {i}" for i in range(20)]},
        [{"head": i, "relation": "made_by", "tail": f"Maker {i % 4}"} for i in range(20)],
        config=DataConfig(columns={"user": "who", "item": "what", "title": "label"}),
    )


@pytest.mark.slow
def test_training_on_tables_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(
        {
            "llm.name": "none",
            "retrieval.epochs": "1",
            "scorer.pretrain_epochs": "1",
            "evaluation.bootstrap": "10",
            "training.tracker": "none",
            "threads": "1",
        }
    )
    x = sales()
    folder = train(config, x)
    assert folder.name.startswith("memory-none-")
    assert train(config, x) == folder
    found = Ranker.from_pretrained(folder / "ranker").recommend(history=["Thing 3"], k=2)
    assert len(found.items) == 2

    _, stored = load_run(str(folder))
    evaluate_run(folder, stored, None, "again.json", interactions=x)
    again = json.loads((tmp_path / "again.json").read_text())
    first = json.loads((folder / "metrics.json").read_text())
    assert again["ranker"] == first["ranker"]
    with pytest.raises(DataError, match=r"in memory.*interactions="):
        evaluate_run(folder, stored, None, None)
    with pytest.raises(DataError, match="not those of the run"):
        evaluate_run(folder, stored, None, None, interactions=sales(seed=1))
    assert train(config, sales(seed=1)) != folder
