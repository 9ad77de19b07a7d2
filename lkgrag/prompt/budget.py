"""The token budget: what a prompt that is too long loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
    keep, over = _drop_evenly(evidence, over)
    first, over = _drop_oldest(history, over)
    if over > 0:
        raise _too_small(limit, over)
    return first, keep


class Kept(NamedTuple):
    """What a prompt within the budget holds.

    Attributes:
        first: the first history line that stays.
        evidence: for each worded bundle whether it stays.
        titles: tokens of each candidate's title that stay, by slot.
    """

    first: int
    evidence: list[bool]
    titles: dict[int, int]


def share_budget(
    limit: int,
    fixed: int,
    titles: Mapping[int, int],
    longest: int,
    history: Sequence[int],
    evidence: Sequence[Evidence],
) -> Kept:
    """Fit a prompt into the budget so that each candidate pays for its own title.

    Every candidate gets the same room for its title: the longest that a title can be, or an equal part of what
    instruction and history leave. The rest is for worded paths, which go as in :func:`within_budget`. A title that
    needs less than its room leaves it to its candidate's own paths. One that needs more takes it from its
    candidate's own paths, then from the oldest history, and last it is cut. So which paths of a candidate are worded
    does not depend on the titles of others.

    Args:
        limit: most tokens, ``prompt.max_tokens``.
        fixed: tokens of instruction and answer slot, and of what stands around titles.
        titles: tokens of each candidate's title, by slot.
        longest: most tokens of a title, ``prompt.max_title``.
        history: tokens of each history line, oldest first.
        evidence: the worded bundles, of these slots.

    Raises:
        ConfigError: what must stay does not fit; the message says by how many tokens.
    """
    over = fixed + sum(titles.values()) - limit
    if over > 0:
        raise _too_small(limit, over)
    lines = sum(history)
    room = max(0, limit - fixed - lines)
    each = min(longest, room // len(titles)) if titles else 0
    # Where not every title has a token, no path has one.
    words = room - each * len(titles) if each else 0
    keep, _ = _drop_evenly(evidence, sum(e.tokens for e in evidence) - words)
    spare = {slot: each - tokens for slot, tokens in titles.items()}
    _settle_own(evidence, keep, spare)
    words = sum(e.tokens for e, stays in zip(evidence, keep, strict=True) if stays)
    over = fixed + sum(titles.values()) + words + lines - limit
    first, over = _drop_oldest(history, over)
    kept = dict(titles)
    for slot in sorted(spare, key=lambda s: (spare[s], s)):
        cut = min(max(0, over), max(0, -spare[slot]))
        kept[slot] -= cut
        over -= cut
    return Kept(first, keep, kept)


def _settle_own(evidence: Sequence[Evidence], keep: list[bool], spare: dict[int, int]) -> None:
    """Let candidates pay for long titles with their own bundles, and use for these what short titles leave.

    Args:
        evidence: the worded bundles.
        keep: whether each stays; changed in place.
        spare: tokens that each candidate's title leaves of its room, negative where it needs more; changed in
            place.
    """
    ranked = sorted(range(len(evidence)), key=lambda i: evidence[i].rank)
    for index in reversed(ranked):
        slot = evidence[index].slot
        if keep[index] and spare[slot] < 0:
            keep[index] = False
            spare[slot] += evidence[index].tokens
    # No weaker bundle takes the place of a stronger one.
    full = set()
    for index in ranked:
        slot, tokens = evidence[index].slot, evidence[index].tokens
        if keep[index] or slot in full:
            continue
        if tokens <= spare[slot]:
            keep[index] = True
            spare[slot] -= tokens
        else:
            full.add(slot)


def _drop_evenly(evidence: Sequence[Evidence], over: int) -> tuple[list[bool], int]:
    """Drop worded bundles until ``over`` tokens are gone: which stay, and how many tokens are still too many."""
    keep = [True] * len(evidence)
    order = sorted(
        range(len(evidence)),
        key=lambda i: (-evidence[i].rank, evidence[i].key, evidence[i].slot),
    )
    for index in order:
        if over <= 0:
            break
        keep[index] = False
        over -= evidence[index].tokens
    return keep, over


def _drop_oldest(history: Sequence[int], over: int) -> tuple[int, int]:
    """Drop history lines until ``over`` tokens are gone: the first that stays, and the tokens still too many."""
    first = 0
    while over > 0 and first < len(history):
        over -= history[first]
        first += 1
    return first, over


def _too_small(limit: int, over: int) -> ConfigError:
    return ConfigError(
        f"prompt.max_tokens={limit}: instruction and candidates alone need {over} tokens more; "
        f"set it to at least {limit + over}, or lower retrieval.k or prompt.max_title"
    )
