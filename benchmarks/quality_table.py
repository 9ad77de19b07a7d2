"""From per-user ranks to rows and differences; nothing here makes a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.evaluation import (
    bootstrap_sum,
    control_share,
    detectable,
    paired_bootstrap,
)
from lkgrag.evaluation.metrics import expected_gains, gains
from lkgrag.evaluation.protocol import RANDOM, REORDERING
from lkgrag.utils.layout import SYSTEM_ORDER as SYSTEMS

if TYPE_CHECKING:
    from lkgrag.evaluation import Difference

METRICS = ("mrr", "ndcg@5", "ndcg@10", "ndcg@20", "recall@1", "recall@5", "recall@10", "recall@20")
#: What is compared, and how many candidates a list has: a target placed deeper is missed.
METRIC, DEPTH = "ndcg@10", 20
#: Systems of stage one, which any run ranks by (EASE on small catalogues only), and what is fused of them.
STAGE_ONE = tuple(s for s in SYSTEMS if s not in REORDERING)
PARTS = tuple(s for s in STAGE_ONE if s not in (RANDOM, "retriever"))
MAIN, RANKER = "lkgrag", "ranker"
#: What is compared with the other rows, while lkgrag's own runs are not there: the same without LM.
STAND_IN = "scorer"
#: What ran on all events and ranks the same candidates: by way of it rows of a sample are compared.
CONTROL = "retriever"
#: The language model's scores alone, and those of one that reads another candidate's paths.
LM, SHUFFLED = "lm", "lm-shuffled"
#: Resamples of the bootstrap over users, and its seed.
RESAMPLES, SEED = 10_000, 0
EVENT = ["seed", "user", "position"]


def of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """The ranks of test events, or the language models' losses on validation events."""
    return table[table["split"] == split]


def event_gains(table: pd.DataFrame, system: str, metric: str) -> np.ndarray:
    """The metric of each event; of ``random`` the expectation."""
    if system == RANDOM:
        there = np.where(table["retrieved"], table["candidates"], 0)
        return expected_gains(there, metric)
    rank = table[f"rank_{system}"].to_numpy()
    return gains(np.where(rank <= DEPTH, rank, 0), metric)


def lines_of(table: pd.DataFrame, said: dict[str, Any]) -> list[tuple[str, str, str]]:
    """``(name, row whose runs are read, system)`` of every line of the table."""
    table = of_split(table, "test")
    rows = list(dict.fromkeys(table["row"]))
    counts = table.groupby("row").size()
    widest = max(rows, key=lambda r: (not _other_stage_one(said, r), counts[r], r == MAIN))
    known = [(s, widest, s) for s in STAGE_ONE]
    for name, options in said["rows"].items():
        known.append((name, options.get("of", name), options.get("system", RANKER)))
    return [line for line in known if _ranks(table, *line[1:])]


def _other_stage_one(said: dict[str, Any], row: str) -> bool:
    """Whether a row's candidates are not those of most rows, by options of its own."""
    return any(o.split(".")[0] in ("data", "kg", "retrieval") for o in said["rows"].get(row, {}))


def other_candidates(table: pd.DataFrame, said: dict[str, Any]) -> list[str]:
    """``row/seed`` of runs whose candidates are not those of the other rows of the seed, though they should be.

    Processors round differently, so that a retriever that was trained on another machine ranks a little
    otherwise. Ranks of the fused retriever are compared with those of the run with the most events.
    """
    out = []
    table = of_split(table, "test")
    common = [r for r in table["row"].unique() if not _other_stage_one(said, r)]
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


def _ranks(table: pd.DataFrame, row: str, system: str) -> bool:
    """Whether a row's runs have ranks of a system; random order has its expectation."""
    part = table[table["row"] == row]
    column = f"rank_{system}"
    return len(part) > 0 and (
        system == RANDOM or (column in part and bool(part[column].notna().all()))
    )


def summary(table: pd.DataFrame, said: dict[str, Any]) -> list[dict[str, Any]]:
    """A line a row: means over seeds and their spread, for all users and where the target was retrieved.

    Args:
        table: ranks, a line an event, of all rows and seeds.
        said: the settings.

    Returns:
        Lines with ``row seeds events mean each spread retrieved candidates minus part over``; ``each`` holds
        the means by seed, ``spread`` their standard deviation, NaN of one; ``minus`` what the main row,
        lkgrag or its stand-in, gains over this one; ``part``, of rows without a language model, what the
        stand-in gains over this one; ``over`` what a reordering of the candidates gains over the fused
        retriever, where other events are predicted that of the same runs, of the seeds of the main row.
    """
    out = []
    table = of_split(table, "test")
    lines = lines_of(table, said)
    main = main_line(lines)
    known = {line[0]: line for line in lines}
    mains = set(table.loc[table["row"] == main[1], "seed"]) if main else set()
    for name, row, system in lines:
        part = table[table["row"] == row]
        seeds = sorted(set(part["seed"].tolist()))
        runs = [part[part["seed"] == seed] for seed in seeds]
        each = [figures(t, system) for t in runs]
        inside = [figures(t[t["retrieved"]], system) for t in runs]
        line: dict[str, Any] = {
            "row": name,
            "seeds": len(each),
            "events": int(len(part) / len(each)),
            "candidates": float(part["retrieved"].mean()),
        }
        line["mean"] = {m: float(np.mean([e[m] for e in each])) for m in METRICS}
        line["each"] = {str(seed): e for seed, e in zip(seeds, each, strict=True)}
        line["spread"] = {m: _deviation([e[m] for e in each]) for m in METRICS}
        line["retrieved"] = {m: float(np.mean([e[m] for e in inside])) for m in METRICS}
        options = said["rows"].get(name, {})
        alone = options.get("alone")
        if main and name != main[0] and not alone:
            line["minus"] = difference(table, main, (name, row, system), control=True)
        if STAND_IN in known and name != STAND_IN and options.get("llm.name") == "none":
            line["part"] = difference(table, known[STAND_IN], (name, row, system))
        if CONTROL in known and name not in STAGE_ONE:
            other = (CONTROL, row, CONTROL) if alone else known[CONTROL]
            same = table["seed"].isin(mains & set(seeds) or set(seeds))
            line["over"] = difference(table[same], (name, row, system), other)
        out.append(line)
    return out


def _deviation(values: list[float]) -> float:
    """Sample standard deviation; NaN of fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def uses_paths(table: pd.DataFrame, said: dict[str, Any]) -> dict[str, float] | None:
    """The language model alone minus the same taught and asked with other candidates' paths in words.

    Where the interval is above 0, it ranks by the paths that it reads of each candidate.
    """
    lines = {line[0]: line for line in lines_of(table, said)}
    if LM not in lines or SHUFFLED not in lines:
        return None
    return difference(of_split(table, "test"), lines[LM], lines[SHUFFLED], retrieved=True)


def main_line(lines: list[tuple[str, str, str]]) -> tuple[str, str, str] | None:
    """The line that is compared with all others."""
    known = {line[0]: line for line in lines}
    return known.get(MAIN) or known.get(STAND_IN)


def figures(table: pd.DataFrame, system: str) -> dict[str, float]:
    """Means over events of one row's one seed; 0 without any."""
    if not len(table):
        return dict.fromkeys(METRICS, 0.0)
    return {m: float(event_gains(table, system, m).mean()) for m in METRICS}


def difference(
    table: pd.DataFrame,
    one: tuple[str, str, str],
    other: tuple[str, str, str],
    metric: str = METRIC,
    retrieved: bool = False,
    control: bool = False,
) -> dict[str, Any] | None:
    """One line minus another on the events and seeds that both have, users resampled.

    Args:
        table: ranks of test events.
        one: a line.
        other: a line.
        metric: that is compared.
        retrieved: only where the target is a candidate.
        control: where the other line has fewer events of its seeds, compare on all events of the first by
            way of the fused retriever (:func:`~lkgrag.evaluation.bootstrap_sum`), as far as that helps.

    Returns:
        ``mean low high p se events users``, ``seeds`` (that both have), ``other`` (the mean of the other one
        on these events, or what follows for it), ``per_cent`` (the gain over it), ``detectable`` (the
        smallest difference that so many users show with probability .8); by way of the retriever also
        ``share`` (how far, 0 to 1) and ``shared`` (the same on the shared events alone); None without a
        common event.
    """
    mine, theirs = (_of_line(table, line, metric, retrieved) for line in (one, other))
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
    over = mine - _of_line(table, (CONTROL, one[1], CONTROL), metric, retrieved).loc[mine.index]
    inside = over.loc[both]
    share = control_share(gap.to_numpy(), inside.to_numpy(), users)
    parts = [
        ((share * over).to_numpy(), _numbered(over.index, people)),
        ((gap - share * inside).to_numpy(), users),
    ]
    found = bootstrap_sum(parts, RESAMPLES, SEED)
    other_mean = float(mine.mean()) - found.mean
    return {**_compared(found, other_mean, seeds), "share": share, "shared": shared}


def _of_line(
    table: pd.DataFrame, line: tuple[str, str, str], metric: str, retrieved: bool
) -> pd.Series:
    """The metric of each event of a line, by seed, user and position."""
    _, row, system = line
    rows = table[table["row"] == row]
    rows = rows[rows["retrieved"]] if retrieved else rows
    return pd.Series(event_gains(rows, system, metric), pd.MultiIndex.from_frame(rows[EVENT]))


def _numbered(events: pd.Index, people: pd.Index) -> np.ndarray:
    """The place of each event's user among the people."""
    return people.get_indexer(events.get_level_values("user"))


def _compared(found: Difference, other: float, seeds: list[int]) -> dict[str, Any]:
    """A difference, and what it is of the other's mean."""
    return {
        **found.to_dict(),
        "seeds": seeds,
        "other": other,
        "per_cent": 100.0 * found.mean / other if other else float("nan"),
        "detectable": detectable(found.se),
    }
