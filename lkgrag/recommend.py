"""Rank items for users of a saved run, or for anyone's history: ``python -m lkgrag.recommend``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.cli.arguments import check_options, parse_list, switch, whole_number
from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import PartialState
    from rich.console import Console

    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.shards import BulkRequest

COMMAND = Command(
    name="lkgrag.recommend",
    summary="Rank items for users of a saved run, or for a history of someone unknown, and explain it.",
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train"),
        "users": ("ID,ID,...", "users of the data, by id; or `all`"),
        "history": ("[ID,ID,...]", "items of someone unknown, oldest first, by id or exact title"),
        "candidates": ("[ID,ID,...]", "rank these (default: what the retriever proposes)"),
        "k": ("10", "items to show"),
        "shard": ("256", "users a shard, where out is a folder"),
        "explain": ("true", "show the paths in words"),
        "format": (
            "text",
            "text (80 columns), json, html (a page to look at), or parquet (shards in the folder out) "
            "[text | json | html | parquet]",
        ),
        "out": (
            "FILE",
            "write there instead of the terminal; a folder (out=recs/) takes users=all as Parquet shards, "
            "made by one process or many, and goes on where a killed call stopped",
        ),
    },
    examples=[
        "python -m lkgrag.recommend run=outputs/ml-100k-smollm2-135m-1a2b3c4d users=1,2",
        "accelerate launch -m lkgrag.recommend run=... users=all out=recs/",
        'python -m lkgrag.recommend run=... "history=[Toy Story,Fargo,50]" k=5 format=json',
    ],
    configurable=False,
)


FORMS = ("text", "json", "html", "parquet")


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the ranker, rank."""
    check_options(pairs, COMMAND)
    form = pairs.get("format", "text")
    if form not in FORMS:
        raise ConfigError(f"option 'format': {form!r} is none of {', '.join(FORMS)}")
    if ("users" in pairs) == ("history" in pairs):
        raise ConfigError("give either users=<ids> or history=[<items>]")
    k, explain = whole_number(pairs, "k", 10), switch(pairs, "explain", True)
    shards = _shards_wanted(pairs, form)
    from lkgrag.serving.saved_run import load_run
    from lkgrag.utils.layout import RANKER

    folder, config = load_run(pairs["run"])
    from accelerate import PartialState

    from lkgrag.run.launch import PATIENCE, refuse_other_engines, refuse_shared_devices
    from lkgrag.serving.ranker import Ranker
    from lkgrag.utils.device import is_cpu_asked, set_threads

    set_threads(config.threads)
    refuse_other_engines()
    refuse_shared_devices()
    state = PartialState(cpu=is_cpu_asked(), timeout=PATIENCE)
    if not shards and not state.is_main_process:
        # One answer to one question, however many processes were started.
        return
    ranker = Ranker.from_pretrained(folder / RANKER, state.device)
    candidates = parse_list(pairs, "candidates") if "candidates" in pairs else None
    if shards:
        from lkgrag.serving.requests import candidate_items
        from lkgrag.serving.shards import BulkRequest, fingerprint

        wanted = BulkRequest(
            k=k,
            explain=explain,
            candidates=candidate_items(ranker.context, candidates),
            users_per_shard=whole_number(pairs, "shard", 256),
            made_from={"ranker": fingerprint(folder / RANKER)},
        )
        _rank_all(ranker, Path(pairs["out"]), wanted, state)
        return
    if "history" in pairs:
        results = [ranker.recommend(parse_list(pairs, "history"), candidates, k, explain)]
    else:
        users = ranker.users() if pairs["users"].strip() == "all" else parse_list(pairs, "users")
        results = ranker.recommend_users(users, candidates, k, explain)
    _write(results, form, pairs.get("out"))


def _shards_wanted(pairs: dict[str, str], form: str) -> bool:
    """Whether the rankings go into a folder, as Parquet shards.

    Raises:
        ConfigError: a folder is asked for with another form, or for a few users, or not named.
    """
    out = pairs.get("out", "")
    folder = out.endswith("/") or (bool(out) and Path(out).is_dir())
    if form == "parquet" and not out:
        raise ConfigError("format=parquet writes shards into a folder: name it by out=recs/")
    if not folder and form != "parquet":
        return False
    if "format" in pairs and form != "parquet":
        raise ConfigError(
            f"out={out} is a folder, which holds Parquet shards: leave format={form} out, or name a file"
        )
    if pairs.get("users", "").strip() != "all":
        raise ConfigError(f"out={out}: a folder of shards is made for users=all")
    return True


def _rank_all(ranker: Ranker, out: Path, wanted: BulkRequest, state: PartialState) -> None:
    """Rank for all users, each process its shards."""
    from lkgrag.serving.shards import recommend_all
    from lkgrag.utils.console import bar, err_console
    from lkgrag.utils.shares import Shares

    shares = Shares(state.process_index, state.num_processes, state.wait_for_everyone)
    with bar("rank users: shards", state.is_main_process) as update:
        count = recommend_all(ranker, out, wanted, shares, update)
    if state.is_main_process:
        shards = f"{count} shard{'' if count == 1 else 's'}"
        err_console.print(
            f"{len(ranker.context.users):,} users in {shards} in {out}",
            soft_wrap=True,
            markup=False,
        )


def _write(results: list[Any], form: str, out: str | None) -> None:
    """Write the rankings to a file, or to the terminal."""
    from rich.console import Console

    from lkgrag.utils.console import console
    from lkgrag.utils.files import atomic

    whole = _whole(results, form)
    if out is not None:
        with atomic(Path(out)) as tmp, open(tmp, "w", encoding="utf-8") as file:
            if whole is None:
                to = Console(file=file, width=80, highlight=False, emoji=False, color_system=None)
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
        from lkgrag.utils.files import nan_to_none

        values = nan_to_none([r.to_dict() for r in results])
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
