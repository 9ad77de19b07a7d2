"""Titles: text from outside, which must neither break a prompt nor imitate its structure."""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import TYPE_CHECKING

from lkgrag.prompt.pieces import encode_pieces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

#: Longest title, in characters.
MAX_CHARS = 120
#: What stands where nothing of a title is left.
UNTITLED = "untitled"
#: Separates a title from its evidence; occurs in no cleaned title.
SEPARATOR = "|"

#: Characters read before cleaning; what is cut later would be cut anyway.
_READ = 4 * MAX_CHARS
#: Unicode categories that are not text: controls, formats (bidirectional marks, zero-width
#: characters), surrogates, private use, unassigned.
_NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SPACES = frozenset({"Zs", "Zl", "Zp"})
#: Most combining marks on one character.
_MARKS = 2

_REMOVED = (
    # Tags and special tokens: <|im_end|>, <s>, </s>, <<SYS>>, <start_of_turn>.
    (re.compile(r"<[^<>]{0,60}>"), " "),
    # Bracketed special tokens: [INST], [/INST], [SEP].
    (
        re.compile(
            r"\[\s*/?\s*(?:INST|SYS|SEP|CLS|MASK|PAD|UNK|BOS|EOS|"
            r"AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\s*\]",
            re.IGNORECASE,
        ),
        " ",
    ),
    # Marks of a template's sections: ### Response:
    (re.compile(r"#(?:\s*#)+"), " "),
    # Index letters: (B).
    (re.compile(r"\(\s*([A-Za-z])\s*\)"), r"\1"),
    (re.compile(re.escape(SEPARATOR)), "/"),
    (re.compile(r"\s+"), " "),
)


def clean_title(title: object, fallback: str = UNTITLED, max_chars: int = MAX_CHARS) -> str:
    """Make a title fit for a prompt: one line, bounded, without the marks of a template.

    The result is NFKC-normalised, holds no control, format or bidirectional character, no tag or
    special token, no ``###``, no ``(B)`` and no separator. Letters of every script stay, in their
    logical order. Cleaning a cleaned title changes nothing.

    Args:
        title: anything; ``None`` and NaN count as empty.
        fallback: returned where nothing is left.
        max_chars: longest result.

    Returns:
        At least one character.
    """
    text = (
        title if isinstance(title, str) else "" if title is None or title != title else str(title)
    )
    text = text[:_READ]
    while True:
        # A removal can join characters that must go too, so repeat until nothing changes. This ends: every
        # round but the last shortens the text or rewrites it in a smaller alphabet.
        again = _once(text)[:max_chars].strip()
        if again == text:
            break
        text = again
    return text or fallback


def _once(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    kept: list[str] = []
    marks = 0
    for char in text:
        category = unicodedata.category(char)
        if category in _SPACES or char in "\t\n\r\v\f\x85":
            char = " "
        elif category in _NO_TEXT:
            continue
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if marks <= _MARKS:
            kept.append(char)
    text = "".join(kept)
    for pattern, instead in _REMOVED:
        text = pattern.sub(instead, text)
    return text.strip()


def encode_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Sequence[object]],
    max_tokens: int,
    inside: bool = False,
) -> list[list[int]]:
    """Clean texts of items and turn them into tokens, as ``title | brand | category``; none of them is special.

    Parts are cleaned one by one. None holds the separator, so no part can pass for two. Of a text that is too long,
    the title is cut first, to half of the limit at the least: long titles would hide all values.

    Args:
        tokenizer: of the language model.
        texts: the parts of each text, the title first; anything that :func:`clean_title` takes. Other parts that
            are empty are left out.
        max_tokens: longest result.
        inside: as of :func:`encode_titles`.
    """
    heads = encode_titles(tokenizer, [title for title, *_ in texts], sys.maxsize, inside)
    values = [[clean_title(part, fallback="") for part in parts] for _, *parts in texts]
    tails = ["".join(f" {SEPARATOR} {value}" for value in row if value) for row in values]
    # A tail follows a word, wherever the title stands.
    rows = encode_pieces(tokenizer, tails, before="a", required=False)
    least = (max_tokens + 1) // 2
    return [
        (head[: max(least, max_tokens - len(tail))] + tail)[:max_tokens]
        for head, tail in zip(heads, rows, strict=True)
    ]


def encode_titles(
    tokenizer: PreTrainedTokenizerBase,
    titles: Sequence[object],
    max_tokens: int,
    inside: bool = False,
) -> list[list[int]]:
    """Clean titles and turn them into tokens, at most ``max_tokens`` each, none of them special.

    Args:
        tokenizer: of the language model.
        titles: anything that :func:`clean_title` takes.
        max_tokens: longest result; the rest of a title is cut.
        inside: encode titles as they follow a word and a space, not as they begin a line.
    """
    before, space = ("a", " ") if inside else ("\n", "")
    cleaned = [space + clean_title(title) for title in titles]
    rows = encode_pieces(tokenizer, cleaned, before, required=False)
    (untitled,) = encode_pieces(tokenizer, [space + UNTITLED], before)
    return [(ids or untitled)[:max_tokens] for ids in rows]
