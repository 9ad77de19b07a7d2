"""The token budget: what a prompt that is too long loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Evidence(NamedTuple):
    """One worded bundle.

    Attributes:
        slot: candidate slot.
        rank: among the bundles of its candidate, 0 for the first.
        key: that it was ranked by; higher is stronger.
        tokens: its length; the first bundle's includes the separator.
    """

    slot: int
    rank: int
    key: float
    tokens: int


def within_budget(
    limit: int, fixed: int, history: Sequence[int], evidence: Sequence[Evidence]
) -> tuple[int, list[bool]]:
    """Drop worded paths, then the oldest history, until a prompt fits.

    Paths go evenly: every candidate's last one before any candidate's last but one, the weakest first.
    Instruction, candidates and answer slot always stay.

    Args:
        limit: most tokens, ``prompt.max_tokens``.
        fixed: tokens of instruction, candidates' titles and answer slot.
        history: tokens of each history line, oldest first.
        evidence: the worded bundles.

    Returns:
        The first history line that stays, and whether each bundle stays.

    Raises:
        ConfigError: what must stay does not fit; the message says by how many tokens.
    """
    over = fixed + sum(history) + sum(e.tokens for e in evidence) - limit
    keep = [True] * len(evidence)
    if over <= 0:
        return 0, keep
    order = sorted(
        range(len(evidence)),
        key=lambda i: (-evidence[i].rank, evidence[i].key, evidence[i].slot),
    )
    for index in order:
        if over <= 0:
            return 0, keep
        keep[index] = False
        over -= evidence[index].tokens
    first = 0
    while over > 0 and first < len(history):
        over -= history[first]
        first += 1
    if over > 0:
        raise ConfigError(
            f"prompt.max_tokens={limit}: instruction and candidates alone need {over} tokens more; "
            f"set it to at least {limit + over}, or lower retrieval.k or prompt.max_title"
        )
    return first, keep
