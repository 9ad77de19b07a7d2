"""Index letters: one token each for the tokenizer at hand, at the place where the answer stands."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: The letters in the order in which candidates get them.
LETTERS = ascii_uppercase + ascii_lowercase


def letter_ids(
    tokenizer: PreTrainedTokenizerBase,
    count: int,
    before: str,
    spaces: tuple[str, ...] = (" ", ""),
) -> list[int]:
    """Token ids of the first letters as they follow ``before``.

    A letter has a space before it, as in running text. Where that is not one token, it has none.

    Args:
        tokenizer: of the language model.
        count: candidates a prompt.
        before: text at the end of the prompt, the answer slot.
        spaces: what may stand between the answer slot and a letter; the first that fits is taken.

    Raises:
        ConfigError: more candidates than letters.
        ModelError: a letter is no single token, or two letters are the same one.
    """
    if count > len(LETTERS):
        raise ConfigError(
            f"llm.readout reads index letters: {count} candidates, but there are {len(LETTERS)} letters; "
            "lower retrieval.k, or ask a trained ranker for a smaller k or of fewer candidates; "
            "llm.readout=candidates has no such limit"
        )
    options = {"add_special_tokens": False}
    head = list(tokenizer([before], **options)["input_ids"][0])
    wrong = ""
    for space in spaces:
        texts = [before + space + letter for letter in LETTERS[:count]]
        rows = [list(row) for row in tokenizer(texts, **options)["input_ids"]] if texts else []
        fits = [row[:-1] == head and row[-1] != tokenizer.unk_token_id for row in rows]
        ids = [int(row[-1]) for row in rows]
        if all(fits) and len(set(ids)) == count:
            return ids
        wrong = wrong or next((LETTERS[i] for i, fit in enumerate(fits) if not fit), LETTERS[0])
    name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
    raise ModelError(
        f"tokenizer {name}: the letter {wrong!r} is not a single token behind {before!r}; "
        "lower retrieval.k, set llm.readout=candidates, or choose another llm.name"
    )
