"""Texts of a prompt that is put together from tokens, and punctuation that melts into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.prompt.pieces import encode_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: What texts are encoded behind.
ANCHOR = "a"


class TextEncoder:
    """Tokens of texts as they stand within a prompt; each text is encoded once.

    Args:
        tokenizer: of the language model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._encoded: dict[str, list[int]] = {}
        self._anchor = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
        self._anchor_text = str(tokenizer.decode(self._anchor))

    def __call__(self, text: str) -> list[int]:
        """Tokens of a text."""
        if text not in self._encoded:
            (self._encoded[text],) = encode_pieces(self.tokenizer, [text], before=ANCHOR)
        return self._encoded[text]

    def glue(self, token: int, text: str) -> list[int]:
        """Tokens of a token with punctuation behind it, which a tokenizer may make one token of."""
        before = self._decode(token)
        (ids,) = encode_pieces(self.tokenizer, [before + text], before=ANCHOR)
        if self._decode(*ids) != before + text or "\ufffd" in before:
            return [token, *self(text)]
        return ids

    def _decode(self, *tokens: int) -> str:
        """The text of tokens behind others: at the start of a text, some tokenizers drop its space."""
        return str(self.tokenizer.decode([*self._anchor, *tokens])).removeprefix(self._anchor_text)
