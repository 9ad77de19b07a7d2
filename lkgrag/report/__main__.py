"""Make the report of a saved run again: ``python -m lkgrag.report run=...``."""

from __future__ import annotations

import sys

from lkgrag.cli.arguments import check_options
from lkgrag.cli.command import Command, run
from lkgrag.errors import RunError

COMMAND = Command(
    name="lkgrag.report",
    summary="Make report.html and the pictures of a finished run again, from its folder alone.",
    options={"run": ("FOLDER", "a finished run of lkgrag.train")},
    examples=["python -m lkgrag.report run=outputs/ml-100k-smollm2-135m-1a2b3c4d"],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, and draw the report."""
    check_options(pairs, COMMAND)
    # Only here: --help does not wait for matplotlib.
    from lkgrag.report.page import write_report
    from lkgrag.serving.saved_run import load_run, read_metrics
    from lkgrag.utils.console import console
    from lkgrag.utils.layout import CONFIG
    from lkgrag.utils.progress import rename_activity

    folder, _ = load_run(pairs["run"])
    metrics = read_metrics(folder)
    if metrics is None:
        raise RunError(
            f"run={folder}: the run is not finished; go on with "
            f"python -m lkgrag.train config={folder / CONFIG} out={folder}"
        )
    rename_activity("draw the report")
    page = write_report(folder, metrics)
    console.print(str(page), soft_wrap=True, markup=False)


def main() -> int:
    """Entry point; returns the exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
