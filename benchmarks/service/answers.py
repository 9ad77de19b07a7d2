"""What became of the requests: each answer is compared with that of :class:`lkgrag.Ranker`."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from lkgrag.service.engine import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.service.clients import Told
    from lkgrag.serving.ranker import Ranker

#: Two scores that differ by less are the same: a forward pass of several requests rounds in another order.
CLOSE = 1e-4


def truth(ranker: Ranker, users: Sequence[str]) -> dict[str, bytes]:
    """The answers that are right, by user: each from a call of its own."""
    return {user: to_json(ranker.recommend_users([user])[0]) for user in users}


def is_same(found: Any, expected: Any) -> bool:
    """Whether two answers are the same up to the rounding of their numbers."""
    if isinstance(expected, float) and isinstance(found, float):
        return abs(found - expected) < CLOSE
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(is_same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(is_same, found, expected))
        )
    return bool(found == expected)


def compare(told: Told, users: Sequence[str], *right: dict[str, bytes]) -> dict[str, int]:
    """Count what became of the requests.

    Args:
        told: of the clients.
        users: of each request.
        right: answers by user, of the ranker before and of the one after a swap.

    Returns:
        Requests, those with no answer and with several, answers that are wrong, equal bit by bit to the first or to
        the second ranker's, or up to rounding.
    """
    counts: Counter[str] = Counter(dict.fromkeys(("lost", "twice", "wrong", "rounded"), 0))
    counts["requests"] = len(users)
    for number, user in enumerate(users):
        answers = told.answers.get(number, [])
        counts["lost"] += not answers
        counts["twice"] += len(answers) > 1
        for answer in answers:
            counts[_verdict(answer, [of[user] for of in right])] += 1
    return dict(counts)


def _verdict(answer: bytes, right: list[bytes]) -> str:
    names = ("equal", "equal_to_new")
    for name, expected in zip(names, right, strict=False):
        if answer == expected:
            return name
    found = json.loads(answer)
    return "rounded" if any(is_same(found, json.loads(r)) for r in right) else "wrong"
