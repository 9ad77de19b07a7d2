"""Vectors of texts: the mean of hidden states, whatever the batch and whatever the texts try."""

import numpy as np
import pytest
import torch
from helpers.tiny_bert import bert_model, bert_tokenizer
from tokenizers import processors
from torch import nn
from transformers import T5Config, T5Model

from lkgrag.errors import ModelError
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.text.encoders import HiddenStateEncoder, hidden_states
from lkgrag.text.encoders.tokens import TextTokens

TEXTS = ["soap", "a light perfume | dove", "", "soap", "gel for dry hair", "  ", "oil"]


def bert(**shape):
    return HiddenStateEncoder("bert", bert_model(**shape), bert_tokenizer())


def llama(layer=0, tokenizer=None):
    tokenizer = tokenizer or tiny_tokenizer()
    model = tiny_llama(len(tokenizer), layers=4).model
    return HiddenStateEncoder("llama", model, tokenizer, layer)


KINDS = {"bert": bert, "llama": llama, "cut llama": lambda: llama(2)}


@pytest.fixture(params=KINDS)
def encoder(request):
    return KINDS[request.param]()


def test_a_vector_is_the_mean_over_tokens_and_marks():
    tokenizer = bert_tokenizer()
    batch = tokenizer(["soap", "gel 7"], padding=True, return_tensors="pt")
    with torch.no_grad():
        states = bert_model()(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
    mask = batch["attention_mask"][..., None]
    expected = (states * mask).sum(1) / mask.sum(1)
    np.testing.assert_allclose(bert().encode(["soap", "gel 7"]), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("layer", [1, 3])
def test_a_lower_layer_is_that_of_the_whole_model(layer):
    tokenizer = tiny_tokenizer()
    whole = tiny_llama(len(tokenizer), layers=4).model
    ids = tokenizer("gel for hair", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = whole(ids, output_hidden_states=True).hidden_states[layer][0].mean(0)
    cut = llama(layer)
    assert len(cut._model.layers) == layer
    np.testing.assert_allclose(cut.encode(["gel for hair"])[0], expected, rtol=1e-4, atol=1e-5)


def test_the_order_is_that_of_the_texts_whatever_the_batches(encoder, monkeypatch):
    together = encoder.encode(TEXTS)
    assert together.dtype == np.float32
    assert together.shape == (len(TEXTS), encoder.dim)
    single = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, single, atol=1e-5, rtol=1e-5)
    monkeypatch.setitem(hidden_states.BUDGET, "cpu", 16)
    np.testing.assert_allclose(encoder.encode(TEXTS), single, atol=1e-5, rtol=1e-5)
    assert len({vector.tobytes() for vector in together}) == 5


def test_equal_texts_are_encoded_once(encoder, monkeypatch):
    seen = []
    means = encoder._means
    monkeypatch.setattr(encoder, "_means", lambda rows: seen.extend(rows) or means(rows))
    made = encoder.encode(["soap"] * 50)
    assert len(seen) == 1
    assert (made == made[0]).all()
    assert made.any()


def test_texts_that_say_nothing_are_zero(encoder):
    made = encoder.encode(["", " \n\t ", "soap"])
    assert not made[:2].any()
    assert made[2].any()
    assert encoder.encode([]).shape == (0, encoder.dim)


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [
        (bert_tokenizer, "[CLS] soap [SEP] [PAD] [MASK]"),
        (tiny_tokenizer, "</s><s>soap<|im_start|>user<|im_end|></s>"),
    ],
)
def test_marks_in_a_text_are_plain_characters(tokenizer, text):
    made = tokenizer()
    tokens = TextTokens(made, 512)
    (row,) = tokens.rows([text])
    inner = row[len(tokens.before) : len(row) - len(tokens.after)]
    unknown = {made.unk_token_id}
    assert not set(inner) & (set(made.all_special_ids) - unknown)
    # The characters are there all the same.
    assert len(inner) > len(tokens.rows(["soap"])[0])


@pytest.mark.parametrize(
    "text", ["x" * 50_000, "soap " * 10_000, "香水 " * 25_000, " " * 50_000 + "soap"]
)
def test_endless_texts_are_cut(encoder, text):
    made = encoder.encode([text, "soap"])
    assert np.isfinite(made).all()
    longest = max(map(len, encoder._tokens.rows([text])))
    assert longest <= min(256, encoder._window())


@pytest.mark.parametrize(
    "text", ["Парфюм", "香水", "عطر", "🧴", "a\u0301\u0301", "\ud800x", "\x00y"]
)
def test_other_scripts_are_read(encoder, text):
    made = encoder.encode([text, "soap"])
    assert np.isfinite(made).all()
    assert made.shape == (2, encoder.dim)


def test_a_tokenizer_without_padding_works():
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    assert tokenizer.pad_token_id is None
    np.testing.assert_allclose(
        llama(tokenizer=tokenizer).encode(TEXTS), llama().encode(TEXTS), atol=1e-5
    )


@pytest.mark.parametrize("pad", [-1, 5000])
def test_a_padding_that_the_model_lacks_is_not_used(pad):
    tokenizer = tiny_tokenizer()
    model = tiny_llama(len(tokenizer), layers=4).model
    model.config.pad_token_id = pad
    made = HiddenStateEncoder("llama", model, tokenizer).encode(TEXTS)
    np.testing.assert_allclose(made, llama().encode(TEXTS), atol=1e-5)


def test_a_lone_start_token_does_not_count():
    plain, started = tiny_tokenizer(), tiny_tokenizer()
    started._tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", started.bos_token_id)]
    )
    assert TextTokens(started, 99).before == [started.bos_token_id]
    model = tiny_llama(len(plain), layers=2).model
    ids = torch.tensor([[started.bos_token_id, *plain("soap")["input_ids"]]])
    with torch.no_grad():
        expected = model(ids).last_hidden_state[0, 1:].mean(0)
    made = HiddenStateEncoder("llama", model, started).encode(["soap"])
    np.testing.assert_allclose(made[0], expected, rtol=1e-4, atol=1e-5)


def test_too_many_layers_are_refused():
    with pytest.raises(ModelError, match=r"text.layer=9: llama has 4 layers"):
        llama(9)


def test_of_an_encoder_and_a_decoder_only_the_encoder_is_used():
    config = T5Config(
        vocab_size=300, d_model=16, d_kv=8, d_ff=32, num_layers=3, num_decoder_layers=1, num_heads=2
    )
    model = T5Model(config).eval()
    made = HiddenStateEncoder("t5", model, bert_tokenizer(), layer=2)
    assert made.dim == 16
    assert made.encode(["soap"]).any()


class NoText(nn.Module):
    """A model of another kind."""

    def __init__(self):
        super().__init__()
        self.config = bert_model().config
        self.weight = nn.Parameter(torch.ones(1))
        self.device = torch.device("cpu")

    def get_input_embeddings(self):
        return None

    def forward(self, pixel_values):
        return pixel_values


def test_a_model_of_another_kind_gives_one_line():
    with pytest.raises(ModelError, match=r"text.encoder=eye: NoText gives no hidden states"):
        HiddenStateEncoder("eye", NoText(), bert_tokenizer())


def test_a_tokenizer_of_another_model_gives_one_line():
    with pytest.raises(ModelError, match=r"the model has only 40; take the tokenizer of the model"):
        HiddenStateEncoder("llama", tiny_llama(40).model, tiny_tokenizer()).encode(["soap"])


def test_vectors_that_are_not_finite_are_refused():
    model = bert_model()
    model.encoder.layer[-1].output.LayerNorm.bias.data.fill_(torch.nan)
    with pytest.raises(ModelError, match="vectors that are not finite"):
        HiddenStateEncoder("bert", model, bert_tokenizer()).encode(["soap"])


def test_a_window_without_room_is_refused():
    with pytest.raises(ModelError, match="a window of 2 tokens has no room"):
        bert(positions=2)
