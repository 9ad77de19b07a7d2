"""Rank items for users of a saved run, or for anyone's history: ``python -m lkgrag.recommend``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from lkgrag.arguments import switch, whole_number
from lkgrag.cli import Command, run
from lkgrag.errors import ConfigError, nearest

if TYPE_CHECKING:
    from rich.console import Console

COMMAND = Command(
    name="lkgrag.recommend",
    summary="Rank items for users of a saved run, or for a history of someone unknown, and explain it.",
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "users": ("ID,ID,...", "users of the data, by id; or `all`"),
        "history": ("[ID,ID,...]", "items of someone unknown, oldest first, by id or exact title"),
        "candidates": ("[ID,ID,...]", "rank these (default: what the retriever proposes)"),
        "k": ("10", "items to show"),
        "explain": ("true", "show the paths in words"),
        "format": (
            "text",
            "text (80 columns), json, or html (a page to look at) [text | json | html]",
        ),
        "out": ("FILE", "write there instead of the terminal"),
    },
    examples=[
        "python -m lkgrag.recommend run=outputs/ml-100k-smollm2-135m-1a2b3c4d users=1,2",
        'python -m lkgrag.recommend run=... "history=[Toy Story,Fargo,50]" k=5 format=json',
    ],
    configurable=False,
)


FORMS = ("text", "json", "html")


def parse_list(text: str) -> list[str]:
    """``[a,b]`` or ``a,b``; double quotes protect a comma.

    Raises:
        ConfigError: quotes that do not close.
    """
    import csv

    inner = text.strip()
    if inner.startswith("[") and inner.endswith("]"):
        inner = inner[1:-1]
    if not inner.strip():
        return []
    if inner.count('"') % 2:
        raise ConfigError(f"a quote does not close in {text[:60]!r}")
    return [item.strip() for item in next(csv.reader([inner], skipinitialspace=True))]


def check_options(pairs: dict[str, str], command: Command) -> None:
    """Refuse options that the command does not have, and ask for ``run``.

    Raises:
        ConfigError: naming the option.
    """
    for key in pairs:
        if key not in command.options:
            raise ConfigError(f"unknown option '{key}'.{nearest(key, command.options)} See --help")
    if "run" not in pairs:
        raise ConfigError("option 'run' is missing: run=<folder of a finished run>")


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the ranker, rank."""
    check_options(pairs, COMMAND)
    form = pairs.get("format", "text")
    if form not in FORMS:
        raise ConfigError(f"option 'format': {form!r} is none of {', '.join(FORMS)}")
    if ("users" in pairs) == ("history" in pairs):
        raise ConfigError("give either users=<ids> or history=[<items>]")
    k, explain = whole_number(pairs, "k", 10), switch(pairs, "explain", True)
    from lkgrag.rundir import RANKER, load_run

    folder, config = load_run(pairs["run"])
    from lkgrag.ranker import Ranker
    from lkgrag.setup import prepare_process

    prepare_process(config)
    ranker = Ranker.from_pretrained(folder / RANKER)
    candidates = parse_list(pairs["candidates"]) if "candidates" in pairs else None
    if "history" in pairs:
        results = [ranker.recommend(parse_list(pairs["history"]), candidates, k, explain)]
    else:
        users = ranker.users() if pairs["users"].strip() == "all" else parse_list(pairs["users"])
        results = ranker.recommend_users(users, candidates, k, explain)
    _write(results, form, pairs.get("out"))


def _write(results: list[Any], form: str, out: str | None) -> None:
    """Write the rankings to a file, or to the terminal."""
    from pathlib import Path

    from rich.console import Console

    from lkgrag.io import atomic
    from lkgrag.progress import console

    whole = _whole(results, form)
    if out is not None:
        with atomic(Path(out)) as tmp, open(tmp, "w", encoding="utf-8") as file:
            if whole is None:
                to = Console(file=file, width=80, highlight=False, color_system=None)
                _show(results, to)
            else:
                file.write(whole)
    elif whole is None:
        _show(results, console)
    else:
        # Not by the console, which would fit it to the terminal.
        sys.stdout.write(whole)
        sys.stdout.flush()


def _whole(results: list[Any], form: str) -> str | None:
    """The file's text; None for the form that is made for a terminal."""
    if form == "html":
        from lkgrag.report import recommendation_page

        return recommendation_page(results)
    if form == "json":
        from lkgrag.io import finite

        values = finite([r.to_dict() for r in results])
        return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return None


def _show(results: list[Any], to: Console) -> None:
    for result in results:
        result.show(to)


def main() -> int:
    """Entry point; returns the exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
