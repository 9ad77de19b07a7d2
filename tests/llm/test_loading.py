import sys

import pytest
import torch

from lkgrag.config import LLMConfig, PromptConfig
from lkgrag.data.assets.models import load_tokenizer, locate
from lkgrag.errors import ModelError
from lkgrag.llm import LMScorer, letter_ids, load_llm
from lkgrag.llm.loading import compute_dtype, count_layers
from lkgrag.prompt import Prompter
from lkgrag.prompt.template import ANSWER
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.testing.prompts import toy_paths


@pytest.fixture
def folder(tmp_path):
    tokenizer = tiny_tokenizer()
    tiny_llama(len(tokenizer), hidden_size=64).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_local_folder(folder, capfd):
    model, tokenizer = load_llm(LLMConfig(name=str(folder), dtype="float32"))
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert model.dtype == torch.float32
    expected = tiny_llama(len(tokenizer), hidden_size=64).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name])
    for text in ("Alien (1979)\n ### Response: A", "日本 <s>"):
        assert tokenizer(text)["input_ids"] == tiny_tokenizer()(text)["input_ids"]
    out, err = capfd.readouterr()
    assert out + err == ""


def test_a_folder_without_a_tokenizer_or_a_model(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="holds no tokenizer; copy"):
        load_llm(LLMConfig(name=str(folder)))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_llm(LLMConfig(name=str(folder)))


def test_a_broken_folder_gives_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="the model cannot be loaded") as error:
        load_llm(LLMConfig(name=str(folder)))
    assert "\n" not in str(error.value)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="the tokenizer cannot be loaded"):
        load_llm(LLMConfig(name=str(folder)))


def test_unknown_names():
    with pytest.raises(ModelError, match="Did you mean 'smollm2-135m'"):
        locate("smollm-135m")
    with pytest.raises(ModelError, match="no such folder"):
        locate("./nowhere")
    assert locate("meta-llama/Llama-2-7b-hf") == "meta-llama/Llama-2-7b-hf"


def test_a_hub_that_cannot_be_reached(monkeypatch):
    from transformers import AutoTokenizer

    def fail(*args, **kwargs):
        raise OSError("We couldn't connect to 'hub' to load the files\nand more")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(ModelError, match=r"hub cannot be reached.*local folder"):
        load_tokenizer("some/model")


def test_types():
    cpu = torch.device("cpu")
    assert compute_dtype(LLMConfig(dtype="bfloat16"), cpu) == torch.bfloat16
    assert compute_dtype(LLMConfig(), cpu) in (torch.bfloat16, torch.float32)
    assert compute_dtype(LLMConfig(), torch.device("mps")) == torch.float32
    with pytest.raises(ModelError, match="float16 needs a GPU"):
        compute_dtype(LLMConfig(dtype="float16"), cpu)


@pytest.mark.parametrize(
    ("can", "fast"),
    [
        ({"cpu_name": "AMD Zen 4", "avx512_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "AMD Zen 3", "avx512_bf16": False}, False),
        ({"architecture": "arm64"}, False),
    ],
)
def test_type_of_a_cpu(monkeypatch, can, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    expected = torch.bfloat16 if fast else torch.float32
    assert compute_dtype(LLMConfig(), torch.device("cpu")) == expected


def test_type_of_a_cpu_that_torch_tells_little_of(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    for fast, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda fast=fast: fast)
        assert compute_dtype(LLMConfig(), torch.device("cpu")) == expected


def test_four_bits_train_on_the_cpu(folder):
    pytest.importorskip("bitsandbytes")
    data, paths = toy_paths()
    config = LLMConfig(name=str(folder), quantization="nf4", dtype="float32")
    for readout in ("candidates", "letters"):
        config.readout = readout
        model, tokenizer = load_llm(config)
        assert type(model.model.layers[0].self_attn.q_proj).__name__ == "Linear4bit"
        scorer = LMScorer(model, config)
        tokens = Prompter(tokenizer, data, PromptConfig(), readout).fit([paths])(
            paths, None, torch.arange(4).repeat(3, 1)
        )
        salience = torch.zeros(len(paths), requires_grad=True)
        scores = scorer(tokens, tokens.bundle_salience(salience))
        scores[0].square().sum().backward()
        assert torch.isfinite(scores).all()
        assert salience.grad.abs().sum() > 0
        # B starts at 0, so only it has a gradient at the first step.
        grads = [p.grad for n, p in scorer.named_parameters() if "lora_B" in n]
        assert all(torch.isfinite(g).all() and g.abs().sum() > 0 for g in grads)


def test_bitsandbytes_is_needed_for_four_bits_only(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    model, _ = load_llm(LLMConfig(name=str(folder)))
    LMScorer(model, LLMConfig())
    with pytest.raises(ModelError, match="nf4 needs the package bitsandbytes"):
        load_llm(LLMConfig(name=str(folder), quantization="nf4"))


def test_llama_2s_own_tokenizer(shared_data):
    sentencepiece = pytest.importorskip("sentencepiece")
    folder = shared_data.parent / "tokenizers" / "llama-2"
    if not folder.is_dir():
        pytest.skip("needs tokenizers/llama-2 beside LKGRAG_DATA")
    tokenizer = load_tokenizer(str(folder))
    reference = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    for title in (True, False):
        text = "Star Wars (1977)\nAlien | next7 fans2\n### Response: A" if title else "日本 Ω"
        assert tokenizer(text)["input_ids"] == [1, *reference.encode(text)]
    assert [tokenizer.convert_ids_to_tokens(i) for i in letter_ids(tokenizer, 3, ANSWER)] == [
        "▁A",
        "▁B",
        "▁C",
    ]
    data, paths = toy_paths()
    make = Prompter(tokenizer, data, PromptConfig(max_title=40), "letters").fit([paths])
    tokens = make(paths, None, torch.arange(4).repeat(3, 1))
    ids = tokens.input_ids[0, : tokens.lengths[0]].tolist()
    # Put together from parts, it is what the tokenizer makes of the whole text.
    assert ids == tokenizer(tokenizer.decode(ids[1:]))["input_ids"]


def test_the_lower_layers_are_kept_as_they_are(tmp_path):
    tokenizer = tiny_tokenizer()
    tiny_llama(len(tokenizer), layers=4).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    whole, _ = load_llm(LLMConfig(name=str(tmp_path), dtype="float32"))
    cut, _ = load_llm(LLMConfig(name=str(tmp_path), dtype="float32", layers=2))
    assert (len(whole.model.layers), len(cut.model.layers)) == (4, 2)
    assert cut.config.num_hidden_layers == 2
    tokens = torch.arange(12)[None]
    states = whole(tokens, output_hidden_states=True).hidden_states
    last = cut.model(tokens).last_hidden_state
    assert torch.equal(last, whole.model.norm(states[2]))
    with pytest.raises(ModelError, match=r"llm\.layers=5: the model has 4 layers"):
        load_llm(LLMConfig(name=str(tmp_path), layers=5))


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, 10),
        ({"layers": 0}, 30),
        ({"layers": 7}, 7),
        ({"readout": "letters"}, 30),
        ({"name": "another"}, 30),
    ],
)
def test_the_default_is_that_of_the_built_in_model_and_the_readout(options, kept):
    assert count_layers(LLMConfig(**options), 30) == kept
