"""A tiny random Llama and a tiny tokenizer, built in code: nothing is downloaded."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

#: Words that are one token each, both at the start of a line and after a space.
WORDS = (
    *("Chosen", "so", "far", "oldest", "first", "What", "comes", "next", "with", "reasons"),
    *("graded", "to", "Response", "before", "fans", "genre", "year", "director", "actor"),
    *("maker", "colour", "size", "Thing", "The", "untitled", "sequel", "occupation"),
)


def tiny_tokenizer(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """Build a byte-level tokenizer for any text, with tokens for some words and for letters after a space.

    Args:
        words: one token each; all other text is spelled in bytes.
    """
    # Only here: importing this room does not wait for transformers.
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    vocabulary = {token: index for index, token in enumerate(special)}
    for token in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[token] = len(vocabulary)
    merges: list[tuple[str, str]] = []
    space = "Ġ"  # stands for a space in a byte-level tokenizer
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
    """Build a random Llama in float32 with grouped heads, in evaluation mode.

    Args:
        vocab_size: at least the length of the tokenizer.
        seed: of the weights.
        hidden_size: divisible by 4.
        layers: number of decoder layers.
    """
    # Only here, as above.
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        # Larger than usual, so that the scores of a random model differ clearly.
        initializer_range=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    return model.float().eval()
