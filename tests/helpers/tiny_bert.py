"""A tiny random BERT with its tokenizer, built in code."""

import string
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def bert_tokenizer():
    """Words are spelled in letters, as WordPiece does; other characters are unknown."""
    signs = [*string.ascii_lowercase, *string.digits, *"<>[]|/.,"]
    tokens = [*MARKS, *signs, *(f"##{sign}" for sign in signs)]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {f"{mark[1:-1].lower()}_token": mark for mark in MARKS}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names)


def bert_model(layers=3, positions=64):
    """A random BERT of 16 numbers a token."""
    config = BertConfig(
        vocab_size=120,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return BertModel(config, add_pooling_layer=False).float().eval()


def save_bert(folder: Path, **shape) -> Path:
    """A folder that ``AutoModel`` reads."""
    bert_tokenizer().save_pretrained(folder)
    bert_model(**shape).save_pretrained(folder)
    return folder
