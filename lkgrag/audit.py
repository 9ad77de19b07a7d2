"""List the relations of a run that could hold future data or answers: ``python -m lkgrag.audit run=...``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.cli.arguments import check_options
from lkgrag.cli.command import Command, run
from lkgrag.utils.files import write_json
from lkgrag.utils.layout import KG, RANKER

if TYPE_CHECKING:
    from lkgrag.kg.checks.audit import Finding
    from lkgrag.kg.checks.reach import Reach

COMMAND = Command(
    name="lkgrag.audit",
    summary=(
        "List every relation of a run's graph, and whether it could hold future data or the answers. "
        "Behaviour is counted again. Other relations are judged by how often they lead to the true item, "
        "and to items that are as popular."
    ),
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "out": ("FILE", "also write the findings there, as JSON"),
    },
    examples=["python -m lkgrag.audit run=outputs/amazon-beauty-smollm2-135m-1a2b3c4d"],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the run, examine its graph."""
    check_options(pairs, COMMAND)
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_run

    folder, config = load_run(pairs["run"])
    # Only here: a wrong run is answered without torch.
    from lkgrag.kg import load_kg
    from lkgrag.kg.checks.audit import audit
    from lkgrag.run.stages import load_dataset
    from lkgrag.serving.loading import check_files
    from lkgrag.utils.progress import rename_activity

    rename_activity("read the data")
    dataset = load_dataset(config)
    check_files(folder / RANKER)
    data = load_kg(folder / RANKER / KG)
    rename_activity("examine the relations")
    findings = audit(data, dataset.interactions, dataset.split, config.kg, config.seed)
    print_findings(findings)
    if "out" in pairs:
        write_json(Path(pairs["out"]), [asdict(f) for f in findings])


def print_findings(findings: list[Finding]) -> None:
    """Print the findings as a table in their order, and below it the reasons for those that are not clean."""
    # Only here: --help waits neither for rich nor for torch.
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
    for f in findings:
        cells = [format_reach(reach) for reach in (f.test, f.train)]
        later, style = format_share(f.later), styles.get(f.verdict, "")
        table.add_row(f.relation, f"{f.edges:,}", later, *cells, f.verdict, style=style)
    console.print(table)
    console.print(
        "\nlater: share of the edges that exist only from a test prediction on\n"
        "reaches: true items that the relation leads to from the history, in per cent;\n"
        f"in brackets: of {CONTROLS} other items a prediction, drawn by popularity",
        soft_wrap=True,
    )
    unclean = [f for f in findings if f.verdict in styles]
    for f in unclean:
        console.print(f"[{styles[f.verdict]}]{f.relation}[/]: {f.why}", soft_wrap=True)
    if unclean:
        names = ",".join(f.relation for f in unclean)
        console.print(escape(f"to leave them out: kg.exclude=[{names}]"), soft_wrap=True)


def format_reach(reach: Reach | None) -> str:
    """Write the shares of true items, and of items as popular, that are reached, in per cent."""
    return f"{100 * reach.true:.1f} ({100 * reach.control:.1f})" if reach else ""


def format_share(value: float) -> str:
    """Write a share in per cent; NaN, an unknown one, is a dash."""
    return "-" if value != value else f"{value:.1%}"


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
