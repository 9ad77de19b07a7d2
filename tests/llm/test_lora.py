import json

import pytest
import torch

from lkgrag.config import LLMConfig
from lkgrag.errors import ModelError
from lkgrag.llm.lora import add_lora, load_adapter, lowest_adapted, save_adapter
from lkgrag.testing.llm import tiny_llama


def adapted(**options):
    return add_lora(tiny_llama(11, layers=3), LLMConfig(**options))


def names(model):
    return [n for n, p in model.named_parameters() if p.requires_grad]


def test_only_the_adapter_learns():
    assert names(adapted())
    assert all("lora_" in name for name in names(adapted()))


def test_all_linear_is_seven_weights_a_layer_and_not_the_head():
    assert len(names(adapted())) == 3 * 7 * 2
    assert not any("lm_head" in name for name in names(adapted()))


def test_named_targets_and_upper_layers():
    model = adapted(lora_targets="q_proj, v_proj", lora_layers=2)
    assert len(names(model)) == 2 * 2 * 2
    assert lowest_adapted(model) == 1
    assert not any("layers.0." in name for name in names(model))
    assert lowest_adapted(adapted()) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lora_targets": "q_prj"}, "no layer 'q_prj'.*Did you mean 'q_proj'"),
        ({"lora_targets": " "}, "lora_targets is empty"),
        ({"lora_layers": 0}, "lora_layers=0"),
    ],
)
def test_targets_that_do_not_exist(options, message):
    with pytest.raises(ModelError, match=message):
        adapted(**options)


def test_rank_and_alpha(tmp_path):
    model = adapted(lora_r=3, lora_alpha=5)
    assert next(p for n, p in model.named_parameters() if "lora_A" in n).shape[0] == 3
    save_adapter(model, tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"]) == (3, 5)


def test_an_adapter_of_other_options_is_refused(tmp_path):
    save_adapter(adapted(lora_r=3), tmp_path)
    with pytest.raises(ModelError, match="or other llm"):
        load_adapter(adapted(lora_r=4), tmp_path)
    with pytest.raises(ModelError, match="or other llm"):
        load_adapter(adapted(lora_r=3, lora_layers=1), tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="no readable adapter"):
        load_adapter(adapted(lora_r=3), tmp_path)


def test_low_rank_weights_stay_float32_on_a_bfloat16_base():
    model = add_lora(tiny_llama(11).to(torch.bfloat16), LLMConfig())
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
