"""The command: make every row of ``quality.yaml`` on every data set and seed, and save what lkgrag gains over each.

Runs are kept below a folder and resumed; all rows share their stages. Runs that the stored results hold already,
made on another day or machine, are not made again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import data_roots, say
from benchmarks.quality import results, rows
from benchmarks.quality.table import other_candidates
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.run.folder import run_folder
from lkgrag.serving.saved_run import read_metrics

COMMAND = "python -m benchmarks.run quality"


def parts() -> tuple[str, ...]:
    """What ``--only`` takes: the rows."""
    return tuple(rows.read_settings()["rows"])


def quality(options: argparse.Namespace) -> int:
    """Make the rows and save the results, or check the stored ones; returns the exit status.

    Args:
        options: of the command line: ``data``, ``seeds``, ``only``, ``root``, ``threads``, ``quick`` and
            ``check``.
    """
    settings = rows.read_settings(options.quick)
    names = options.data or list(settings["data"])
    for name in names:
        if name not in settings["data"]:
            print(f"--data {name}: there are {', '.join(settings['data'])}", file=sys.stderr)
            return 2
    if options.check:
        return _check(names)
    # Some rows are read off the runs of others.
    wanted = options.only or settings["rows"]
    chosen = list(dict.fromkeys(settings["rows"][row].get("of", row) for row in wanted))
    seeds = settings["seeds"][: options.seeds]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) if options.quick else options.root
        make_runs(settings, names, chosen, seeds, data_roots(), root, options.threads)
        for name in names:
            _save(settings, name, root)
    return 0


def _check(names: list[str]) -> int:
    """Compute the stored figures again; the exit status is 1 where some do not follow from the ranks."""
    stored = [name for name in names if results.path_of(name).exists()]
    follows = {name: results.recomputed(name) for name in stored}
    for name, right in follows.items():
        print(f"{name}: figures {'' if right else 'do not '}follow from the stored ranks")
    return 0 if all(follows.values()) else 1


def _save(settings: dict[str, Any], data: str, root: Path) -> None:
    """Write the results of a data set; of the quick form, only tell how many rows ran."""
    table, runs = results.gather(
        settings, data, rows.rows_with_runs(settings), settings["seeds"], root
    )
    if settings["quick"]:
        say(f"{data}: {len(runs)} rows ran; nothing is kept")
    elif len(table):
        for key in other_candidates(table, settings):
            say(
                f"{data}: {key} has other candidates than the other rows of its seed; was it made on another "
                "machine? Copy ROOT/cache there first, or make the rows of a seed on one machine"
            )
        say(f"wrote {results.save(settings, data, table, runs, COMMAND)}")


def make_runs(
    settings: dict[str, Any],
    data: list[str],
    chosen: list[str],
    seeds: list[int],
    roots: dict[str, str],
    root: Path,
    threads: int = -1,
) -> None:
    """Make the runs that are missing, one after the other; each goes on where it was stopped.

    Args:
        settings: what ``quality.yaml`` says.
        data: data sets.
        chosen: rows with runs of their own.
        seeds: of the runs.
        roots: folders of the data sets that are at hand, by name.
        root: of the runs.
        threads: of the CPU, for each run; -1 takes the default.

    Raises:
        LkgragError: runs that are there were made of other files, by another version, or with other options.
    """
    from lkgrag.run.pipeline import train

    have = {}
    for name in data:
        # Runs that do not fit are refused before hours are spent on others.
        _, have[name] = results.gather(
            settings, name, rows.rows_with_runs(settings), settings["seeds"], root
        )
        _refuse_other_files(settings, name, have[name], roots, root)
    missing = [
        (d, row, seed)
        for seed in seeds
        for d in data
        for row in chosen
        if row in rows.rows_of(settings, d)
        and seed in rows.seeds_of(settings, row)
        and f"{row}/{seed}" not in have[d]
    ]
    seconds: list[float] = []
    for number, (name, row, seed) in enumerate(missing, start=1):
        overrides = rows.overrides(settings, name, row, seed, roots, root)
        config = load_config({**overrides, "threads": str(threads)})
        if read_metrics(run_folder(config)) is not None:
            continue
        left = sum(
            read_metrics(run_folder(load_config(rows.overrides(settings, *run, roots, root))))
            is None
            for run in missing[number - 1 :]
        )
        hours = left * sum(seconds) / len(seconds) / 3600 if seconds else None
        rest = "" if hours is None else f", about {hours:.1f} h left"
        say(f"{number} of {len(missing)}: {name}, {row}, seed {seed}{rest}")
        start = time.perf_counter()
        train(config)
        seconds.append(time.perf_counter() - start)


def _refuse_other_files(
    settings: dict[str, Any],
    data: str,
    runs: dict[str, dict[str, Any]],
    roots: dict[str, str],
    root: Path,
) -> None:
    """Stop where there are runs of other files than those at hand.

    Raises:
        LkgragError: naming the first run.
    """
    from lkgrag.data.readers import files_digest

    for key, run in list(runs.items())[:1]:
        row = rows.rows_with_runs(settings)[0]
        config = load_config(rows.overrides(settings, data, row, 0, roots, root))
        digest = files_digest(config.data)
        if digest is not None and digest != run["data"]:
            raise LkgragError(
                f"{data}: {key} was made of other files ({run['data']}) than those of the data set at hand "
                f"({digest}); delete its folder below {root} and {results.path_of(data)}, or choose another "
                "--root"
            )
