"""Texts as tokens of a model, none of which the text itself can pass off as special."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from lkgrag.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

#: Longest text in tokens, as MiniLM was made for. A title with its attributes takes about 30.
MAX_TOKENS = 256
#: Characters after which a text is cut before it becomes tokens; 256 tokens are seldom longer.
MAX_CHARS = 40 * MAX_TOKENS


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that mark structure, as ``[CLS]`` and ``</s>``.

    The token of unknown words is none of them, unless the tokenizer uses it as a mark, too.
    """
    unknown = tokenizer.unk_token_id
    special = set(tokenizer.all_special_ids)
    if unknown not in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
        special.discard(unknown)
    return special


class TextTokens:
    """Turns texts into tokens, with the special ones that the model expects around a text.

    Args:
        tokenizer: of the model.
        window: positions that the model has.

    Attributes:
        before: tokens before every text, as ``[CLS]``.
        after: tokens after every text, as ``[SEP]``.

    Raises:
        ModelError: no token of a text fits into the window.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, window: int) -> None:
        self.tokenizer = tokenizer
        self._special = special_ids(tokenizer)
        ids = [int(i) for i in tokenizer("a", verbose=False)["input_ids"]]
        self.before = list(takewhile(self._special.__contains__, ids))
        rest = ids[len(self.before) :]
        self.after = list(takewhile(self._special.__contains__, reversed(rest)))[::-1]
        most = min(MAX_TOKENS, window, tokenizer.model_max_length)
        self._room = most - len(self.before) - len(self.after)
        if self._room < 1:
            raise ModelError(
                f"text.encoder: a window of {most} tokens has no room for a text; choose another model"
            )

    def rows(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of each text; an empty list for a text that says nothing.

        Special tokens in a text are encoded as the characters they are written with.
        """
        if not texts:
            return []
        # A tokenizer takes no lone surrogates, which JSON files can hold.
        clean = [text[:MAX_CHARS].encode("utf-8", "replace").decode() for text in texts]
        rows = self.tokenizer(
            clean, add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        out = []
        for text, row in zip(clean, rows, strict=True):
            ids = [int(i) for i in row if i not in self._special][: self._room]
            out.append([*self.before, *ids, *self.after] if ids and text.strip() else [])
        return out
