"""A tiny random Llama and a tiny tokenizer, built in code: nothing is downloaded."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

#: Words that are one token each, at the start of a line and behind a space.
WORDS = (
    *("Chosen", "so", "far", "oldest", "first", "What", "comes", "next", "with", "reasons"),
    *("graded", "to", "Response", "before", "fans", "genre", "year", "director", "actor"),
    *("maker", "colour", "size", "Thing", "The", "untitled", "sequel", "occupation"),
)


def tiny_tokenizer(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer that knows some words, all letters behind a space, and any text.

    Args:
        words: one token each; everything else is spelled in bytes.
    """
    # Heavy: importing the toys must stay quick.
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate(special)}
    for token in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[token] = len(vocabulary)
    merges: list[tuple[str, str]] = []
    space = "Ġ"  # how a byte-level tokenizer writes a space
    letters = [space + letter for letter in string.ascii_letters]
    for word in [*letters, *(w for bare in words for w in (bare, space + bare))]:
        for end in range(1, len(word)):
            pair = (word[:end], word[end])
            if pair not in merges:
                merges.append(pair)
                vocabulary.setdefault(word[: end + 1], len(vocabulary))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="</s>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        name_or_path="tiny",
    )


def tiny_llama(
    vocab_size: int = 1024,
    seed: int = 0,
    hidden_size: int = 32,
    layers: int = 2,
) -> LlamaForCausalLM:
    """A random Llama in float32 with grouped heads, in evaluation mode.

    Args:
        vocab_size: at least the tokenizer's length.
        seed: of the weights.
        hidden_size: divisible by 4.
        layers: number of decoder layers.
    """
    # Heavy, as above.
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        # Larger than usual, so that a random model's scores differ visibly.
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return model.float().eval()
