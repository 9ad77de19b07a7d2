"""Quality: every row of ``quality.yaml`` on every data set and seed, and what lkgrag gains over each.

Runs are kept below a folder and resumed; stages are shared by all rows. Per-user ranks go into the results, so
that every figure can be computed again (:mod:`benchmarks.quality_table`). Runs that the stored results hold
already, made on another day or machine, are not made again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from benchmarks.common import say
from benchmarks.quality_table import lines_of, main_line, summary, targets, uses_paths
from benchmarks.record import RESULTS, hardware
from lkgrag.errors import LkgragError
from lkgrag.io import read_json, read_parquet, write_json, write_parquet
from lkgrag.options import digest, load_config, to_dict
from lkgrag.rundir import environment, finished, run_folder, today

FILE = Path(__file__).with_name("quality.yaml")
#: Options that say where a run is and how it is shown, not what it is.
PLACES = ("out", "cache", "threads", "overwrite", "data.root", "preset", "evaluation.explain")
#: Options of the quick form: that every row runs, not how well.
QUICK = {
    "retrieval.epochs": 1,
    "training.max_examples": 8,
    "training.probe": 0,
    "evaluation.max_events": 4,
    "evaluation.max_val_events": 4,
    "evaluation.faithfulness": 0,
}
#: Words of a row that are no options of a run.
OWN = ("of", "system", "seeds", "alone")
#: What is kept of each run's own account.
ABOUT = ("seconds", "tokens_per_prompt", "prompts_ranked", "faithfulness", "cross_entropy", "date")
#: Columns of ranks that are kept: what the table is made of.
COLUMNS = ("user", "position", "candidates", "retrieved")


def settings(quick: bool = False) -> dict[str, Any]:
    """What ``quality.yaml`` says; of the quick form, one data set and seed, and tiny budgets.

    Returns:
        Its ``seeds``, ``budget``, ``data``, ``rows`` and ``looks``, and ``quick``, options that go before
        all others.
    """
    found: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    said = {**found, "quick": QUICK if quick else {}}
    if quick:
        said["seeds"] = said["seeds"][:1]
        said["data"] = dict([next(iter(said["data"].items()))])
    return said


def made(said: dict[str, Any]) -> list[str]:
    """Rows with runs of their own."""
    return [name for name, options in said["rows"].items() if "of" not in options]


def seeds_of(said: dict[str, Any], row: str) -> list[int]:
    """Seeds that a row is made with."""
    return list(said["seeds"][: said["rows"][row].get("seeds")])


def overrides(
    said: dict[str, Any], data: str, row: str, seed: int, roots: dict[str, str], root: Path
) -> dict[str, str]:
    """The options of one run."""
    own = {k: v for k, v in said["rows"][row].items() if k not in OWN}
    options = {**said["data"][data], **said["budget"], **own, **said["quick"]}
    name = data.removesuffix("-clean").removesuffix("-rolling")
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
    said: dict[str, Any],
    data: list[str],
    rows: list[str],
    seeds: list[int],
    roots: dict[str, str],
    root: Path,
    threads: int = -1,
) -> None:
    """Make the runs that are missing, one after the other; each goes on where it was stopped."""
    from lkgrag.pipeline import train

    have = {name: stored_runs(said, name) for name in data}
    todo = [
        (d, r, s)
        for s in seeds
        for d in data
        for r in rows
        if s in seeds_of(said, r) and f"{r}/{s}" not in have[d]
    ]
    took: list[float] = []
    for number, (name, row, seed) in enumerate(todo, start=1):
        options = overrides(said, name, row, seed, roots, root)
        config = load_config({**options, "threads": str(threads)})
        if finished(run_folder(config)) is not None:
            continue
        left = sum(
            finished(run_folder(load_config(overrides(said, *t, roots, root)))) is None
            for t in todo[number - 1 :]
        )
        hours = f", about {left * sum(took) / len(took) / 3600:.1f} h left" if took else ""
        say(f"{number} of {len(todo)}: {name}, {row}, seed {seed}{hours}")
        start = time.perf_counter()
        train(config)
        took.append(time.perf_counter() - start)


def gather(
    said: dict[str, Any], data: str, rows: list[str], seeds: list[int], root: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test ranks of every row and seed, one line an event; and what the runs say of themselves.

    Raises:
        LkgragError: runs of one data set were made of different files, by different versions, or with
            other options than their rows have now.
    """
    frames: list[pd.DataFrame] = []
    about: dict[str, dict[str, Any]] = {}
    for row in rows:
        for seed in seeds:
            folder = root / data / row / str(seed)
            metrics = finished(folder)
            if metrics is None:
                continue
            options = overrides(said, data, row, seed, {}, root)
            _refuse_other_options(folder, options)
            run = {
                **{key: metrics.get(key) for key in ABOUT},
                "tied": bool(metrics["data"]["counts"].get("tied_last_two")),
                "threads": metrics["threads"],
                "hardware": hardware(),
                "data": metrics["data"]["files"],
                "version": metrics["versions"]["lkgrag"],
                "options": _fingerprint(options),
            }
            _refuse_others(folder, run, about)
            about[f"{row}/{seed}"] = run
            table = read_parquet(folder / "ranks.parquet")
            table = table[table["split"] == "test"]
            kept = [c for c in table if c in COLUMNS or str(c).startswith("rank_")]
            frames.append(table[kept].assign(row=row, seed=seed))
    path = _path(data)
    for key, run in stored_runs(said, data).items():
        if key in about:
            continue
        _refuse_others(path, run, about)
        about[key] = run
        table = read_parquet(path.with_suffix(".parquet"))
        frames.append(table[table["row"] + "/" + table["seed"].astype(str) == key])
    if not frames:
        return pd.DataFrame(), {}
    order = [f"{row}/{seed}" for row in made(said) for seed in said["seeds"]]
    return pd.concat(frames, ignore_index=True), {k: about[k] for k in order if k in about}


def stored_runs(said: dict[str, Any], data: str) -> dict[str, dict[str, Any]]:
    """By ``row/seed``, the runs of the stored results that have the options of their rows today.

    A row that was changed since is left out, and said so.
    """
    if said["quick"] or not _path(data).exists():
        return {}
    out = {}
    for key, run in read_json(_path(data))["runs"].items():
        row, seed = key.rsplit("/", 1)
        now = row in made(said) and int(seed) in seeds_of(said, row)
        if now and run.get("options") == _fingerprint(
            overrides(said, data, row, int(seed), {}, Path())
        ):
            out[key] = run
        else:
            say(f"{_path(data)}: {key} was made with other options than the row has now; left out")
    return out


def _path(data: str) -> Path:
    return RESULTS / f"quality-{data}.json"


def _fingerprint(options: dict[str, str]) -> str:
    """A hash of all that a run is made with, but for where it is kept."""
    flat = _flat(to_dict(load_config(options)))
    return digest({k: v for k, v in flat.items() if not {k, k.split(".")[0]} & set(PLACES)})


def _refuse_others(where: Path, run: dict[str, Any], about: dict[str, dict[str, Any]]) -> None:
    """Stop where a run is of another version or of other data than those beside it.

    Raises:
        LkgragError: naming its folder or the results file.
    """
    for first in list(about.values())[:1]:
        for what in ("data", "version"):
            if run[what] != first[what]:
                raise LkgragError(
                    f"{where}: made with another {what} ({run[what]}) than the runs beside it "
                    f"({first[what]}); delete it and run again"
                )


def _refuse_other_options(folder: Path, options: dict[str, str]) -> None:
    """Stop where a run was made with other options than the row has now.

    Raises:
        LkgragError: naming the folder and the first option that differs.
    """
    now = _flat(to_dict(load_config(options)))
    then = _flat(OmegaConf.to_container(OmegaConf.load(folder / "config.yaml")))
    for key in sorted(now.keys() & then.keys()):
        if key.split(".")[0] in PLACES or key in PLACES:
            continue
        if now[key] != then[key]:
            raise LkgragError(
                f"{folder}: made with {key}={then[key]}, the row has {key}={now[key]} now; "
                "delete it and run again"
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
    said: dict[str, Any], data: str, table: pd.DataFrame, about: dict[str, Any], command: str
) -> Path:
    """Write ``quality-DATA.json`` and the per-user ranks beside it."""
    path = _path(data)
    write_parquet(path.with_suffix(".parquet"), table)
    write_json(
        path,
        {
            "command": command,
            "date": today(),
            "hardware": hardware(),
            "versions": environment(),
            "settings": said,
            "main": (main_line(lines_of(table, said)) or (None,))[0],
            "rows": summary(table, said),
            "targets": targets(data, table, about, said),
            "uses_paths": uses_paths(table, said),
            "runs": about,
        },
    )
    return path


def recomputed(data: str) -> bool:
    """Whether the stored figures and targets follow from the stored ranks."""
    path = _path(data)
    stored = read_json(path)
    table = read_parquet(path.with_suffix(".parquet"))
    said = stored["settings"]
    return bool(
        _close(stored["rows"], summary(table, said))
        and _close(stored["targets"], targets(data, table, stored["runs"], said))
        and _close(stored.get("uses_paths"), uses_paths(table, said))
    )


def _close(a: Any, b: Any) -> bool:
    """Whether two results agree but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_close(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float | int):
        return abs(a - b) <= 1e-9 * max(1.0, abs(a))
    # What JSON has no word for was stored as null.
    return bool(a == b or (a is None and b != b))
