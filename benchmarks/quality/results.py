"""Results of the quality benchmark: gathered from runs and from stored results, saved, and computed again.

The results hold per-user ranks, so every figure can be computed again (:mod:`benchmarks.quality.table`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

import lkgrag
from benchmarks.common import RESULTS, provenance, say
from benchmarks.quality.rows import overrides, rows_with_runs, seeds_of
from benchmarks.quality.table import lines_of, main_line, summary, uses_paths
from benchmarks.quality.targets import targets
from lkgrag.config.identity import to_dict
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.run.provenance import hardware
from lkgrag.serving.saved_run import read_metrics
from lkgrag.utils.files import read_json, read_parquet, write_json, write_parquet

#: Options that say where a run is and how it is shown, not what it is.
PLACES = ("out", "cache", "threads", "overwrite", "data.root", "preset", "evaluation.explain")
#: What is kept of each run's ``metrics.json``.
ABOUT = (
    "seed",
    "threads",
    "device",
    "dtype",
    "seconds",
    "tokens_per_prompt",
    "prompts_ranked",
    "faithfulness",
    "cross_entropy",
    "versions",
    "commit",
    "date",
)
#: Columns of ranks that the table is made of.
COLUMNS = ("split", "user", "position", "candidates", "retrieved")


def gather(
    settings: dict[str, Any], data: str, rows: list[str], seeds: list[int], root: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Ranks and losses of every row and seed, one line an event, and what is kept of each run.

    Runs are read from the folders below ``root``; those that are not there, from the stored results.

    Args:
        settings: what ``quality.yaml`` says.
        data: the data set.
        rows: with runs of their own.
        seeds: of the runs.
        root: of the runs.

    Returns:
        A table with ``row seed split user position candidates retrieved rank_...`` of test events, and
        ``nll_lm`` of the validation events that a language model read; and by ``row/seed`` the run.

    Raises:
        LkgragError: runs of one data set were made of different files, by another version than this, or with
            other options than their rows have now.
    """
    frames: list[pd.DataFrame] = []
    runs: dict[str, dict[str, Any]] = {}
    for row in rows:
        for seed in seeds:
            folder = root / data / row / str(seed)
            metrics = read_metrics(folder)
            if metrics is None:
                continue
            config: Any = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
            run = {
                **{key: metrics.get(key) for key in ABOUT},
                "tied": bool(metrics["data"]["counts"].get("tied_last_two")),
                "hardware": metrics.get("hardware") or hardware(),
                "data": metrics["data"]["files"],
                "version": metrics["versions"]["lkgrag"],
                "options": _of_row(config),
            }
            _refuse_others(folder, run, runs)
            differs = _differs(settings, data, row, seed, run["options"])
            if differs:
                raise LkgragError(f"{folder}: made with {differs}; delete it and run again")
            runs[f"{row}/{seed}"] = run
            frames.append(
                _events(read_parquet(folder / "ranks.parquet")).assign(row=row, seed=seed)
            )
    path = path_of(data)
    stored = stored_runs(settings, data, set(runs))
    for key, run in stored.items():
        _refuse_others(path, run, runs)
        runs[key] = run
    if stored:
        table = read_parquet(path.with_suffix(".parquet"))
        frames.append(table[(table["row"] + "/" + table["seed"].astype(str)).isin(stored)])
    if not frames:
        return pd.DataFrame(), {}
    order = [f"{row}/{seed}" for row in rows_with_runs(settings) for seed in settings["seeds"]]
    return pd.concat(frames, ignore_index=True), {k: runs[k] for k in order if k in runs}


def stored_runs(
    settings: dict[str, Any], data: str, anew: set[str] | None = None
) -> dict[str, dict[str, Any]]:
    """By ``row/seed``, the runs of the stored results that have the options of their rows today.

    Each run that is left out is named, with the reason.

    Args:
        settings: what ``quality.yaml`` says.
        data: the data set.
        anew: runs that were made again; the stored ones are left out without a word.
    """
    if settings["quick"] or not path_of(data).exists():
        return {}
    out = {}
    for key, run in read_json(path_of(data))["runs"].items():
        if key in (anew or ()):
            continue
        row, seed = key.rsplit("/", 1)
        why: str | None
        if "options" not in run:
            why = "its options are not stored"
        elif row not in rows_with_runs(settings) or int(seed) not in seeds_of(settings, row):
            why = "no such row or seed is left"
        else:
            why = _differs(settings, data, row, int(seed), run["options"])
        if why:
            say(f"{path_of(data)}: {key} is left out: {why}")
        else:
            out[key] = run
    return out


def path_of(data: str) -> Path:
    """The file of a data set's results; the ranks are beside it, as ``.parquet``."""
    return RESULTS / f"quality-{data}.json"


def _events(ranks: pd.DataFrame) -> pd.DataFrame:
    """The part of a run's ranks that the tables are made of."""
    if "rank_lm" in ranks:
        # All systems of a row are compared on the users that its language model read.
        ranks = ranks[ranks["rank_lm"] >= 0]
    test = ranks["split"] == "test"
    columns = [c for c in ranks if c in COLUMNS or str(c).startswith("rank_")]
    frames = [ranks.loc[test, columns]]
    if "nll_lm" in ranks:
        read = ~test & ranks["nll_lm"].notna()
        frames.append(ranks.loc[read, [*COLUMNS, "nll_lm"]])
    return pd.concat(frames, ignore_index=True)


def _of_row(config: dict[str, Any]) -> dict[str, Any]:
    """The options of a run by their dotted names, without those of :data:`PLACES`."""
    return {k: v for k, v in _flat(config).items() if not {k, k.split(".")[0]} & set(PLACES)}


def _differs(
    settings: dict[str, Any], data: str, row: str, seed: int, then: dict[str, Any]
) -> str | None:
    """The first option that a run was made with and its row has otherwise now; None where all agree.

    An option that only one of them has is no difference.
    """
    now = _of_row(to_dict(load_config(overrides(settings, data, row, seed, {}, Path()))))
    for key in sorted(now.keys() & then.keys()):
        if now[key] != then[key]:
            return f"{key}={then[key]}, the row has {key}={now[key]} now"
    return None


def _refuse_others(where: Path, run: dict[str, Any], runs: dict[str, dict[str, Any]]) -> None:
    """Stop where a run is of another version than this, or of other data than the runs beside it.

    Raises:
        LkgragError: naming its folder or the results file.
    """
    if run["version"] != lkgrag.__version__:
        raise LkgragError(
            f"{where}: made with another version ({run['version']}) than this ({lkgrag.__version__}); delete "
            "it and run again"
        )
    for first in list(runs.values())[:1]:
        if run["data"] != first["data"]:
            raise LkgragError(
                f"{where}: made of other data ({run['data']}) than the runs beside it "
                f"({first['data']}); delete it and run again"
            )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested options by their dotted names."""
    out: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            out |= _flat(inner, f"{prefix}{key}.")
        else:
            out[f"{prefix}{key}"] = inner
    return out


def save(
    settings: dict[str, Any], data: str, table: pd.DataFrame, runs: dict[str, Any], command: str
) -> Path:
    """Write ``quality-DATA.json`` and the per-user ranks beside it.

    Args:
        settings: what ``quality.yaml`` says.
        data: the data set.
        table: ranks, as of :func:`gather`.
        runs: by ``row/seed``, likewise.
        command: that made them.

    Raises:
        LkgragError: stored runs are not among these, and would be lost.
    """
    path = path_of(data)
    if path.exists():
        lost = [
            key
            for key in read_json(path)["runs"]
            if key.split("/")[0] in rows_with_runs(settings) and key not in runs
        ]
        if lost:
            raise LkgragError(
                f"{path} holds {', '.join(lost)}, made with other options or with none stored; make them again "
                "first, by --only ROW, or move the file away"
            )
    write_parquet(path.with_suffix(".parquet"), table)
    write_json(
        path,
        {
            **provenance(command),
            "settings": settings,
            "main": (main_line(lines_of(table, settings)) or (None,))[0],
            "rows": summary(table, settings),
            "targets": targets(data, table, runs, settings),
            "uses_paths": uses_paths(table, settings),
            "runs": runs,
        },
    )
    return path


def recomputed(data: str) -> bool:
    """Whether the stored figures and targets follow from the stored ranks."""
    path = path_of(data)
    stored = read_json(path)
    table = read_parquet(path.with_suffix(".parquet"))
    settings = stored["settings"]
    return bool(
        _close(stored["rows"], summary(table, settings))
        and _close(stored["targets"], targets(data, table, stored["runs"], settings))
        and _close(stored.get("uses_paths"), uses_paths(table, settings))
    )


def _close(a: Any, b: Any) -> bool:
    """Whether two results agree, except for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float | int):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    # JSON has no NaN: it was stored as null.
    return bool(a == b or (a is None and b != b))
