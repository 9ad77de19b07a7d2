"""From per-user ranks to rows and differences; nothing here makes a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from lkgrag.evaluation import (
    bootstrap_sum,
    control_share,
    detectable,
    paired_bootstrap,
)
from lkgrag.evaluation.metrics import HEADLINE, expected_gains, gains
from lkgrag.evaluation.protocol import RANDOM, REORDERING
from lkgrag.utils.layout import SYSTEM_ORDER, WITHOUT_TEXT

if TYPE_CHECKING:
    from lkgrag.evaluation import Difference

METRICS = ("mrr", "ndcg@5", HEADLINE, "ndcg@20", "recall@1", "recall@5", "recall@10", "recall@20")
#: How many candidates a list has: a target placed deeper is missed.
DEPTH = 20
#: Systems of stage one, which every run ranks by, and the parts of the fused one.
STAGE_ONE = tuple(s for s in SYSTEM_ORDER if s not in REORDERING)
#: Parts that are fused for some data only: small catalogues, and items with texts.
OPTIONAL = ("ease", "text")
PARTS = tuple(s for s in STAGE_ONE if s not in (RANDOM, WITHOUT_TEXT, "retriever"))
MAIN, RANKER = "lkgrag", "ranker"
#: The main row while lkgrag has no runs: the same without a language model.
STAND_IN = "scorer"
#: It ranks the same candidates on all events, so rows of a sample are compared by way of it.
CONTROL = "retriever"
#: Rows of the language model alone, and of one that reads another candidate's paths.
LM, SHUFFLED = "lm", "lm-shuffled"
#: Resamples of the bootstrap over users, and its seed.
RESAMPLES, SEED = 10_000, 0
#: Columns that name an event.
EVENT = ["seed", "user", "position"]


class Line(NamedTuple):
    """A line of the table: its name, the row whose runs are read, and the system of these runs."""

    name: str
    row: str
    system: str


def of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """The part of a split: ranks of test events, or language models' losses on validation events."""
    return table[table["split"] == split]


def event_gains(table: pd.DataFrame, system: str, metric: str) -> np.ndarray:
    """The metric of a system on each event, float ``[E]``; of ``random`` the expectation."""
    if system == RANDOM:
        there = np.where(table["retrieved"], table["candidates"], 0)
        return expected_gains(there, metric)
    rank = table[f"rank_{system}"].to_numpy()
    return gains(np.where(rank <= DEPTH, rank, 0), metric)


def lines_of(table: pd.DataFrame, settings: dict[str, Any]) -> list[Line]:
    """Every line that the runs have ranks for: stage one's systems, then the rows of the settings."""
    table = of_split(table, "test")
    rows = list(dict.fromkeys(table["row"]))
    counts = table.groupby("row").size()
    widest = max(rows, key=lambda r: (not _other_stage_one(settings, r), counts[r], r == MAIN))
    lines = [Line(system, widest, system) for system in STAGE_ONE]
    for name, options in settings["rows"].items():
        lines.append(Line(name, options.get("of", name), options.get("system", RANKER)))
    return [line for line in lines if _has_ranks(table, line)]


def _other_stage_one(settings: dict[str, Any], row: str) -> bool:
    """Whether a row's options give it other candidates than most rows have."""
    return any(
        o.split(".")[0] in ("data", "kg", "retrieval") for o in settings["rows"].get(row, {})
    )


def other_candidates(table: pd.DataFrame, settings: dict[str, Any]) -> list[str]:
    """``row/seed`` of runs whose candidates should be those of the other rows of the seed, and are not.

    Processors round differently, so a retriever that was trained on another machine ranks a little otherwise.
    Ranks of the fused retriever are compared with those of the run with the most events.
    """
    out = []
    table = of_split(table, "test")
    common = [r for r in table["row"].unique() if not _other_stage_one(settings, r)]
    for seed, runs in table[table["row"].isin(common)].groupby("seed"):
        ranks = {
            str(row): run.set_index(["user", "position"])[f"rank_{CONTROL}"]
            for row, run in runs.groupby("row", sort=False)
        }
        widest = max(ranks.values(), key=len)
        for row, mine in ranks.items():
            both = mine.index.intersection(widest.index)
            if not mine.loc[both].equals(widest.loc[both]):
                out.append(f"{row}/{seed}")
    return out


def _has_ranks(table: pd.DataFrame, line: Line) -> bool:
    """Whether the runs of a line have ranks of its system; a random order needs none."""
    part = table[table["row"] == line.row]
    column = f"rank_{line.system}"
    return len(part) > 0 and (
        line.system == RANDOM or (column in part and bool(part[column].notna().all()))
    )


def summary(table: pd.DataFrame, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """A line a row: means over seeds and their spread, for all users and where the target was retrieved.

    Args:
        table: ranks, a line an event, of all rows and seeds.
        settings: what ``quality.yaml`` says.

    Returns:
        A dictionary a row, with ``row``, ``seeds`` and ``events`` (how many), ``candidates`` (share of the
        targets that are among them), ``mean`` and ``retrieved`` by metric, and

        - ``each``: the means by seed; ``spread``: their standard deviation, NaN of one seed;
        - ``minus``: what the main row, lkgrag or its stand-in, gains over this one;
        - ``part``: what the stand-in gains over this one, of rows without a language model;
        - ``over``: what a reordering of the candidates gains over the fused retriever, of the seeds of the
          main row. Where a row predicts other events, the retriever is that of the same runs.
    """
    out = []
    table = of_split(table, "test")
    lines = lines_of(table, settings)
    main = main_line(lines)
    by_name = {line.name: line for line in lines}
    main_seeds = set(table.loc[table["row"] == main.row, "seed"]) if main else set()
    for line in lines:
        name = line.name
        part = table[table["row"] == line.row]
        seeds = sorted(set(part["seed"].tolist()))
        runs = [part[part["seed"] == seed] for seed in seeds]
        each = [figures(run, line.system) for run in runs]
        inside = [figures(run[run["retrieved"]], line.system) for run in runs]
        entry: dict[str, Any] = {
            "row": name,
            "seeds": len(each),
            "events": int(len(part) / len(each)),
            "candidates": float(part["retrieved"].mean()),
        }
        entry["mean"] = {m: float(np.mean([e[m] for e in each])) for m in METRICS}
        entry["each"] = {str(seed): e for seed, e in zip(seeds, each, strict=True)}
        entry["spread"] = {m: _deviation([e[m] for e in each]) for m in METRICS}
        entry["retrieved"] = {m: float(np.mean([e[m] for e in inside])) for m in METRICS}
        options = settings["rows"].get(name, {})
        alone = options.get("alone")
        if main and name != main.name and not alone:
            entry["minus"] = difference(table, main, line, control=True)
        if STAND_IN in by_name and name != STAND_IN and options.get("llm.name") == "none":
            entry["part"] = difference(table, by_name[STAND_IN], line)
        if CONTROL in by_name and name not in STAGE_ONE:
            other = Line(CONTROL, line.row, CONTROL) if alone else by_name[CONTROL]
            same = table["seed"].isin(main_seeds & set(seeds) or set(seeds))
            entry["over"] = difference(table[same], line, other)
        out.append(entry)
    return out


def _deviation(values: list[float]) -> float:
    """Sample standard deviation; NaN of fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def uses_paths(table: pd.DataFrame, settings: dict[str, Any]) -> dict[str, float] | None:
    """The language model alone minus one that is taught and asked with other candidates' paths in words.

    Where the interval is above 0, it ranks by the paths that it reads of each candidate.
    """
    lines = {line.name: line for line in lines_of(table, settings)}
    if LM not in lines or SHUFFLED not in lines:
        return None
    return difference(of_split(table, "test"), lines[LM], lines[SHUFFLED], retrieved=True)


def main_line(lines: list[Line]) -> Line | None:
    """The line that is compared with all others: lkgrag, or its stand-in."""
    by_name = {line.name: line for line in lines}
    return by_name.get(MAIN) or by_name.get(STAND_IN)


def figures(table: pd.DataFrame, system: str) -> dict[str, float]:
    """Means of all metrics over the events of one row and seed; 0 without an event."""
    if not len(table):
        return dict.fromkeys(METRICS, 0.0)
    return {m: float(event_gains(table, system, m).mean()) for m in METRICS}


def difference(
    table: pd.DataFrame,
    line: Line,
    other: Line,
    metric: str = HEADLINE,
    retrieved: bool = False,
    control: bool = False,
) -> dict[str, Any] | None:
    """A line minus another on the events and seeds that both have, users resampled.

    Args:
        table: ranks of test events.
        line: whose gain it is.
        other: that it is compared with.
        metric: that is compared.
        retrieved: only where the target is a candidate.
        control: where the other line has fewer events of its seeds, compare on all events of the first by
            way of the fused retriever (:func:`~lkgrag.evaluation.bootstrap_sum`), as far as that helps.

    Returns:
        ``mean low high p se events users``, ``seeds`` (that both have), ``other`` (the mean of the other line
        on these events, or what follows for it), ``per_cent`` (the gain over it) and ``detectable`` (the
        smallest difference that so many users show with probability .8). By way of the retriever also
        ``share`` (how far, 0 to 1) and ``shared`` (the same on the shared events alone). None without a
        common event.
    """
    mine, theirs = (_gains_of(table, each, metric, retrieved) for each in (line, other))
    both = mine.index.intersection(theirs.index)
    if not len(both):
        return None
    people = mine.index.unique("user")
    gap = mine.loc[both] - theirs.loc[both]
    users = _numbered(both, people)
    plain = paired_bootstrap(gap.to_numpy(), users, RESAMPLES, SEED)
    seeds = sorted(int(s) for s in both.unique("seed"))
    shared = _compared(plain, float(theirs.loc[both].mean()), seeds)
    mine = mine[mine.index.get_level_values("seed").isin(both.unique("seed"))]
    if not control or len(both) == len(mine):
        return shared
    control_line = Line(CONTROL, line.row, CONTROL)
    over = mine - _gains_of(table, control_line, metric, retrieved).loc[mine.index]
    inside = over.loc[both]
    share = control_share(gap.to_numpy(), inside.to_numpy(), users)
    parts = [
        ((share * over).to_numpy(), _numbered(over.index, people)),
        ((gap - share * inside).to_numpy(), users),
    ]
    total = bootstrap_sum(parts, RESAMPLES, SEED)
    other_mean = float(mine.mean()) - total.mean
    return {**_compared(total, other_mean, seeds), "share": share, "shared": shared}


def _gains_of(table: pd.DataFrame, line: Line, metric: str, retrieved: bool) -> pd.Series:
    """The metric of each event of a line, by seed, user and position."""
    rows = table[table["row"] == line.row]
    rows = rows[rows["retrieved"]] if retrieved else rows
    return pd.Series(event_gains(rows, line.system, metric), pd.MultiIndex.from_frame(rows[EVENT]))


def _numbered(events: pd.Index, people: pd.Index) -> np.ndarray:
    """The place of each event's user among the people."""
    return people.get_indexer(events.get_level_values("user"))


def _compared(gap: Difference, other: float, seeds: list[int]) -> dict[str, Any]:
    """A difference, and how much it is in per cent of the other line's mean."""
    return {
        **gap.to_dict(),
        "seeds": seeds,
        "other": other,
        "per_cent": 100.0 * gap.mean / other if other else float("nan"),
        "detectable": detectable(gap.se),
    }
