"""Parts of a prompt as tokens: prompts are put together from tokens, not from text.

A tokenizer treats the start of a text differently from its middle: SentencePiece puts a space there. So a
part is encoded behind another text, and the tokens of that text are cut off again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.errors import ModelError
from lkgrag.text.encoders.tokens import special_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase


def tokenizer_name(tokenizer: PreTrainedTokenizerBase) -> str:
    """What to call a tokenizer in a message."""
    return str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)


def encode_pieces(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], before: str, required: bool = True
) -> list[list[int]]:
    """Tokens of texts as they are within a prompt.

    Special tokens in a text are encoded as the characters they are written with.

    Args:
        tokenizer: of the language model.
        texts: the parts.
        before: what a part follows: a line break, or a word.
        required: whether every part must give a token.

    Raises:
        ModelError: a required part gives no token.
    """
    if not texts:
        return []
    options = {"add_special_tokens": False, "split_special_tokens": True}
    head = tokenizer([before], **options)["input_ids"][0]
    rows = tokenizer([before + text for text in texts], **options)["input_ids"]
    forbidden = special_ids(tokenizer)
    out = []
    for text, row in zip(texts, rows, strict=True):
        if list(row[: len(head)]) != list(head):
            # The first character melts into the text before it: encode the part alone.
            row = [*head, *tokenizer([text], **options)["input_ids"][0]]
        ids = [int(i) for i in row[len(head) :] if i not in forbidden]
        if required and not ids:
            raise ModelError(
                f"tokenizer {tokenizer_name(tokenizer)}: {text!r} gives no token; choose another "
                "llm.name"
            )
        out.append(ids)
    return out


def start_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer puts before every text, if it does so."""
    ids = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id
    return [int(bos)] if bos is not None and len(ids) and ids[0] == bos else []
