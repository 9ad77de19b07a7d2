import pytest
import torch

from lkgrag.config.loading import load_config
from lkgrag.errors import ModelError
from lkgrag.llm import requirements
from lkgrag.run.preflight import preflight
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer


@pytest.fixture
def check(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    tiny_llama(len(tokenizer)).save_pretrained(tmp_path)

    def check(**options):
        config = load_config({"llm.name": str(tmp_path), **options})
        device = torch.device("cpu")
        preflight(config, device)

    return check


def test_a_model_without_memory_is_refused_before_all_work(check, monkeypatch):
    check()
    monkeypatch.setattr(requirements, "free_memory", lambda: 1000)
    with pytest.raises(ModelError, match=r"but only 0\.00 GiB are free on cpu"):
        check()
    check(**{"llm.name": "none"})


def test_forced_bfloat16_is_timed(check, monkeypatch, caplog):
    monkeypatch.setattr(requirements, "bf16_is_fast", lambda device: False)
    monkeypatch.setattr(requirements, "_time_product", lambda dtype: dtype.itemsize == 2 or 0.25)
    check(**{"llm.dtype": "bfloat16"})
    assert "4.0 times slower" in caplog.text
