"""Fairness to users: figures by group of users, the gap between the best and the worst group, and its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.evaluation.metrics import HEADLINE
from lkgrag.evaluation.resampling import Users, interval, weighted_sums
from lkgrag.evaluation.user_groups import LEAST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.protocol import SplitResult
    from lkgrag.evaluation.user_groups import Grouping

#: Digits after the point in which means of groups differ, or are alike.
DIGITS = 12


def compare_groups(
    result: SplitResult,
    groupings: Mapping[str, Grouping],
    resamples: int,
    seed: int,
    metric: str = HEADLINE,
) -> dict[str, Any]:
    """The metric of every system by group of users, and how far groups are apart.

    Args:
        result: the ranks on a split; a missed target counts 0.
        groupings: by name, of all users.
        resamples: of users, at most :data:`~lkgrag.evaluation.resampling.MOST`; and as many permutations.
        seed: of both.
        metric: a key, as ``ndcg@10``.

    Returns:
        ``split``, ``metric``, ``least`` (users that a group needs), and ``by``: for each grouping

        - ``groups``: ``group``, ``users`` and ``events`` of the split, and ``systems``, the means;
        - ``left_out``: users of groups that are too small, by group;
        - ``gaps``: for each system that ranked some events of two groups ``best``, ``worst`` (the same one where
          all are alike), ``gap`` (their difference), ``low`` and ``high`` (of the difference of these two groups, by a bootstrap over users),
          ``p`` (share of random assignments of users to groups of the same sizes with as large a gap between their
          best and worst, counted with one more), ``deviation`` (standard deviation of the groups' means, each
          group alike) with ``deviation_low`` and ``deviation_high`` of the bootstrap.
    """
    users = Users.of(result.user, resamples, seed)
    people = np.unique(result.user)
    times = users.draw() if users.number else np.zeros((0, 0))
    systems = result.systems
    covered = np.stack([result.covered(s) for s in systems], 1).astype(np.float64)
    gains = np.stack([result.gains(s, metric) for s in systems], 1) * covered
    # For each user and system the sum of gains, then the number of events.
    sums = users.sums(np.concatenate([gains, covered], 1))
    events = users.sums(np.ones((len(result), 1)))[:, 0]
    out: dict[str, Any] = {"split": result.split, "metric": metric, "least": LEAST, "by": {}}
    for name, grouping in groupings.items():
        group = grouping.group[people]
        members = {n: np.flatnonzero(group == i) for i, n in enumerate(grouping.names)}
        members = {n: inside for n, inside in members.items() if len(inside)}
        means = [_means(sums[inside].sum(0)) for inside in members.values()]
        rows = [
            {
                "group": label,
                "users": len(inside),
                "events": int(events[inside].sum()),
                "systems": dict(zip(systems, mean.tolist(), strict=True)),
            }
            for (label, inside), mean in zip(members.items(), means, strict=True)
        ]
        gaps = {}
        if len(members) > 1:
            gaps = _gaps(systems, members, np.stack(means), sums, times, seed)
        out["by"][name] = {"groups": rows, "left_out": grouping.left_out, "gaps": gaps}
    return out


def _means(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """From sums and numbers ``[..., 2 S]`` to means ``[..., S]``; NaN where there is no event."""
    total, count = np.split(sums, 2, axis=-1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _gaps(
    systems: list[str],
    members: dict[str, NDArray[np.int64]],
    means: NDArray[np.float64],
    sums: NDArray[np.float64],
    times: NDArray[np.float64],
    seed: int,
) -> dict[str, dict[str, Any]]:
    """How far the groups are apart, for each system with events of two groups.

    Args:
        systems: ``S`` names.
        members: the users of each of ``G`` groups.
        means: float64 ``[G, S]``.
        sums: float64 ``[U, 2 S]``.
        times: float64 ``[R, U]``.
        seed: of the permutations.
    """
    names = list(members)
    parts = [
        _means(weighted_sums(np.ascontiguousarray(times[:, inside]), sums[inside]))
        for inside in members.values()
    ]
    # A resample without any user of a group takes the group's own mean.
    drawn = np.stack([np.where(np.isnan(p), m, p) for p, m in zip(parts, means, strict=True)])
    # Sums of the same numbers in another order differ in their last digits: groups that are alike have no gap.
    means, drawn = np.round(means, DIGITS), np.round(drawn, DIGITS)
    spans = _permuted_spans([*members.values()], sums, len(times), seed)
    out = {}
    for number, system in enumerate(systems):
        judged = np.flatnonzero(~np.isnan(means[:, number]))
        if len(judged) < 2:
            continue
        mine = means[judged, number]
        best, worst = int(judged[mine.argmax()]), int(judged[mine.argmin()])
        gap = float(means[best, number] - means[worst, number])
        low, high = interval(drawn[best, :, number] - drawn[worst, :, number])
        least, most = interval(drawn[judged, :, number].std(0))
        as_far = int((spans[:, number] >= gap - 10.0**-DIGITS).sum())
        out[system] = {
            "best": names[best],
            "worst": names[worst],
            "gap": gap,
            "low": low,
            "high": high,
            "p": (1 + as_far) / (1 + len(spans)),
            "deviation": float(mine.std()),
            "deviation_low": least,
            "deviation_high": most,
        }
    return out


def _permuted_spans(
    members: list[NDArray[np.int64]], sums: NDArray[np.float64], permutations: int, seed: int
) -> NDArray[np.float64]:
    """The gap between best and worst of random groups of the same sizes, float64 ``[permutations, S]``."""
    values = sums[np.concatenate(members)]
    starts = np.cumsum([0, *(len(inside) for inside in members[:-1])])
    rng = np.random.default_rng([seed, 0xFA1])
    found = [
        np.add.reduceat(values[rng.permutation(len(values))], starts, axis=0)
        for _ in range(permutations)
    ]
    means = _means(np.stack(found))
    lowest = np.where(np.isnan(means), np.inf, means).min(1)
    highest = np.where(np.isnan(means), -np.inf, means).max(1)
    return highest - lowest
