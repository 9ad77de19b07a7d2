"""List the relations of a run that could know the future or the answer: ``python -m lkgrag.audit run=...``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.cli.arguments import check_options
from lkgrag.cli.command import Command, run

if TYPE_CHECKING:
    from lkgrag.kg.checks.audit import Finding
    from lkgrag.kg.checks.reach import Reach

COMMAND = Command(
    name="lkgrag.audit",
    summary=(
        "List every relation of a run's graph with what it could know of the future or of the answers: "
        "behaviour is counted again, everything else is judged by how often it leads to the true item "
        "and to items as popular."
    ),
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "out": ("FILE", "write the findings as JSON there too"),
    },
    examples=["python -m lkgrag.audit run=outputs/amazon-beauty-smollm2-135m-1a2b3c4d"],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the run, look at its graph."""
    check_options(pairs, COMMAND)
    from lkgrag.serving.saved_run import load_run
    from lkgrag.utils.layout import RANKER

    folder, config = load_run(pairs["run"])
    from lkgrag.kg import load_kg
    from lkgrag.kg.checks.audit import audit
    from lkgrag.run.stages import load_dataset
    from lkgrag.utils.files import write_json

    loaded = load_dataset(config)
    data = load_kg(folder / RANKER / "kg")
    found = audit(data, loaded.interactions, loaded.split, config.kg, config.seed)
    show(found)
    if "out" in pairs:
        write_json(Path(pairs["out"]), [asdict(f) for f in found])


def show(found: list[Finding]) -> None:
    """The findings as a table, worst first, and below it the words for what is not clean."""
    from rich.markup import escape
    from rich.table import Table

    from lkgrag.kg.checks.audit import LEAK, SUSPECTED
    from lkgrag.kg.checks.reach import CONTROLS
    from lkgrag.utils.console import console

    table = Table(box=None, pad_edge=False)
    table.add_column("relation", overflow="fold", min_width=20)
    for name in ("edges", "later", "reaches test", "reaches train"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    styles = {LEAK: "bold red", SUSPECTED: "yellow"}
    for f in found:
        cells = [pair(reach) for reach in (f.test, f.train)]
        style = styles.get(f.verdict, "")
        table.add_row(f.relation, f"{f.edges:,}", share(f.later), *cells, f.verdict, style=style)
    console.print(table)
    console.print(
        "\nlater: share of its edges that stood only at or after a test prediction\n"
        "reaches: true items that it leads to from the history, in per cent; in brackets,\n"
        f"of {CONTROLS} other items a prediction, drawn by popularity",
        soft_wrap=True,
    )
    for f in found:
        if f.verdict in styles:
            console.print(f"[{styles[f.verdict]}]{f.relation}[/]: {f.why}", soft_wrap=True)
    if any(f.verdict in styles for f in found):
        names = ",".join(f.relation for f in found if f.verdict in styles)
        console.print(escape(f"without them: kg.exclude=[{names}]"), soft_wrap=True)


def pair(reach: Reach | None) -> str:
    """True items reached, and others as popular, in per cent."""
    return f"{100 * reach.true:.1f} ({100 * reach.control:.1f})" if reach else ""


def share(value: float) -> str:
    """A share in per cent; a dash where it is not known."""
    return "-" if value != value else f"{value:.1%}"


def main() -> int:
    """Entry point; returns the exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
