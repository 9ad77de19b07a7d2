"""The shipped launch configurations, read by Accelerate's own reader and launcher."""

import os
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
}


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
        assert f"--config_file lkgrag/conf/accelerate/{path.name} -m lkgrag.train" in text
        if path.stem != "default":
            assert "was not run" in text
        assert yaml.safe_load(text)["num_machines"] == 1


def test_several_gpus_are_one_process_each():
    parsed, environment = launched("multi_gpu", "--num_processes", "4")
    assert (parsed.multi_gpu, parsed.nproc_per_node, parsed.use_fsdp) == (True, "4", False)
    assert environment["ACCELERATE_MIXED_PRECISION"] == "no"


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
