import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lkgrag.errors import ConfigError, ModelError
from lkgrag.prompt.letters import LETTERS, letter_ids
from lkgrag.testing.llm import tiny_tokenizer

ANSWER = "### Response:"


def test_each_letter_is_the_token_that_follows_the_answer_slot():
    tokenizer = tiny_tokenizer()
    ids = letter_ids(tokenizer, 52, ANSWER)
    head = tokenizer(ANSWER, add_special_tokens=False)["input_ids"]
    for letter, token in zip(LETTERS, ids, strict=True):
        assert tokenizer(f"{ANSWER} {letter}", add_special_tokens=False)["input_ids"] == [
            *head,
            token,
        ]
    assert len(set(ids)) == 52


def test_letters_without_a_space_are_taken_where_the_space_is_a_token():
    alphabet = {c: i for i, c in enumerate(["[UNK]", *"ABC#: Response"])}
    tokenizer = Tokenizer(models.WordLevel(alphabet, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    assert letter_ids(fast, 3, ANSWER) == [alphabet[c] for c in "ABC"]


def test_a_letter_of_two_tokens_names_the_tokenizer():
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "<unk>": 1}, merges=[], unk_token="<unk>"))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", name_or_path="poor"
    )
    with pytest.raises(ModelError, match="tokenizer poor: the letter 'A'"):
        letter_ids(fast, 2, ANSWER)


def test_more_candidates_than_letters():
    with pytest.raises(ConfigError, match="53 candidates, but there are 52 letters"):
        letter_ids(tiny_tokenizer(), 53, ANSWER)
