"""A run's results in sentences: what won and by how much, and what the language model is worth."""

from __future__ import annotations

import math
from typing import Any

from lkgrag.config import NO_LLM
from lkgrag.evaluation.metrics import HEADLINE, metric_label
from lkgrag.evaluation.tables import four_digits
from lkgrag.ranker.fusion import TermWeights

#: Largest p of a difference that is called one.
SIGNIFICANT = 0.05


def verdict(metrics: dict[str, Any]) -> str:
    """Say which of ranker and fused retriever is ahead on test, by how much, and whether that is more than chance.

    Args:
        metrics: content of ``metrics.json``.

    Returns:
        A sentence; empty if the run judged no test event, or, as older versions did, left the metric out.
    """
    difference = _find(metrics.get("differences") or [], system="ranker", other="retriever")
    if difference is None:
        return ""
    name = metric_label(HEADLINE)
    ours, theirs = (_figure(metrics, system) for system in ("ranker", "retriever"))
    if math.isnan(ours) or math.isnan(theirs):
        return ""
    if difference["events"] < _largest(metrics):
        # The ranker read the prompts of a part of the users, and both are compared on these.
        theirs = ours - difference["mean"]
    share = f"{100 * difference['mean'] / theirs:+.1f} %" if theirs else _signed(difference["mean"])
    figures = f"ranker {four_digits(ours)}, fused retriever {four_digits(theirs)} ({share}, {format_p(difference['p'])})"
    if _value(difference["p"]) > SIGNIFICANT:
        return f"On test ranker and fused retriever are level: {name} of {figures}."
    winner = "the ranker" if difference["mean"] > 0 else "the fused retriever"
    return f"On test {winner} won: {name} of {figures}."


def marginal_sentence(metrics: dict[str, Any], split: str = "test") -> str:
    """Say what the language model adds to scorer and prior, on the lists that it read.

    Args:
        metrics: content of ``metrics.json``.
        split: ``val`` or ``test``.

    Returns:
        For example ``language model over scorer + prior: NDCG@10 -.0002 [-.0011, +.0007], p = .710, on 371 lists;
        it has no weight in the ranking``; empty without a language model.
    """
    row = _find(metrics.get("marginal") or [], split=split, population="retrieved")
    if row is None:
        return ""
    weight = _value((metrics.get("fusion") or {}).get("lm"))
    worth = "no weight" if not weight > 0 else f"a weight of {100 * weight:.0f} %"
    how_sure = f"[{_signed(row['low'])}, {_signed(row['high'])}], {format_p(row['p'])}"
    if row["low"] == row["high"] == 0:
        # Both rankings are the same, so there is no interval to speak of.
        how_sure = "(every positive weight makes validation worse)"
    return (
        f"language model over scorer + prior: {metric_label(row['metric'])} {_signed(row['mean'])} {how_sure}, "
        f"on {row['events']:,} lists; it has {worth} in the ranking"
    )


def text_sentence(metrics: dict[str, Any], split: str = "test") -> str:
    """Say what the retriever ``text`` adds to the other retrievers.

    Args:
        metrics: content of ``metrics.json``.
        split: ``val`` or ``test``.

    Returns:
        For example ``text over the other retrievers: NDCG@10 +.0101 [+.0085, +.0118], p < .001, of 22,332 users``;
        empty without the retriever.
    """
    row = _find(metrics.get("marginal_text") or [], split=split)
    if row is None:
        return ""
    return (
        f"text over the other retrievers: {metric_label(row['metric'])} {_signed(row['mean'])} "
        f"[{_signed(row['low'])}, {_signed(row['high'])}], {format_p(row['p'])}, of {row['users']:,} users"
    )


def coverage_sentence(metrics: dict[str, Any]) -> str:
    """Say of which lists the language model's figures are, if it did not read all.

    Args:
        metrics: content of ``metrics.json``.
    """
    read = (_find(metrics.get("marginal") or [], population="all") or {}).get("users")
    users = ((metrics.get("data") or {}).get("counts") or {}).get("users")
    if not read or not users or read >= users:
        return ""
    names = "lm and ranker" if _value((metrics.get("fusion") or {}).get("lm")) > 0 else "lm"
    return f"{names}: of {read:,} users drawn at random; every other system: of all {users:,}."


def formula(metrics: dict[str, Any]) -> str:
    """The ranker's score as a formula whose weights sum to one, for example ``.40 scorer + .60 prior``.

    Terms without weight are left out. Older versions state weights in units of the language model's.

    Args:
        metrics: content of ``metrics.json``.
    """
    fusion = metrics.get("fusion")
    if not fusion:
        return ""
    weights = TermWeights.from_dict(fusion, metrics.get("llm") not in (None, NO_LLM)).normalised()
    terms = zip(weights._fields, weights, strict=True)
    return " + ".join(f"{_short(w)} {name}" for name, w in terms if w > 0)


def format_p(p: float | None) -> str:
    """A p as text: ``p = .710``, ``p < .001``."""
    value = _value(p)
    if math.isnan(value):
        return "p unknown"
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".", 1)


def _find(rows: list[dict[str, Any]], **wanted: str) -> dict[str, Any] | None:
    """The first row of the headline metric with these values; of test and of all users by default."""
    wanted = {"split": "test", "population": "all", "metric": HEADLINE, **wanted}
    return next((row for row in rows if all(row.get(k) == v for k, v in wanted.items())), None)


def _figure(metrics: dict[str, Any], system: str) -> float:
    return _value(metrics[system]["test"]["all"].get(HEADLINE))


def _largest(metrics: dict[str, Any]) -> int:
    """The number of test events of the widest comparison."""
    rows = [r for r in metrics.get("differences") or [] if r["split"] == "test"]
    widest = max((int(r["events"]) for r in rows), default=0)
    groups = (metrics.get("cold_start") or {}).get("history") or []
    return max(widest, sum(int(group["events"]) for group in groups))


def _value(value: float | None) -> float:
    """A number of ``metrics.json``, where null stands for NaN."""
    return math.nan if value is None else float(value)


def _signed(value: float | None) -> str:
    """Four digits with the sign and without the leading 0."""
    return f"{_value(value):+.4f}".replace("0.", ".", 1)


def _short(weight: float) -> str:
    """A weight of at most one with two digits; a small one with one, so that it does not look like 0."""
    text = f"{weight:.2f}" if weight >= 0.01 else f"{weight:.1g}"
    return text.removeprefix("0")
