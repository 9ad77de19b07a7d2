"""What ``quality.yaml`` says: data sets, seeds, rows, and the options of each run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

FILE = Path(__file__).with_name("quality.yaml")
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
OWN = ("of", "system", "seeds", "alone", "sets")
#: Words of a data set that are no options of a run.
OWN_OF_DATA = ("rows",)


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


def rows_of(said: dict[str, Any], data: str) -> list[str]:
    """Rows with runs of their own that a data set is for, and that are for it."""
    chosen = said["data"][data].get("rows") or made(said)
    return [r for r in made(said) if r in chosen and data in said["rows"][r].get("sets", [data])]


def seeds_of(said: dict[str, Any], row: str) -> list[int]:
    """Seeds that a row is made with: all, the first so many, or those that it names."""
    wanted = said["rows"][row].get("seeds")
    if isinstance(wanted, list):
        return [seed for seed in said["seeds"] if seed in wanted]
    return list(said["seeds"][:wanted])


def files_of(data: str) -> str:
    """The data set whose files one is made of."""
    return data.removesuffix("-clean").removesuffix("-rolling").removesuffix("-time")


def overrides(
    said: dict[str, Any], data: str, row: str, seed: int, roots: dict[str, str], root: Path
) -> dict[str, str]:
    """The options of one run: the row's own before the data set's, these before the common budget."""
    own = {k: v for k, v in said["rows"][row].items() if k not in OWN}
    of_data = {k: v for k, v in said["data"][data].items() if k not in OWN_OF_DATA}
    options = {**said["budget"], **of_data, **own, **said["quick"]}
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
