"""The shipped launch configurations, read by Accelerate's own reader and launcher."""

import os
import re
from importlib import resources
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from lkgrag.utils.device import is_fsdp_asked

FOLDER = Path(str(resources.files("lkgrag") / "conf" / "accelerate"))
KINDS = {
    "default": DistributedType.NO,
    "multi_gpu": DistributedType.MULTI_GPU,
    "fsdp_qlora": DistributedType.FSDP,
    "nodes_cpu": DistributedType.MULTI_GPU,
    "nodes_gpu": DistributedType.MULTI_GPU,
}
#: Files for several machines.
NODES = ("nodes_cpu", "nodes_gpu")


def launched(name, *arguments):
    """The environment that a process of `accelerate launch` gets."""
    file = str(FOLDER / f"{name}.yaml")
    line = ["--config_file", file, *arguments, "-m", "lkgrag.train"]
    parsed, _, _ = _validate_launch_command(launch_command_parser().parse_args(line))
    return parsed, prepare_multi_gpu_env(parsed)


@pytest.mark.parametrize("name", KINDS)
def test_accelerate_reads_it(name):
    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert config.distributed_type == KINDS[name]
    # The model is loaded in the type that it computes in.
    assert config.mixed_precision == "no"
    assert not config.use_cpu


def test_every_file_is_known_and_says_how_it_is_started():
    assert sorted(p.stem for p in FOLDER.glob("*.yaml")) == sorted(KINDS)
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text()
        words = " ".join(line.strip("#\\ ") for line in text.splitlines() if line.startswith("#"))
        assert re.search(
            rf"--config_file lkgrag/conf/accelerate/{path.name} .*-m lkgrag\.train", words
        )
        if path.stem not in ("default", "nodes_cpu"):
            assert "was not run" in text
        assert yaml.safe_load(text)["num_machines"] == (2 if path.stem in NODES else 1)


def test_several_gpus_are_one_process_each():
    parsed, environment = launched("multi_gpu", "--num_processes", "4")
    assert (parsed.multi_gpu, parsed.nproc_per_node, parsed.use_fsdp) == (True, "4", False)
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"


@pytest.mark.parametrize("name", NODES)
def test_several_machines_share_the_processes(name):
    where = ["--main_process_ip", "10.0.0.1", "--machine_rank", "1", "--num_machines", "3"]
    parsed, _ = launched(name, *where, "--num_processes", "6")
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.node_rank) == ("3", "2", 1)
    assert parsed.rdzv_endpoint == "10.0.0.1:29500"
    # Not by torch's own rendezvous, which renumbers the machines.
    assert parsed.rdzv_backend == "static"


def test_sharding_over_several_machines():
    """As docs/nodes.md says: the same file, with the machines in the command."""
    where = ["--num_machines", "2", "--num_processes", "8", "--machine_rank", "1"]
    where += ["--main_process_ip", "10.0.0.1", "--main_process_port", "29500"]
    parsed, environment = launched("fsdp_qlora", *where)
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.node_rank) == ("2", "4", 1)
    assert parsed.rdzv_endpoint == "10.0.0.1:29500"
    assert environment["ACCELERATE_USE_FSDP"] == "true"


def test_the_launcher_asks_for_what_sharding_needs(monkeypatch):
    parsed, environment = launched("fsdp_qlora", "--num_processes", "8")
    assert (parsed.use_fsdp, parsed.nproc_per_node) == (True, "8")
    for key, value in environment.items():
        if key.startswith(("FSDP_", "ACCELERATE_")):
            monkeypatch.setenv(key, value)
    assert is_fsdp_asked()
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    # Which layers: the model's own, named before it is prepared.
    assert plugin.transformer_cls_names_to_wrap is None
    assert not plugin.cpu_ram_efficient_loading
    assert not plugin.activation_checkpointing
    assert type(plugin.cpu_offload).__name__ == "OffloadPolicy"
    assert "FSDP_VERSION" in os.environ


def test_they_are_packaged():
    import tomllib

    root = Path(__file__).parents[2] / "pyproject.toml"
    data = tomllib.loads(root.read_text())["tool"]["setuptools"]["package-data"]["lkgrag"]
    assert "conf/accelerate/*.yaml" in data
    assert "conf/*.yaml" in data
