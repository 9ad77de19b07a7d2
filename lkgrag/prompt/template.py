"""Templates: the fixed words of a prompt, for each layout.

``candidates``: a shared prefix (instruction, history, heading), then one line a candidate::

    Chosen so far, oldest first:
    Alien
    Blade Runner
    What comes next, with reasons graded 0 to 9:
    Event Horizon | next7 fans2
    ...

``letters``: the same with index letters and an answer slot::

    ...
    (A) Event Horizon | next7 fans2
    ...
    ### Response:
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.letters import LETTERS
from lkgrag.prompt.pieces import encode_pieces, start_tokens
from lkgrag.prompt.titles import SEPARATOR

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INSTRUCTION = "Chosen so far, oldest first:"
HEADING = "What comes next, with reasons graded 0 to 9:"
HEADING_PLAIN = "What comes next:"
#: What the answer's letter follows. No title can hold it (see :mod:`lkgrag.prompt.titles`).
ANSWER = "### Response:"


@dataclass(frozen=True)
class Template:
    """The fixed parts of a prompt as tokens.

    Attributes:
        start: instruction, with the tokenizer's start token.
        heading: between history and candidates; without the line break for ``candidates``, whose
            blocks begin with it.
        end: of a line.
        separator: between a candidate's title and its evidence.
        openings: what opens each candidate's line; empty for ``candidates``.
        answer: the answer slot; empty for ``candidates``.
        stars: what follows a history title of each rating from 0 to 10.
    """

    start: list[int]
    heading: list[int]
    end: list[int]
    separator: list[int]
    openings: list[list[int]]
    answer: list[int]
    stars: list[list[int]]

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerBase,
        layout: PromptLayout,
        evidence: bool,
        separator: str = SEPARATOR,
    ) -> Template:
        """Encode the template.

        Args:
            tokenizer: of the language model.
            layout: of the candidates.
            evidence: whether candidates come with worded paths.
            separator: between a candidate's title and its evidence; no text of an item may hold it.
        """
        letters = layout is PromptLayout.LETTERS
        heading = HEADING if evidence else HEADING_PLAIN
        lines = [heading, *([ANSWER] if letters else [])]
        openings = [f"({letter})" for letter in LETTERS] if letters else []
        at_start = encode_pieces(tokenizer, lines + openings, before="\n")
        inside = encode_pieces(
            tokenizer, ["\n", f" {separator}", *(str(n) for n in range(11))], before="a"
        )
        end, joint = inside[0], inside[1]
        # A tokenizer may treat the start of a text differently.
        first = tokenizer([INSTRUCTION], add_special_tokens=False)["input_ids"][0]
        return cls(
            start=[*start_tokens(tokenizer), *first, *end],
            heading=at_start[0] + (end if letters else []),
            end=end,
            separator=joint,
            openings=at_start[len(lines) :],
            answer=at_start[1] if letters else [],
            stars=[joint + number for number in inside[2:]],
        )
