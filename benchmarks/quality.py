"""Quality: every row of ``quality.yaml`` on every data set and seed, and what lkgrag gains over each.

Runs are kept below a folder and resumed; stages are shared by all rows. Runs that the stored results hold
already, made on another day or machine, are not made again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.common import say
from benchmarks.quality_results import gather, path_of
from benchmarks.quality_rows import made, overrides, rows_of, seeds_of
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.run.folder import run_folder
from lkgrag.serving.saved_run import read_metrics


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
    from lkgrag.run.pipeline import train

    have = {}
    for name in data:
        # What is wrong with the runs that are there is said before hours are spent on others.
        _, have[name] = gather(said, name, made(said), said["seeds"], root)
        _refuse_other_files(said, name, have[name], roots, root)
    todo = [
        (d, r, s)
        for s in seeds
        for d in data
        for r in rows
        if r in rows_of(said, d) and s in seeds_of(said, r) and f"{r}/{s}" not in have[d]
    ]
    took: list[float] = []
    for number, (name, row, seed) in enumerate(todo, start=1):
        options = overrides(said, name, row, seed, roots, root)
        config = load_config({**options, "threads": str(threads)})
        if read_metrics(run_folder(config)) is not None:
            continue
        left = sum(
            read_metrics(run_folder(load_config(overrides(said, *t, roots, root)))) is None
            for t in todo[number - 1 :]
        )
        hours = f", about {left * sum(took) / len(took) / 3600:.1f} h left" if took else ""
        say(f"{number} of {len(todo)}: {name}, {row}, seed {seed}{hours}")
        start = time.perf_counter()
        train(config)
        took.append(time.perf_counter() - start)


def _refuse_other_files(
    said: dict[str, Any],
    data: str,
    about: dict[str, dict[str, Any]],
    roots: dict[str, str],
    root: Path,
) -> None:
    """Stop where there are runs of other files than those at hand.

    Raises:
        LkgragError: naming the first run.
    """
    from lkgrag.data.readers import files_digest

    for key, run in list(about.items())[:1]:
        row = made(said)[0]
        now = files_digest(load_config(overrides(said, data, row, 0, roots, root)).data)
        if now is not None and now != run["data"]:
            raise LkgragError(
                f"{data}: {key} was made of other files ({run['data']}) than those of the data set at "
                f"hand ({now}); delete its folder below {root} and {path_of(data)}, or choose another --root"
            )
