"""The layouts of a prompt: where candidates stand, and where each is read."""

from __future__ import annotations

from enum import StrEnum


class PromptLayout(StrEnum):
    """What a readout asks of a prompt: how its candidates are set apart, and at which token each is read.

    A readout names the layout that it can read, and a prompter makes prompts of it. All else of a prompt
    (instruction, history, titles, worded paths) is the same in each.
    """

    #: A block of tokens a candidate. Blocks share their positions, and each is read at its last token.
    CANDIDATES = "candidates"
    #: Plain text with an index letter before each candidate. All are read at the answer slot, the last token.
    LETTERS = "letters"
