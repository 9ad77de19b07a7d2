import json
import logging

import pytest
import torch

from lkgrag.config import LLMConfig
from lkgrag.errors import ModelError
from lkgrag.llm import requirements
from lkgrag.llm.requirements import count_parameters, refuse_without_memory, warn_of_slow_bf16
from lkgrag.testing.llm import tiny_llama

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved model: its folder and its number of parameters."""
    folder = tmp_path_factory.mktemp("llm")
    llm = tiny_llama(300)
    llm.save_pretrained(folder)
    return folder, sum(p.numel() for p in llm.parameters())


def test_parameters_are_counted_from_headers(model):
    assert count_parameters(model[0]) == model[1]


def test_parameters_of_several_files_are_counted(model, tmp_path):
    llm = tiny_llama(300)
    llm.save_pretrained(tmp_path, max_shard_size="20KB")
    assert not (tmp_path / "model.safetensors").exists()
    assert count_parameters(tmp_path) == model[1]


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 16, b"\x02" + b"\0" * 7 + b"[]"])
def test_other_files_are_not_counted(tmp_path, content):
    if content is not None:
        (tmp_path / "model.safetensors").write_bytes(content)
    assert count_parameters(tmp_path) is None


def test_a_broken_index_is_not_counted(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps([1]))
    assert count_parameters(tmp_path) is None


def refuse(folder, free, monkeypatch, **options):
    monkeypatch.setattr(requirements, "free_memory", lambda: free)
    refuse_without_memory(LLMConfig(name="some/model", **options), str(folder), CPU)


def test_a_model_needs_memory_for_its_weights(model, monkeypatch):
    folder, parameters = model
    refuse(folder, 4 * parameters, monkeypatch, dtype="float32")
    with pytest.raises(ModelError, match=r"GiB in float32, .* free on cpu; set .*nf4, llm.dtype"):
        refuse(folder, 4 * parameters - 1, monkeypatch, dtype="float32")
    refuse(folder, 2 * parameters, monkeypatch, dtype="bfloat16")
    with pytest.raises(ModelError, match=r"nf4, a smaller model, or llm.name=none"):
        refuse(folder, 2 * parameters - 1, monkeypatch, dtype="bfloat16")
    refuse(folder, parameters, monkeypatch, quantization="nf4")
    with pytest.raises(ModelError, match=r"in 4 bits, .* set a smaller model"):
        refuse(folder, parameters // 2, monkeypatch, quantization="nf4")


def test_both_amounts_are_told(monkeypatch):
    monkeypatch.setattr(requirements, "_find_folder", lambda where: where)
    monkeypatch.setattr(requirements, "count_parameters", lambda folder: 7 * 10**9)
    with pytest.raises(ModelError, match=r"need 13\.04 GiB in bfloat16, but only 8\.00 GiB"):
        refuse("folder", 8 * 2**30, monkeypatch, dtype="bfloat16")


def test_each_process_on_a_cpu_has_its_copy(model, monkeypatch):
    folder, parameters = model
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    refuse(folder, 8 * parameters, monkeypatch, dtype="float32")
    with pytest.raises(ModelError, match=r"for 2 processes, .*fewer processes"):
        refuse(folder, 7 * parameters, monkeypatch, dtype="float32")


@pytest.mark.parametrize("free", [0, None])
def test_what_is_unknown_is_not_refused(model, monkeypatch, free):
    where = model[0] if free is None else "nobody/such-a-model"
    refuse(where, free, monkeypatch, dtype="float32")


@pytest.fixture
def timed(monkeypatch):
    """Products in bfloat16 take so many times those in float32."""

    def set_factor(factor, fast=False):
        seconds = {torch.bfloat16: factor, torch.float32: 1.0}
        monkeypatch.setattr(requirements, "_time_product", seconds.__getitem__)
        monkeypatch.setattr(requirements, "bf16_is_fast", lambda device: fast)

    return set_factor


def test_slow_bfloat16_is_warned_of_with_its_factor(timed, caplog):
    timed(6.04)
    warn_of_slow_bf16(LLMConfig(dtype="bfloat16"), CPU)
    assert caplog.messages == [
        "bfloat16 products are 6.0 times slower than float32 on this processor; leave llm.dtype=auto"
    ]


@pytest.mark.parametrize(
    ("factor", "fast", "dtype"),
    [
        (1.1, False, "bfloat16"),
        (6.0, True, "bfloat16"),
        (6.0, False, "float32"),
        (6.0, False, "auto"),
    ],
)
def test_no_warning_without_need(timed, caplog, factor, fast, dtype):
    timed(factor, fast)
    with caplog.at_level(logging.WARNING):
        warn_of_slow_bf16(LLMConfig(dtype=dtype), CPU)
    assert caplog.messages == []


def test_a_product_takes_time():
    assert 0 < requirements._time_product(torch.bfloat16) < 5
