"""Data sets, seeds and rows of ``quality.yaml``, and the options of each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

FILE = Path(__file__).with_name("quality.yaml")
#: Options of the quick form, which shows that every row runs, not how well.
QUICK = {
    "retrieval.epochs": 1,
    "training.max_examples": 8,
    "training.probe": 0,
    "evaluation.max_events": 4,
    "evaluation.max_val_events": 4,
    "evaluation.faithfulness": 0,
}
#: Keys of a row that are no options of a run.
ROW_KEYS = ("of", "system", "seeds", "alone", "sets")
#: Keys of a data set that are no options of a run.
DATA_KEYS = ("rows",)


def read_settings(quick: bool = False) -> dict[str, Any]:
    """Read ``quality.yaml``; for the quick form, take one data set, one seed and tiny budgets.

    Returns:
        Its ``seeds``, ``budget``, ``data``, ``rows`` and ``looks``; and ``quick``, options that go before all
        others.
    """
    content: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    settings = {**content, "quick": QUICK if quick else {}}
    if quick:
        settings["seeds"] = settings["seeds"][:1]
        settings["data"] = dict([next(iter(settings["data"].items()))])
    return settings


def rows_with_runs(settings: dict[str, Any]) -> list[str]:
    """Rows with runs of their own."""
    return [name for name, options in settings["rows"].items() if "of" not in options]


def rows_of(settings: dict[str, Any], data: str) -> list[str]:
    """Rows with runs of their own that are made on a data set."""
    chosen = settings["data"][data].get("rows") or rows_with_runs(settings)
    return [
        r
        for r in rows_with_runs(settings)
        if r in chosen and data in settings["rows"][r].get("sets", [data])
    ]


def seeds_of(settings: dict[str, Any], row: str) -> list[int]:
    """Seeds that a row is made with: all, the first ``n``, or those that it names."""
    wanted = settings["rows"][row].get("seeds")
    if isinstance(wanted, list):
        return [seed for seed in settings["seeds"] if seed in wanted]
    return list(settings["seeds"][:wanted])


def files_of(data: str) -> str:
    """The data set whose files a data set is made of."""
    return data.removesuffix("-clean").removesuffix("-rolling").removesuffix("-time")


def overrides(
    settings: dict[str, Any], data: str, row: str, seed: int, roots: dict[str, str], root: Path
) -> dict[str, str]:
    """The options of one run: the row's go before the data set's, these before the common budget.

    Args:
        settings: what ``quality.yaml`` says.
        data: the data set.
        row: with runs of its own.
        seed: of the run.
        roots: folders of the data sets that are at hand, by name.
        root: of the runs.

    Returns:
        Options and their values, as a command line has them.
    """
    of_row = {k: v for k, v in settings["rows"][row].items() if k not in ROW_KEYS}
    of_data = {k: v for k, v in settings["data"][data].items() if k not in DATA_KEYS}
    options = {**settings["budget"], **of_data, **of_row, **settings["quick"]}
    name = files_of(data)
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
