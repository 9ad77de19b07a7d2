"""What tuning is worth: the best of many trials on validation, against the defaults on test, without a language model.

A study lies in ``ROOT/tune-DATA`` and goes on where it stopped, so a call that was ended costs nothing but its last
trial. Trials never see a test event. Only ``--test`` looks at the test: it trains the best and the defaults with three
seeds each, and compares them by the mean gain of each event over the seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.by_data import keep_sets, stored_sets
from benchmarks.common import ROOT, data_roots, interval, say
from benchmarks.language.setting import SUSPECT
from lkgrag.config.loading import load_config
from lkgrag.evaluation.metrics import HEADLINE, gains
from lkgrag.evaluation.significance import paired_bootstrap
from lkgrag.run.pipeline import train
from lkgrag.tuning.options import read_options
from lkgrag.tuning.results import BEST, SUMMARY
from lkgrag.tuning.study import tune
from lkgrag.utils.files import read_json
from lkgrag.utils.layout import METRICS, RANKS

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

NAME, PAGE = "tune", ROOT / "docs" / "tune.md"
DATA = ("ml-100k", "amazon-beauty")
#: The space of each data set: on Amazon Beauty stage one takes up to half an hour, so all trials share one.
SPACES = {"ml-100k": "default", "amazon-beauty": "scorer"}
TRIALS, SEEDS = 50, (0, 1, 2)
#: What of a study's summary is stored.
KEPT = ("space", "trials", "seconds", "best", "defaults", "gain", "importance", "date", "hardware")
#: Of the runs that are compared on test; nothing of it changes what is learned.
PLAIN = {"training.tracker": "none", "evaluation.faithfulness": "0", "evaluation.explain": "0"}


@dataclass(frozen=True)
class Place:
    """Where a data set's study and runs lie.

    Attributes:
        data: name of the data set.
        root: folder of everything.
    """

    data: str
    root: Path

    @property
    def study(self) -> Path:
        """Folder of the study."""
        return self.root / f"tune-{self.data}"

    def options(self) -> dict[str, str]:
        """The options before tuning: the defaults without a language model, and no relation that may come from later."""
        options = {
            "llm.name": "none",
            "threads": "1",
            "cache.root": str(self.root / "tune-cache"),
            "out": str(self.study),
        }
        if self.data == "amazon-beauty":
            options |= {"preset": self.data, "kg.exclude": f"[{','.join(SUSPECT)}]"}
        roots = data_roots()
        if self.data in roots:
            options["data.root"] = roots[self.data]
        return options


def study(place: Place, trials: int) -> dict[str, Any]:
    """Go on with a data set's study; its summary.

    Args:
        place: of the data set.
        trials: in all.
    """
    pairs = place.options()
    own = {"study": place.data, "trials": str(trials), "space": SPACES.get(place.data, "default")}
    tune(pairs, read_options(own, load_config(pairs)))
    summary = read_json(place.study / SUMMARY)
    return {key: summary[key] for key in KEPT}


def runs(place: Place, seed: int) -> tuple[Path, Path]:
    """The runs of the best and of the defaults with a seed, trained if they are missing.

    Args:
        place: of the data set; its study has a best trial.
        seed: of both runs.
    """
    folders = []
    for name in ("best", "defaults"):
        options = place.options() if name == "defaults" else {"config": str(place.study / BEST)}
        # Nobody reads the study's folder: the runs have their own.
        folder = place.root / f"tune-{place.data}-{name}-{seed}"
        more = {"seed": str(seed), "out": str(folder), "threads": "1", **PLAIN}
        more["cache.root"] = place.options()["cache.root"]
        folders.append(train(load_config({**options, **more})))
    return folders[0], folders[1]


def test_gains(folder: Path) -> pd.DataFrame:
    """A row a test event: user, position, and the ranker's gain."""
    table = pd.read_parquet(folder / RANKS)
    table = table[table["split"] == "test"]
    found = gains(table["rank_ranker"].to_numpy(np.int64), HEADLINE)
    return table[["user", "position"]].assign(gain=found).reset_index(drop=True)


def compare(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], seed: int = 0) -> dict[str, Any]:
    """The best minus the defaults, paired over users, of gains that are averaged over the seeds.

    Args:
        pairs: for each seed, :func:`test_gains` of the best and of the defaults.
        seed: of the bootstrap.
    """
    means: list[NDArray[np.float64]] = []
    user: NDArray[np.int64] = np.empty(0, np.int64)
    each = []
    for best, defaults in pairs:
        both = best.merge(defaults, on=["user", "position"], validate="one_to_one")
        both = both.sort_values(["user", "position"])
        user = np.unique(both["user"], return_inverse=True)[1]
        means.append((both["gain_x"] - both["gain_y"]).to_numpy(np.float64))
        each.append(
            {"best": float(both["gain_x"].mean()), "defaults": float(both["gain_y"].mean())}
        )
    difference = np.mean(means, axis=0)
    return {"seeds": each, "gain": paired_bootstrap(difference, user, seed=seed).to_dict()}


def measure(
    data: list[str], root: Path, trials: int, reads_test: bool, before: dict[str, Any]
) -> Any:
    """Yield the result after each data set; parts of ``before`` that are not made stay.

    Args:
        data: names of data sets.
        root: of studies, runs and cache.
        trials: of each study, in all.
        reads_test: whether the best and the defaults are trained and compared on test.
        before: a stored result.
    """
    sets = {name: dict(parts) for name, parts in before.items()}
    for name in data:
        place = Place(name, root)
        say(f"tune: {name}")
        old = sets.get(name, {})
        found = study(place, trials)
        same = old.get("validation", {}).get("best") == found["best"]
        sets[name] = {"validation": found} | (
            {"test": old["test"]} if same and "test" in old else {}
        )
        if reads_test:
            folders = [runs(place, seed) for seed in SEEDS]
            sets[name]["test"] = compare([(test_gains(a), test_gains(b)) for a, b in folders])
            seconds = [[read_json(x / METRICS)["seconds"]["total"] for x in y] for y in folders]
            sets[name]["test"]["run_seconds"] = seconds
        yield sets


def table(sets: dict[str, Any]) -> str:
    """The table of the docs: NDCG@10 of the ranker, defaults and best, on validation and on test."""
    lines = [
        "| data | space | trials, hours | validation: defaults, best | gain, of those who chose | of the others | test: gain, three seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, parts in sets.items():
        val = parts["validation"]
        count = sum(val["trials"].values())
        values = [val["defaults"] and val["defaults"]["value"], val["best"]["value"]]
        shown = ", ".join("–" if v is None else f"{v:.4f}" for v in values)
        cells = [
            name,
            val["space"]["name"],
            f"{count}, {val['seconds'] / 3600:.1f}",
            shown,
            *(
                "–" if g is None else interval(g)
                for g in map(val["gain"].get, ("selected", "confirmed"))
            ),
            interval(parts["test"]["gain"]) if "test" in parts else "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tuning(options: argparse.Namespace) -> int:
    """Go on with the studies, store and show; returns the exit status.

    Args:
        options: of the command line: ``data``, ``root``, ``trials``, ``test``, ``seed`` and ``quick``.
    """
    data, before = options.data or [*DATA], stored_sets(NAME)
    trials = 3 if options.quick else options.trials
    results = measure(data, options.root, trials, options.test, before)
    return keep_sets(NAME, PAGE, results, table, options, " --test" if options.test else "")
