"""A whole run with a custom verbaliser and a custom readout, and what can be done with it."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.small_run import small_options

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import TermWeights
from lkgrag.run.pipeline import train

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def options(tmp_path, monkeypatch):
    for name in ("shared_names.py", "mean_readout.py"):
        shutil.copy(EXAMPLES / name, tmp_path / f"run_{name}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return {
        **small_options(tmp_path),
        "prompt.verbaliser": "run_shared_names:SharedNames",
        "llm.readout": "run_mean_readout:MeanReadout",
        "scorer.pretrain_epochs": "0",
    }


@pytest.mark.slow
def test_a_run_trains_saves_and_serves_them(options):
    folder = Path(train(load_config(options)))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert set(metrics["code"]) == {"prompt.verbaliser", "llm.readout"}
    # The linear head was probed, and learned on.
    assert (folder / "ranker" / "adapter" / "readout.safetensors").is_file()
    ranker = Ranker.from_pretrained(folder / "ranker", lm="always")
    ranker.fusion.set(TermWeights(1.0, 0.5, 0.5))
    assert type(ranker.lm.readout).__name__ == "MeanReadout"
    assert type(ranker.prompter.verbaliser).__name__ == "SharedNames"
    user = ranker.users()[0]
    one, two = (ranker.recommend_users([user], k=5)[0] for _ in range(2))
    assert [item.item for item in one.items] == [item.item for item in two.items]
    assert len({item.lm for item in one.items}) > 1


@pytest.mark.slow
def test_what_does_not_fit_together_is_refused_before_anything_is_computed(options):
    wrong = {**options, "prompt.verbaliser": "llamarec"}
    with pytest.raises(ConfigError, match=r"layout letters, .* set llm\.readout=letters"):
        train(load_config(wrong))
    with pytest.raises(ConfigError, match=r"llm\.readout=.* no module 'nowhere'"):
        train(load_config({**options, "llm.readout": "nowhere:Readout"}))
