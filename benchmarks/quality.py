"""Quality: every row of ``quality.yaml`` on every data set and seed, and what lkgrag gains over each.

Runs are kept below a folder and resumed; stages are shared by all rows. Per-user ranks go into the results, so
that every figure can be computed again (:mod:`benchmarks.quality_table`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from benchmarks.common import RESULTS, say
from benchmarks.quality_table import lines_of, main_line, summary, targets
from lkgrag.errors import LkgragError
from lkgrag.io import read_json, read_parquet, write_json, write_parquet
from lkgrag.options import load_config, to_dict
from lkgrag.rundir import environment, finished, run_folder, today

FILE = Path(__file__).with_name("quality.yaml")
#: Options that say where a run is and how it is shown, not what it is.
PLACES = ("out", "cache", "threads", "overwrite", "data.root", "preset", "evaluation.explain")
#: Words of a row that are no options of a run.
OWN = ("of", "system", "seeds", "alone")
#: What is kept of each run's own account.
ABOUT = ("seconds", "tokens_per_prompt", "prompts_ranked", "faithfulness", "cross_entropy", "date")
#: Columns of ranks that are kept: what the table is made of.
COLUMNS = ("user", "position", "candidates", "retrieved")


def settings() -> dict[str, Any]:
    """What ``quality.yaml`` says."""
    found: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    return dict(found)


def made(said: dict[str, Any]) -> list[str]:
    """Rows with runs of their own."""
    return [name for name, options in said["rows"].items() if "of" not in options]


def seeds_of(said: dict[str, Any], row: str) -> list[int]:
    """Seeds that a row is made with."""
    return list(said["seeds"][: said["rows"][row].get("seeds")])


def overrides(data: str, row: str, seed: int, roots: dict[str, str], root: Path) -> dict[str, str]:
    """The options of one run."""
    said = settings()
    own = {k: v for k, v in said["rows"][row].items() if k not in OWN}
    options = {**said["data"][data], **said["budget"], **own}
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
    data: list[str],
    rows: list[str],
    seeds: list[int],
    roots: dict[str, str],
    root: Path,
    threads: int = -1,
) -> None:
    """Make the runs that are missing, one after the other; each goes on where it was stopped."""
    from lkgrag.pipeline import train

    said = settings()
    todo = [(d, r, s) for s in seeds for d in data for r in rows if s in seeds_of(said, r)]
    took: list[float] = []
    for number, (name, row, seed) in enumerate(todo, start=1):
        options = overrides(name, row, seed, roots, root)
        config = load_config({**options, "threads": str(threads)})
        if finished(run_folder(config)) is not None:
            continue
        left = sum(
            finished(run_folder(load_config(overrides(*t, roots, root)))) is None
            for t in todo[number - 1 :]
        )
        hours = f", about {left * sum(took) / len(took) / 3600:.1f} h left" if took else ""
        say(f"{number} of {len(todo)}: {name}, {row}, seed {seed}{hours}")
        start = time.perf_counter()
        train(config)
        took.append(time.perf_counter() - start)


def gather(
    data: str, rows: list[str], seeds: list[int], root: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Test ranks of every row and seed, one line an event; and what the runs say of themselves.

    Raises:
        LkgragError: runs of one data set were made of different files, by different versions, or with
            other options than their rows have now.
    """
    frames, about = [], {}
    files: dict[str, str] = {}
    for row in rows:
        for seed in seeds:
            folder = root / data / row / str(seed)
            metrics = finished(folder)
            if metrics is None:
                continue
            _refuse_other_options(folder, overrides(data, row, seed, {}, root))
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
            table = table[table["split"] == "test"]
            kept = [c for c in table if c in COLUMNS or str(c).startswith("rank_")]
            frames.append(table[kept].assign(row=row, seed=seed))
            about[f"{row}/{seed}"] = {
                **{key: metrics.get(key) for key in ABOUT},
                "tied": bool(metrics["data"]["counts"].get("tied_last_two")),
            }
    if not frames:
        return pd.DataFrame(), {}
    return pd.concat(frames, ignore_index=True), about


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


def save(data: str, table: pd.DataFrame, about: dict[str, Any], command: str) -> Path:
    """Write ``quality-DATA.json`` and the per-user ranks beside it."""
    from benchmarks.record import hardware

    path = RESULTS / f"quality-{data}.json"
    said = settings()
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
            "runs": about,
        },
    )
    return path


def recomputed(data: str) -> bool:
    """Whether the stored figures and targets follow from the stored ranks."""
    path = RESULTS / f"quality-{data}.json"
    stored = read_json(path)
    table = read_parquet(path.with_suffix(".parquet"))
    said = stored["settings"]
    return bool(
        _close(stored["rows"], summary(table, said))
        and _close(stored["targets"], targets(data, table, stored["runs"], said))
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
