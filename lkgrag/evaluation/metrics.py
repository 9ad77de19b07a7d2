r"""Ranks, and the metrics that follow from them.

A rank is 1 for the best; 0 means that the target was missed (it is not in the list). Every event has one
target, so Recall@k is the hit rate and the ideal DCG is 1.

:data:`METRICS` is the table of all metrics: ``mrr`` is :math:`1/r`, ``ndcg@k`` is
:math:`1/\log_2(1+r)` if :math:`r \le k`, ``recall@k`` is 1 if :math:`r \le k`. Other packages add theirs by
:func:`register_metric`, or by entry points of the group ``lkgrag.metrics``.
"""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.gains import discounted_gain, hit_gain, not_behind, reciprocal_gain

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: The metric that systems are compared by.
HEADLINE = "ndcg@10"
#: Entry points of other packages: name = "package.module:OBJECT".
GROUP = "lkgrag.metrics"
#: Ranks that a metric is tried on when it is registered; the last is that of an item never proposed.
TRIED = (0, *range(1, 101), np.iinfo(np.int64).max)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_CUTOFF = re.compile(r"[1-9][0-9]*")


@dataclass(frozen=True)
class Metric:
    """A figure of a ranked list with one target, which follows from the target's rank.

    Attributes:
        name: its key in ``metrics.json``, at most 32 small letters, digits and ``_``; with a cut-off the
            key is ``name@k``.
        label: what tables print, as ``NDCG``; with a cut-off, ``NDCG@10``.
        gain: from ranks (int64 of any shape, 0 for missed) to gains (float64 of the same shape). A gain
            lies in [0, 1], is 0 for a missed target and behind the cut-off, and never rises with the
            rank. It is called as ``gain(rank, k)`` if there is a cut-off, else as ``gain(rank)``.
        has_cutoff: whether only the first ``k`` places count.
        always: cut-offs that are reported beside those of ``evaluation.ks``.
    """

    name: str
    label: str
    gain: Callable[..., NDArray[np.float64]]
    has_cutoff: bool = False
    always: tuple[int, ...] = ()

    def keys(self, ks: Iterable[int]) -> list[str]:
        """Its keys in ``metrics.json`` for the cut-offs ``ks``."""
        if not self.has_cutoff:
            return [self.name]
        return [f"{self.name}@{k}" for k in sorted({*self.always, *ks})]

    def gains(self, rank: NDArray[np.int64], k: int | None = None) -> NDArray[np.float64]:
        """The gain of each rank, float64 of the same shape; ``k`` counts only if there is a cut-off."""
        gain = self.gain(rank, k) if self.has_cutoff else self.gain(rank)
        return np.asarray(gain, np.float64)


#: Every metric by its name, in the order of tables. A line here adds a built-in metric.
METRICS: dict[str, Metric] = {
    "mrr": Metric("mrr", "MRR", reciprocal_gain),
    "ndcg": Metric("ndcg", "NDCG", discounted_gain, has_cutoff=True, always=(10,)),
    "recall": Metric("recall", "Recall", hit_gain, has_cutoff=True, always=(1, 10)),
}


def register_metric(metric: Metric | str) -> Metric:
    """Add a metric to the table, behind those that are there.

    It then stands in every ``metrics.json`` that this process writes, and its keys are understood wherever
    a metric is named.

    Args:
        metric: the metric, or where it is: ``package.module:OBJECT``.

    Returns:
        The metric.

    Raises:
        ConfigError: it cannot be imported, is no :class:`Metric`, has a name that is not allowed or that
            another metric has, or its gain breaks the contract.
    """
    if isinstance(metric, str):
        metric = _imported(metric)
    if not _NAME.fullmatch(metric.name):
        raise ConfigError(
            f"metric '{metric.name}': a name has at most 32 small letters, digits and '_'"
        )
    if METRICS.get(metric.name, metric) != metric:
        raise ConfigError(f"metric '{metric.name}': another metric has this name; choose another")
    _try_out(metric)
    METRICS[metric.name] = metric
    return metric


def _imported(target: str) -> Metric:
    """The metric at ``package.module:OBJECT``.

    Raises:
        ConfigError: it cannot be imported, or is no metric.
    """

    def tell(error: BaseException) -> str:
        return f"metric {target}: cannot import it ({type(error).__name__}: {error})"

    with guard_custom_code(tell):
        value = pkgutil.resolve_name(target)
    if not isinstance(value, Metric):
        raise ConfigError(f"metric {target}: it is no object of lkgrag.evaluation.Metric")
    return value


def _try_out(metric: Metric) -> None:
    """Refuse a gain that breaks the contract.

    Raises:
        ConfigError: naming the metric and what is wrong.
    """

    def tell(error: BaseException) -> str:
        return f"metric '{metric.name}': its gain raised {type(error).__name__}: {error}"

    for k in (1, 10) if metric.has_cutoff else (None,):
        rank = np.array(TRIED)
        with guard_custom_code(tell):
            gain = metric.gains(rank, k)
        if gain.shape != rank.shape:
            wrong = f"has shape {list(gain.shape)} for ranks of shape {list(rank.shape)}"
        elif not ((gain >= 0) & (gain <= 1)).all():
            wrong = "must lie in [0, 1]"
        elif gain[0] != 0:
            wrong = f"must be 0 for a missed target, got {gain[0]}"
        elif k is not None and gain[rank > k].any():
            wrong = f"must be 0 behind the cut-off, k={k}"
        elif (rises := np.flatnonzero(np.diff(gain[1:]) > 0)).size:
            wrong = f"must not rise with the rank, but does behind rank {1 + rises[0]}"
        else:
            continue
        raise ConfigError(f"metric '{metric.name}': its gain {wrong}")


@cache
def _register_installed() -> None:
    """Register the metrics of installed packages, once.

    Raises:
        ConfigError: as :func:`register_metric`.
    """
    for point in entry_points(group=GROUP):
        register_metric(point.value)


def resolve_metric(key: str) -> tuple[Metric, int | None]:
    """The metric and the cut-off that a key of ``metrics.json`` names; None without a cut-off.

    Raises:
        ConfigError: the metric of an installed package is refused.
        ValueError: no metric has such a key.
    """
    _register_installed()
    name, at, cutoff = key.partition("@")
    metric = METRICS.get(name)
    if metric is not None and metric.has_cutoff and _CUTOFF.fullmatch(cutoff):
        return metric, int(cutoff)
    if metric is not None and not metric.has_cutoff and not at:
        return metric, None
    *others, last = [f"{m.name}@k" if m.has_cutoff else m.name for m in METRICS.values()]
    raise ValueError(f"no metric '{key}': there are {', '.join(others)} and {last}")


def metric_names(ks: list[int]) -> list[str]:
    """The keys of all metrics for the cut-offs ``ks``, in the order of tables.

    >>> metric_names([5, 10])
    ['mrr', 'ndcg@5', 'ndcg@10', 'recall@1', 'recall@5', 'recall@10']
    """
    _register_installed()
    return [key for metric in METRICS.values() for key in metric.keys(ks)]


def metric_label(key: str) -> str:
    """What tables print for a key of ``metrics.json``; the key itself where no metric has it.

    >>> metric_label("ndcg@10"), metric_label("mrr")
    ('NDCG@10', 'MRR')
    """
    try:
        metric, k = resolve_metric(key)
    except ValueError:
        return key
    return metric.label if k is None else f"{metric.label}@{k}"


def metric_place(key: str) -> tuple[int, str, int]:
    """Where a key of ``metrics.json`` stands in tables; what no metric has comes last, by name.

    >>> sorted(["recall@5", "ndcg@10", "ndcg@5"], key=metric_place)
    ['ndcg@5', 'ndcg@10', 'recall@5']
    """
    _register_installed()
    name, _, cutoff = key.partition("@")
    names = list(METRICS)
    place = names.index(name) if name in names else len(names)
    return place, name, int(cutoff) if _CUTOFF.fullmatch(cutoff) else 0


def pessimistic_rank(
    scores: ArrayLike, target: ArrayLike, mask: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Rank of each target among its candidates; equals count against the system.

    Args:
        scores: float ``[B, C]``, higher is better; NaN counts as the worst score there is.
        target: int64 ``[B]``, a slot, or -1 where the target is no candidate.
        mask: bool ``[B, C]``, filled slots; all of them by default.

    Returns:
        int64 ``[B]``, 1 for the best; 0 where the target is -1.

    Raises:
        ValueError: a target is an empty slot or out of range.
    """
    values = np.asarray(scores, np.float64)
    slot = np.asarray(target, np.int64)
    filled = np.ones(values.shape, bool) if mask is None else np.asarray(mask, bool)
    if slot.size and (slot.min() < -1 or slot.max() >= values.shape[1]):
        raise ValueError(f"target must lie in [-1, {values.shape[1]})")
    rows, there = np.arange(len(slot)), slot >= 0
    place = np.where(there, slot, 0)
    if values.shape[1] == 0:
        return np.zeros(len(slot), np.int64)
    if not filled[rows, place][there].all():
        raise ValueError("a target must be a filled slot")
    ahead = not_behind(values, values[rows, place]) & filled
    return np.where(there, ahead.sum(1), 0).astype(np.int64)


def gains(ranks: ArrayLike, metric: str) -> NDArray[np.float64]:
    """The metric of each event alone; its mean over events is the metric.

    Args:
        ranks: int64, any shape, 0 for missed.
        metric: a key, as ``mrr``, ``ndcg@k`` or ``recall@k``.

    Returns:
        float64 of the same shape; 0 for a missed target.

    Raises:
        ValueError: no such metric, or a negative rank.
    """
    rank = np.asarray(ranks, np.int64)
    if rank.size and rank.min() < 0:
        raise ValueError("ranks must be 1 or more, or 0 for missed")
    of, k = resolve_metric(metric)
    return of.gains(rank, k)


def expected_gains(num_candidates: ArrayLike, metric: str) -> NDArray[np.float64]:
    """What a uniformly random order of the candidates gives on average, in closed form.

    The target's rank is uniform on ``1..n``, so the expectation is the mean of the gains of all ranks.

    Args:
        num_candidates: int64 ``[E]``, length of each list that holds the target; 0 for a miss.
        metric: a key, as in :func:`gains`.

    Returns:
        float64 ``[E]``.

    Raises:
        ValueError: no such metric.
    """
    count = np.asarray(num_candidates, np.int64)
    longest = int(count.max(initial=0))
    total = np.concatenate([[0.0], np.cumsum(gains(np.arange(1, longest + 1), metric))])
    return np.where(count > 0, total[count] / np.maximum(count, 1), 0.0)
