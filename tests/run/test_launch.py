from contextlib import nullcontext
from datetime import timedelta

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from helpers.small_run import small_options

from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError
from lkgrag.run import launch
from lkgrag.run.launch import refuse_other_engines, refuse_other_parallelism, refuse_shared_devices
from lkgrag.run.pipeline import train
from lkgrag.utils.device import is_fsdp_asked


def gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: count > 0)


def test_more_processes_than_devices(monkeypatch):
    gpus(monkeypatch, 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match=r"3 processes.*has 2 GPUs.*--num_processes 2") as error:
        refuse_shared_devices()
    assert "\n" not in str(error.value)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    refuse_shared_devices()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "9")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    refuse_shared_devices()


def test_any_number_of_processes_may_share_the_cpu(monkeypatch):
    gpus(monkeypatch, 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "9")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    refuse_shared_devices()


def test_gpus_asked_for_where_none_is(monkeypatch):
    gpus(monkeypatch, 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    with pytest.raises(ConfigError, match=r"no GPU.*ACCELERATE_USE_CPU=true") as error:
        refuse_shared_devices()
    assert "\n" not in str(error.value)


def test_engines_that_nothing_runs_on(monkeypatch):
    refuse_other_engines()
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ConfigError, match=r"DeepSpeed was asked for.*multi_gpu\.yaml") as error:
        refuse_other_engines()
    assert "\n" not in str(error.value)


def test_sharding_that_would_silently_be_something_else(monkeypatch):
    accelerator = Accelerator(cpu=True)
    refuse_other_parallelism(accelerator)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert is_fsdp_asked()
    with pytest.raises(ConfigError, match=r"FSDP was asked for.*but Accelerate runs NO") as error:
        refuse_other_parallelism(accelerator)
    assert "\n" not in str(error.value)


class StartedError(Exception):
    """The processes' group was asked for."""


@pytest.fixture
def group(monkeypatch):
    """As the second of two processes: what the group was asked for with, in place of a group."""
    asked = {}

    def init_process_group(backend, **options):
        asked.update(options, backend=backend)
        raise StartedError

    monkeypatch.setattr(torch.distributed, "init_process_group", init_process_group)
    # The first of the two never comes.
    monkeypatch.setattr(launch, "together", lambda *limits: nullcontext())
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    AcceleratorState._reset_state(reset_partial_state=True)
    yield asked
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.slow
def test_processes_wait_for_a_long_report(group, tmp_path):
    """NCCL gives up after ten minutes, if nothing else is said."""
    with pytest.raises(StartedError):
        train(load_config(small_options(tmp_path)))
    assert group["timeout"] >= timedelta(hours=12)
