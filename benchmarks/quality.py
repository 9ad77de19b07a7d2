"""Quality: every row of ``quality.yaml`` on every data set and seed, and what lkgrag gains over each.

Runs are kept below a folder and resumed; stages are shared by all rows. Per-user ranks go into the results, so
that every figure can be computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from benchmarks.common import RESULTS, say
from lkgrag.errors import LkgragError
from lkgrag.evaluation import paired_bootstrap
from lkgrag.evaluation.metrics import gains
from lkgrag.io import read_json, read_parquet, write_json, write_parquet
from lkgrag.options import load_config
from lkgrag.rundir import environment, finished, run_folder, today

FILE = Path(__file__).with_name("quality.yaml")
METRICS = ("mrr", "ndcg@5", "ndcg@10", "ndcg@20", "recall@1", "recall@5", "recall@10", "recall@20")
#: Systems of stage one, that any run gives.
STAGE_ONE = ("random", "popularity", "itemitem", "graph_itemitem", "lrurec", "retriever")
MAIN = "lkgrag"


def settings() -> dict[str, Any]:
    """What ``quality.yaml`` says."""
    found: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    return dict(found)


def overrides(data: str, row: str, seed: int, roots: dict[str, str], root: Path) -> dict[str, str]:
    """The options of one run."""
    said = settings()
    options = {**said["data"][data], **said["budget"], **said["rows"][row]}
    name = data.removesuffix("-clean")
    if name in roots:
        options["data.root"] = roots[name]
    options |= {
        "seed": seed,
        "out": root / data / row / str(seed),
        "cache.root": root / "cache",
        "evaluation.explain": 1,
        "training.tracker": "none",
    }
    return {key: str(value) for key, value in options.items()}


def carry_out(
    data: list[str], rows: list[str], seeds: list[int], roots: dict[str, str], root: Path
) -> None:
    """Make the runs that are missing, one after the other; each goes on where it was stopped."""
    from lkgrag.pipeline import train

    todo = [(d, r, s) for s in seeds for d in data for r in rows]
    for number, (name, row, seed) in enumerate(todo, start=1):
        config = load_config(overrides(name, row, seed, roots, root))
        say(f"{number} of {len(todo)}: {name}, {row}, seed {seed}")
        if finished(run_folder(config)) is None:
            train(config)


def gather(
    data: str, rows: list[str], seeds: list[int], root: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test ranks of every row and seed, one line an event; and what the runs say of themselves.

    Raises:
        LkgragError: runs of one data set were made of different files, or by different versions.
    """
    frames, about = [], {}
    files: dict[str, str] = {}
    for row in rows:
        for seed in seeds:
            folder = root / data / row / str(seed)
            metrics = finished(folder)
            if metrics is None:
                continue
            for what, value in (
                ("data", metrics["data"]["files"]),
                ("version", metrics["versions"]["lkgrag"]),
            ):
                if files.setdefault(what, value) != value:
                    raise LkgragError(
                        f"{folder}: made with another {what} ({value}) than the runs beside it "
                        f"({files[what]}); delete it and run again"
                    )
            table = read_parquet(folder / "ranks.parquet")
            table = table[table["split"] == "test"].assign(row=row, seed=seed)
            frames.append(table)
            about[f"{row}/{seed}"] = {
                key: metrics[key]
                for key in ("seconds", "tokens_per_prompt", "faithfulness", "date")
            }
    if not frames:
        return pd.DataFrame(), {}
    return pd.concat(frames, ignore_index=True), about


def figures(table: pd.DataFrame, system: str, depth: int = 20) -> dict[str, float]:
    """Means over events of one row's one seed."""
    rank = table[f"rank_{system}"].to_numpy()
    rank = np.where(rank <= depth, rank, 0)
    return {m: float(gains(rank, m).mean()) for m in METRICS}


def summary(table: pd.DataFrame, resamples: int, seed: int) -> list[dict[str, Any]]:
    """A line a row: mean and spread over seeds, and what lkgrag gains, pooled over seeds.

    Args:
        table: of :func:`gather`.
        resamples: of the paired bootstrap over users.
        seed: of the bootstrap.
    """
    out = []
    for row, system in _lines(table):
        part = table[table["row"] == row]
        each = [figures(t, system) for _, t in part.groupby("seed")]
        line: dict[str, Any] = {"row": system if row != system and system in STAGE_ONE else row}
        line["seeds"] = len(each)
        line["mean"] = {m: float(np.mean([e[m] for e in each])) for m in METRICS}
        line["spread"] = {m: float(np.std([e[m] for e in each])) for m in METRICS}
        found = difference(table, row, system, resamples, seed)
        if found is not None:
            line["lkgrag_minus"] = found
        out.append(line)
    return out


def _lines(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Rows and the system whose rank counts; stage one is read off the main row."""
    rows = list(dict.fromkeys(table["row"]))
    first = MAIN if MAIN in rows else rows[0]
    stage = [(first, s) for s in STAGE_ONE if f"rank_{s}" in table]
    return [*stage, *((row, "ranker") for row in rows)]


def difference(
    table: pd.DataFrame, row: str, system: str, resamples: int, seed: int, metric: str = "ndcg@10"
) -> dict[str, float] | None:
    """Lkgrag minus a row on the events and seeds that both have, paired, users resampled."""
    if MAIN not in set(table["row"]) or (row == MAIN and system == "ranker"):
        return None
    key = ["seed", "user", "position"]
    main = table[table["row"] == MAIN].set_index(key)["rank_ranker"]
    other = table[table["row"] == row].set_index(key)[f"rank_{system}"]
    both = main.index.intersection(other.index)
    if not len(both):
        return None
    ranks = [np.where(x.loc[both] <= 20, x.loc[both], 0) for x in (main, other)]
    gain = gains(ranks[0], metric) - gains(ranks[1], metric)
    users = pd.factorize(both.get_level_values("user"))[0]
    found = paired_bootstrap(gain, users, resamples, seed)
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "events": len(both),
    }


def save(data: str, table: pd.DataFrame, about: dict[str, Any], command: str) -> Path:
    """Write ``quality-DATA.json`` and the per-user ranks beside it."""
    from benchmarks.record import hardware

    path = RESULTS / f"quality-{data}.json"
    write_parquet(path.with_suffix(".parquet"), table)
    write_json(
        path,
        {
            "command": command,
            "date": today(),
            "hardware": hardware(),
            "versions": environment(),
            "settings": settings(),
            "rows": summary(table, 10_000, 0),
            "runs": about,
        },
    )
    return path


def recomputed(data: str) -> bool:
    """Whether the stored figures follow from the stored ranks."""
    path = RESULTS / f"quality-{data}.json"
    stored = read_json(path)["rows"]
    again = summary(read_parquet(path.with_suffix(".parquet")), 10_000, 0)
    return all(
        a["row"] == b["row"] and all(abs(a["mean"][m] - b["mean"][m]) < 1e-9 for m in METRICS)
        for a, b in zip(stored, again, strict=True)
    )
