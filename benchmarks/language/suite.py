"""The command ``python -m benchmarks.run language``: rows of ``language.yaml``, their differences and the targets.

Runs are kept below a folder and resumed. Validation is read; test only where asked, once everything is decided.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from benchmarks.common import data_roots, judge, save, say, stored
from benchmarks.quality.rows import files_of
from lkgrag.config.loading import load_config
from lkgrag.evaluation.significance import Difference, detectable, paired_bootstrap
from lkgrag.run.folder import run_folder
from lkgrag.serving.saved_run import read_metrics
from lkgrag.utils.files import read_parquet
from lkgrag.utils.gains import discounted_gain

FILE = Path(__file__).with_name("language.yaml")
#: Keys of a data set and of a row that are no options of a run.
OTHERS, SYSTEMS, SEEDS = "others", "systems", "seeds"
#: What is compared: of stage one, and of the whole without a language model.
COMPARED = ("retriever", "ranker")
#: The stored result, its parts that stay from call to call, and the command.
NAME, PARTS, COMMAND = "language", ("val", "test", "costs"), "python -m benchmarks.run language"
#: The part that times what text costs; it is measured alone.
COSTS = "costs"
#: Results of other suites that have targets of this one, too.
OTHER_RESULTS = ("cold", "requests")
#: Targets: the data set, the two rows whose rankers are compared, and the figure of the difference.
TARGETS = {
    "L1_beauty": ("amazon-beauty-clean", "without-users", "without", "per_cent"),
    "L2_beauty": ("amazon-beauty-clean", "words", "without", "per_cent"),
    "L2_p": ("amazon-beauty-clean", "words", "without", "p"),
    "L2_permuted": ("amazon-beauty-clean", "words", "permuted", "per_cent"),
    "L4_100k": ("ml-100k-rolling", "words", "without", "errors"),
    "L4_small": ("ml-latest-small-rolling", "words", "without", "errors"),
    "L6_beauty": ("amazon-beauty-clean", "words+minilm", "words", "per_cent"),
    "L6_p": ("amazon-beauty-clean", "words+minilm", "words", "p"),
}
#: The figure of every row, NDCG at this depth.
DEPTH = 10


def read_settings() -> dict[str, Any]:
    """What ``language.yaml`` says."""
    content: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    return dict(content)


def parts() -> tuple[str, ...]:
    """What ``--only`` takes: the rows, and what they cost."""
    return (*read_settings()["rows"], COSTS)


def overrides(
    settings: dict[str, Any], data: str, row: str, seed: int, root: Path
) -> dict[str, str]:
    """The options of one run, as a command line has them; a row's go before the data set's."""
    of_row, of_data = settings["rows"][row], settings["data"][data]
    options = {**settings["budget"], **of_data, **of_row}
    systems = [*of_data[OTHERS], *of_row[SYSTEMS]]
    options = {k: v for k, v in options.items() if k not in (OTHERS, SYSTEMS, SEEDS)}
    roots = data_roots()
    if files_of(data) in roots:
        options["data.root"] = roots[files_of(data)]
    options |= {
        "retrieval.systems": f"[{','.join(systems)}]",
        "seed": seed,
        "out": root / data / row / str(seed),
        "cache.root": root / "cache",
        "evaluation.explain": 1,
    }
    return {key: str(value) for key, value in options.items()}


def seeds_of(settings: dict[str, Any], row: str) -> list[int]:
    """The seeds that a row is made with: all, or the first so many."""
    return list(settings["seeds"][: settings["rows"][row].get(SEEDS)])


def make_runs(settings: dict[str, Any], options: argparse.Namespace) -> None:
    """Make the runs that are missing, seed by seed; each goes on where it was stopped."""
    # Only here: comparing stored ranks needs no training.
    from lkgrag.run.pipeline import train

    wanted = [
        (data, row, seed)
        for seed in settings["seeds"][: options.seeds]
        for data in options.data or settings["data"]
        for row in options.only or settings["rows"]
        if row != COSTS and seed in seeds_of(settings, row)
    ]
    for number, (data, row, seed) in enumerate(wanted, start=1):
        config = load_config(
            {
                **overrides(settings, data, row, seed, options.root),
                "threads": str(options.threads),
            }
        )
        if read_metrics(run_folder(config)) is None:
            say(f"{number} of {len(wanted)}: {data}, {row}, seed {seed}")
            start = time.perf_counter()
            train(config)
            say(f"  {time.perf_counter() - start:.0f} s")


def gains(folder: Path, split: str, system: str) -> pd.DataFrame:
    """NDCG of each event of a run, one row an event: ``user position gain``.

    Args:
        folder: of the run.
        split: ``val`` or ``test``.
        system: as ``retriever``.
    """
    table = read_parquet(folder / "ranks.parquet")
    table = table[table["split"] == split]
    gain = discounted_gain(table[f"rank_{system}"].to_numpy(), DEPTH)
    return pd.DataFrame({"user": table["user"], "position": table["position"], "gain": gain})


def compare(left: list[pd.DataFrame], right: list[pd.DataFrame]) -> dict[str, float]:
    """The difference of two rows over the same events, mean over seeds; users are resampled.

    Returns:
        The fields of :class:`~lkgrag.evaluation.significance.Difference`, ``base`` (the right row's mean) and
        ``per_cent`` of it, ``seeds``, and ``detectable``, the least per cent that would have shown (power .8).
    """
    events = ["user", "position"]
    means = [pd.concat(rows).groupby(events, sort=True)["gain"].mean() for rows in (left, right)]
    if not means[0].index.equals(means[1].index):
        raise ValueError("the rows are of different events")
    user = means[0].index.get_level_values("user").to_numpy()
    _, index = np.unique(user, return_inverse=True)
    difference: Difference = paired_bootstrap((means[0] - means[1]).to_numpy(), index)
    base = float(means[1].mean())
    return {
        **difference.to_dict(),
        "base": base,
        "per_cent": 100 * difference.mean / base,
        "detectable": 100 * detectable(difference.se) / base,
        "seeds": len(left),
    }


def gather(settings: dict[str, Any], root: Path, split: str) -> dict[str, Any]:
    """Figures of every row that ran, and the differences that ``language.yaml`` names, by data set."""
    out: dict[str, Any] = {}
    for data in settings["data"]:
        folders = {
            (row, seed): root / data / row / str(seed)
            for row in settings["rows"]
            for seed in seeds_of(settings, row)
            if read_metrics(root / data / row / str(seed)) is not None
        }
        if not folders:
            continue
        found = {
            (system, *key): gains(folder, split, system)
            for key, folder in folders.items()
            for system in COMPARED
        }
        figures = {
            row: {
                "seeds": [s for r, s in folders if r == row],
                **{
                    system: [
                        float(found[system, r, s]["gain"].mean()) for r, s in folders if r == row
                    ]
                    for system in COMPARED
                },
                "seconds": [_seconds(folders[r, s]) for r, s in folders if r == row],
            }
            for row in dict.fromkeys(r for r, _ in folders)
        }
        differences = []
        for left, right in settings["compare"]:
            seeds = [s for s in settings["seeds"] if {(left, s), (right, s)} <= folders.keys()]
            for system in COMPARED if seeds else ():
                sides = ([found[system, row, s] for s in seeds] for row in (left, right))
                differences.append(
                    {"system": system, "row": left, "over": right, **compare(*sides)}
                )
        out[data] = {"rows": figures, "differences": differences}
    return out


def _seconds(folder: Path) -> dict[str, float]:
    """Seconds of a run's stages."""
    return dict((read_metrics(folder) or {})["seconds"])


def language(options: argparse.Namespace) -> int:
    """Make the rows and print them; returns the exit status.

    Args:
        options: of the command line: ``data``, ``seeds``, ``only``, ``root``, ``threads``, ``quick`` and
            ``test``.
    """
    settings = read_settings()
    for name in options.data or ():
        if name not in settings["data"]:
            print(f"--data {name}: there are {', '.join(settings['data'])}", file=sys.stderr)
            return 2
    before = stored(NAME) or {}
    result = {part: before[part] for part in PARTS if part in before}
    if options.only == [COSTS]:
        # Only here: it times, and nothing else may run meanwhile.
        from benchmarks.language.costs import measure

        result[COSTS] = measure()
        print(result[COSTS])
    else:
        make_runs(settings, options)
        split = "test" if options.test else "val"
        found = gather(settings, options.root, split)
        _show(found, split)
        result[split] = {**result.get(split, {}), **found}
    result["targets"] = judge("L", targets_of(result))
    for row in result["targets"]:
        value = "not measured" if row["value"] is None else f"{row['value']:,.3g}"
        print(f"{row['name']:<14} {value:>14} of {row['target']:<8g} {'met' if row['met'] else ''}")
    if not options.quick:
        say(f"wrote {save(NAME, COMMAND, settings['seeds'][0], result)}")
    return 0


def targets_of(result: dict[str, Any]) -> dict[str, float | None]:
    """The measured values of the targets, by name; of validation, where test was not read.

    Args:
        result: ``val`` and ``test``, as of :func:`gather`, by data set.
    """
    values: dict[str, float | None] = {
        row["name"]: row["value"]
        for other in OTHER_RESULTS
        for row in (stored(other) or {}).get("targets", ())
    }
    values |= result.get(COSTS, {}).get("values", {})
    cold = stored("cold") or {}
    signs = [part["sign_test"] for name, part in cold.items() if name.startswith("relations-")]
    if told := sum(sign["better"] + sign["worse"] for sign in signs):
        values["L5"] = 100 * sum(sign["better"] for sign in signs) / told
    rows = {row["name"]: row for row in cold.get("new-items", {}).get("rows", ())}
    whole = "all, and fine-tuned"
    if whole in rows:
        values |= {"L3_new": 100 * rows[whole]["gain"], "L3_p": rows[whole]["p"]}
    for name, (data, left, right, figure) in TARGETS.items():
        for split in ("val", "test"):
            gap = next(
                (
                    g
                    for g in result.get(split, {}).get(data, {}).get("differences", ())
                    if (g["system"], g["row"], g["over"]) == ("ranker", left, right)
                ),
                None,
            )
            if gap is not None:
                errors = gap["mean"] / gap["se"] if gap["se"] else 0.0
                values[name] = errors if figure == "errors" else gap[figure]
    return values


def _show(found: dict[str, Any], split: str) -> None:
    """Print the figures of every row, and the differences."""
    for data, result in found.items():
        print(f"{data}, {split}")
        for row, figures in result["rows"].items():
            means = "  ".join(f"{s} {np.mean(figures[s]):.4f}" for s in COMPARED)
            print(f"  {row:<18} {means}  ({len(figures['seeds'])} seeds)")
        for gap in result["differences"]:
            print(
                f"  {gap['system']:<9} {gap['row']} over {gap['over']}: {gap['per_cent']:+.1f} %, p = {gap['p']:.3f}"
            )
