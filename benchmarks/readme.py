"""Put into README how long its first command takes, and draw its picture: ``python -m benchmarks.readme``.

The times are those of the recorded default runs, one a kind of processor; the picture is a ranking of one of them.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

from benchmarks.common import RESULTS, ROOT, put, stored
from lkgrag.report.drawing import MOST_CANDIDATES, draw
from lkgrag.report.style import PAPER, style
from lkgrag.serving.recommendation import Recommendation
from lkgrag.utils.files import atomic, read_json, write_json
from lkgrag.utils.layout import EXPLANATIONS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "_static" / "ranking.svg"
MAIN_RECORD = "default-ml-100k"
#: Records of README's first command, by what their processors can.
RECORDS = {
    MAIN_RECORD: "with AVX-512-BF16",
    "processor-ml-100k": "with AVX-512-BF16",
    "default-ml-100k-avx2": "with AVX2 only",
}
#: One explained ranking of the main record's run.
EXAMPLE = "example-ml-100k"


def times() -> str:
    """How long the first command takes on each kind of processor that has a record."""
    lines = []
    for name, kind in RECORDS.items():
        found = stored(name)
        if found is None:
            continue
        seconds = found["seconds"]
        note = f" {found['note']}" if found["note"] else ""
        model = seconds["ranker"] + seconds["evaluation"]
        lines.append(
            f"- Two cores {kind} ({found['hardware']['processor']}): {_minutes(seconds['total'])}, of them "
            f"{_minutes(model)} for the language model.{note}"
        )
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    """Whole minutes; halves below ten."""
    value = round(seconds / 60) if seconds >= 600 else round(seconds / 30) / 2
    return f"{value:g} minute{'s' * (value != 1)}"


def keep_example(run: Path) -> None:
    """Keep the explained ranking of a run whose first items have the most different paths.

    The history is not kept: only the paths are drawn.
    """
    rankings = [Recommendation.from_dict(value) for value in read_json(run / EXPLANATIONS)]
    best = max(rankings, key=_variety)
    kept = dataclasses.replace(best, items=best.items[:MOST_CANDIDATES], history=[], target=None)
    write_json(RESULTS / f"{EXAMPLE}.json", kept.to_dict())


def _variety(ranking: Recommendation) -> int:
    """How many nodes before the candidates the paths of the first items pass."""
    items = ranking.items[:MOST_CANDIDATES]
    return len({tuple(n) for item in items for path in item.paths for n in path.nodes[:-1]})


def picture() -> Figure:
    """The picture of the kept ranking.

    Raises:
        SystemExit: no ranking is kept, or it has no path.
    """
    kept = stored(EXAMPLE)
    drawn = draw(Recommendation.from_dict(kept), "ranking") if kept else None
    if drawn is None:
        raise SystemExit(f"no ranking with paths in {RESULTS / EXAMPLE}.json: record a run")
    return drawn


def save(figure: Figure, path: Path) -> None:
    """Write a picture on paper of its own, so that light and dark pages show it alike."""
    # Letters are drawn: where a page shows the picture, its font may not be installed. Neither a date nor a version:
    # the same ranking gives the same file.
    with style(path.stem), mpl.rc_context({"svg.fonttype": "path"}), atomic(path) as tmp:
        figure.savefig(tmp, format="svg", metadata={"Date": None, "Creator": None}, facecolor=PAPER)


def main() -> int:
    """Entry point."""
    put(README, "times", times())
    save(picture(), PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
