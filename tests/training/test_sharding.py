"""A sharded run on two CPU processes: the same figures and files as an unsharded one.

Accelerate does not shard on a CPU (it silently runs DistributedDataParallel), so the script that is
started here tells it that it does; everything behind that is what runs on GPUs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from accelerate import Accelerator
from accelerate.utils import DistributedType
from helpers.ports import free_port
from helpers.processes import finish_together, start_together
from helpers.small_run import small_options

from lkgrag import Ranker
from lkgrag.config import ScorerConfig
from lkgrag.errors import ConfigError
from lkgrag.ranker.model import RankerModel
from lkgrag.run.launch import refuse_other_parallelism
from lkgrag.scorer import build_scorer
from lkgrag.testing.prompts import toy_paths
from lkgrag.training.sharding import choose_shards

#: Seconds after which two processes that wait for one another are given up.
LIMIT = 120

SCRIPT = """
import os, sys
import accelerate, torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

class Sharded(accelerate.Accelerator):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.state.distributed_type = DistributedType.FSDP
        self.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="TRANSFORMER_BASED_WRAP", reshard_after_forward=True
        )

sharded = sys.argv[1] == "sharded"
if sharded:
    accelerate.Accelerator = Sharded
    os.environ["ACCELERATE_USE_FSDP"] = "true"
from lkgrag.config.loading import load_config
from lkgrag.training.loop import Trainer

whole = Trainer.fit
def fit(self, *args):
    curve = whole(self, *args)
    cut = {n for n, p in self.model.named_parameters() if type(p).__name__ == "DTensor"}
    frozen = {n for n, p in self.model.named_parameters() if not p.requires_grad}
    assert cut == (frozen if sharded else set()), (cut, frozen)
    assert torch.distributed.get_world_size() == 2
    return curve
Trainer.fit = fit
from lkgrag.run.pipeline import train
train(load_config(dict(pair.split("=", 1) for pair in sys.argv[2:])))
"""


def start(kind, options, script):
    pairs = [f"{key}={value}" for key, value in options.items()]
    if kind == "whole":
        for done in finish_together(start_together(2, SCRIPT, [kind, *pairs]), LIMIT):
            assert done.returncode == 0, done.stderr[-3000:]
        return
    # What Accelerate is told must be told before anything has imported it.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launcher, "--master_port", str(free_port()), str(script), kind, *pairs],
        capture_output=True,
        text=True,
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_processes_sharded_give_what_unsharded_ones_give(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    options = {
        **small_options(tmp_path),
        "llm.quantization": "nf4",
        # In both, the 4-bit weights are stored in this type where they are to be cut.
        "llm.dtype": "bfloat16",
        "llm.gradient_checkpointing": "true",
        "training.micro_batch": "2",
        # A number that does not divide: one process has a pass less to make.
        "evaluation.batch_size": "3",
        "evaluation.max_events": "19",
        "evaluation.faithfulness": "4",
        "training.lr": "0.01",
    }
    found = {}
    for kind in ("whole", "sharded"):
        out = tmp_path / kind
        start(kind, {**options, "out": str(out)}, script)
        metrics = json.loads((out / "metrics.json").read_text())
        found[kind] = (metrics, pd.read_parquet(out / "ranks.parquet"))
        assert metrics["processes"] == 2
    whole, sharded = found["whole"], found["sharded"]
    pd.testing.assert_frame_equal(whole[1], sharded[1])
    assert whole[0]["ranker"] == sharded[0]["ranker"]
    assert whole[0]["faithfulness"] == sharded[0]["faithfulness"]
    curves = [json.loads((tmp_path / k / "curve.json").read_text())["ranker"] for k in found]
    for one, other in zip(*curves, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    # What was saved serves as any other: one process, nothing cut.
    one, other = (Ranker.from_pretrained(Path(tmp_path / k)) for k in found)
    users = one.users()[:5]
    assert one.recommend_users(users, k=4) == other.recommend_users(users, k=4)


def test_there_must_be_a_language_model_to_shard():
    data, paths = toy_paths()
    ranker = RankerModel(None, build_scorer(ScorerConfig(), data, paths.metapaths), None)
    with pytest.raises(ConfigError, match="nothing to shard"):
        choose_shards(Accelerator(cpu=True), ranker)


def test_the_first_version_of_fsdp_is_refused(monkeypatch):
    class Old:
        distributed_type = DistributedType.FSDP
        is_fsdp2 = False

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ConfigError, match="fsdp_version: 2"):
        refuse_other_parallelism(Old())
