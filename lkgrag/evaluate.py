"""Evaluate a saved run again, for all or some users: ``python -m lkgrag.evaluate run=...``."""

from __future__ import annotations

import sys
from pathlib import Path

from lkgrag.cli.arguments import check_options, parse_users
from lkgrag.cli.callable import make_callable
from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError

#: Of other programs; as of lkgrag.evaluation.run_files, which is slow to import.
FORMATS = ("trec", "ranx", "recbole")

COMMAND = Command(
    name="lkgrag.evaluate",
    summary="Rank the validation and test events of a saved run again and print the table of systems.",
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "users": (
            "all | ID,ID,... | FILE",
            "users of the data, by id; a file of them (.txt, one a line; .csv, .parquet: a column); or `all`",
        ),
        "out": ("FILE", "also write the metrics there, as JSON; with format the folder"),
        "format": (
            "none",
            "write the true items and each system's ranked lists into the folder out, for other programs, which find the "
            "same figures in them: trec (trec_eval, pytrec_eval), ranx (its JSON) or recbole (atomic files) "
            "[trec | ranx | recbole]",
        ),
    },
    examples=[
        "python -m lkgrag.evaluate run=outputs/ml-100k-smollm2-135m-1a2b3c4d",
        "python -m lkgrag.evaluate run=... format=trec out=trec/",
    ],
    configurable=False,
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the run, evaluate."""
    check_options(pairs, COMMAND)
    users = parse_users({"users": "all", **pairs})
    form = pairs.get("format")
    if form is not None and form not in FORMATS:
        raise ConfigError(f"option 'format': {form!r} is none of {', '.join(FORMATS)}")
    if form is not None and "out" not in pairs:
        raise ConfigError(f"format={form} writes a folder: name it by out={form}/")
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_run

    folder, config = load_run(pairs["run"])
    if isinstance(users, Path):
        # Only here: a list of ids does not wait for pandas.
        from lkgrag.data.id_files import read_ids

        users = read_ids(users, "user", "users")
    # Only here: a wrong run is answered without torch.
    from lkgrag.run.reevaluate import evaluate_run

    evaluate_run(
        folder,
        config,
        users=users,
        out=pairs.get("out"),
        form=form,
    )


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


make_callable(__name__, "lkgrag.run.reevaluate:evaluate")

if __name__ == "__main__":
    sys.exit(main())
