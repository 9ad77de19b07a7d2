"""Rank items for users of a saved run, or for anyone's history: ``python -m lkgrag.recommend``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.cli.arguments import (
    check_options,
    parse_list,
    parse_list_or_file,
    parse_mapping,
    parse_users,
    switch,
    whole_number,
)
from lkgrag.cli.command import Command, is_stdout_closed, run
from lkgrag.cli.crew_options import CrewOptions, parse_crew
from lkgrag.errors import ConfigError
from lkgrag.utils.shares import Shares

if TYPE_CHECKING:
    from accelerate import PartialState

    from lkgrag.serving.context import Context
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.shards import BulkRequest

COMMAND = Command(
    name="lkgrag.recommend",
    summary="Rank items for users of a saved run, or for any history, and explain the ranking.",
    options={
        "run": ("FOLDER", "a finished run of lkgrag.train, or a saved ranker"),
        "users": (
            "ID,ID,... | FILE",
            "users of the data, by id; a file of them (.txt, one a line; .csv, .parquet: a column); or `all`",
        ),
        "history": ("[ID,ID,...]", "items of an unknown user, oldest first, by id or exact title"),
        "candidates": ("[ID,ID,...]", "rank these (default: what the retriever proposes)"),
        "request": ("TEXT", 'what is asked for, in words: "request=a light perfume for summer"'),
        "weight": (
            "1",
            "how much the request counts, in multiples of what training learned; 0: the history alone",
        ),
        "exclude": (
            "[ID,ID,...] | FILE",
            "leave these items out before ranking, by id or exact title, or those of a text file with one a line",
        ),
        "where": (
            "{NAME: VALUE}",
            'rank only items with one of the values of each attribute: "where={genre: Drama, year: [1994, 1995]}"',
        ),
        "diversity": (
            "0",
            "how much variety counts, 0 to 1: items much like one above them come later",
        ),
        "k": ("10", "items to show"),
        "shard": ("256", "users a shard, where out is a folder"),
        "engine": (
            "accelerate",
            "what ranks into a folder: accelerate (this process, or those of accelerate launch) or ray (workers of a "
            "Ray cluster) [accelerate | ray]",
        ),
        "workers": ("N", "of engine=ray; by default one a core of this machine, or of the cluster"),
        "address": (
            "auto | HOST:PORT | ray://HOST:PORT",
            "the Ray cluster of engine=ray; by default one is started on this machine, and ended",
        ),
        "explain": ("true", "show the paths in words"),
        "serving.lm": (
            "auto | always | never",
            "rank with the language model (default: as saved; auto: only if it earned a weight)",
        ),
        "serving.index": (
            "auto | exact | hnsw | ivfpq",
            "how candidates are found: by the scores of all items (exact) or by an index (default: as saved)",
        ),
        "format": (
            "text",
            "text (80 columns), json, html (a page for the browser), csv, or parquet (out=FILE.parquet, or shards in "
            "the folder out); by default what out ends in, if that is .csv or .parquet "
            "[text | json | html | csv | parquet]",
        ),
        "out": (
            "FILE",
            "write there instead of the terminal; a folder (out=recs/) takes users=all as Parquet shards, "
            "which one or many processes write; a call that was killed continues when it is repeated",
        ),
    },
    examples=[
        "python -m lkgrag.recommend run=outputs/ml-100k-smollm2-135m-1a2b3c4d users=1,2",
        "accelerate launch -m lkgrag.recommend run=... users=all out=recs/",
        "python -m lkgrag.recommend run=... users=all out=recs/ engine=ray workers=2",
        "python -m lkgrag.recommend run=... users=customers.csv out=recs.csv",
        'python -m lkgrag.recommend run=... "history=[Toy Story,Fargo,50]" k=5 format=json',
        'python -m lkgrag.recommend run=... history=[] "request=a light perfume for summer"',
        'python -m lkgrag.recommend run=... users=1 "where={genre: Drama}" exclude=sold-out.txt',
    ],
    configurable=False,
    after_stop="the same command starts again; shards that are there already are kept",
)


FORMS = ("text", "json", "html", "csv", "parquet")
#: Formats that a file's suffix names.
BY_SUFFIX = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the ranker, rank."""
    check_options(pairs, COMMAND)
    out = pairs.get("out", "")
    form = pairs.get("format", BY_SUFFIX.get(Path(out).suffix.lower(), "text"))
    if form not in FORMS:
        raise ConfigError(f"option 'format': {form!r} is none of {', '.join(FORMS)}")
    if ("users" in pairs) == ("history" in pairs):
        raise ConfigError("give either users=<ids> or history=[<items>]")
    users = parse_users(pairs) if "users" in pairs else None
    if is_stdout_closed() and not pairs.get("out"):
        raise ConfigError(
            "stdout is closed, so nobody would see the rankings: write them by out=FILE"
        )
    k, explain = whole_number(pairs, "k", 10), switch(pairs, "explain", True)
    is_sharded = _is_sharded(pairs, form)
    text, weight = _asked(pairs, is_sharded)
    exclude = parse_list_or_file(pairs, "exclude") if "exclude" in pairs else None
    where = parse_mapping(pairs, "where") if "where" in pairs else None
    diversity = _number(pairs, "diversity", 0.0, "is no number from 0 to 1")
    no_shards = "engine=ray ranks all users into a folder: set users=all and out=recs/, or leave engine= out"
    crew = parse_crew(
        pairs, "accelerate", "python -m lkgrag.recommend", None if is_sharded else no_shards
    )
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_saved

    folder, config = load_saved(pairs["run"])
    if isinstance(users, Path):
        # Only here: a list of ids does not wait for pandas.
        from lkgrag.data.id_files import read_ids

        users = read_ids(users, "user", "users")
    if crew is not None:
        _rank_by_crew(pairs, folder, crew, config.threads)
        return
    # Only here: a wrong run is answered without torch.
    from accelerate import PartialState

    from lkgrag.report.rankings import write_rankings
    from lkgrag.run.agreement import (
        refuse_other_folders,
        refuse_other_options,
        refuse_other_versions,
    )
    from lkgrag.run.launch import (
        PATIENCE,
        launched,
        refuse_other_engines,
        refuse_shared_devices,
    )
    from lkgrag.serving.ranker import Ranker
    from lkgrag.serving.recommendation import Recommendations
    from lkgrag.utils.device import is_cpu_asked, set_threads
    from lkgrag.utils.group import Group
    from lkgrag.utils.progress import rename_activity

    set_threads(config.threads)
    refuse_other_engines()
    refuse_shared_devices()
    start = partial(PartialState, cpu=is_cpu_asked(), timeout=PATIENCE)
    with launched(config.nodes, COMMAND.after_stop, start) as state:
        if not is_sharded and not state.is_main_process:
            # One process answers, however many were started.
            return
        rename_activity("load the ranker")
        ranker = Ranker.from_pretrained(folder, state.device, pairs.get("serving.lm"))
        if "serving.index" in pairs:
            ranker = ranker.with_index(pairs["serving.index"])
        rename_activity("rank")
        candidates = parse_list(pairs, "candidates") if "candidates" in pairs else None
        if is_sharded:
            request = _bulk_request(pairs, ranker.context, folder)
            group, made_from = Group.of(state.device), request.made_from
            refuse_other_versions(group)
            refuse_other_options(group, {**pairs, **made_from, "run": "", "out": ""})
            refuse_other_folders(group, {"out": Path(pairs["out"])})
            _rank_all(ranker, Path(pairs["out"]), request, state)
            return
        if "history" in pairs:
            history = parse_list(pairs, "history")
            result = ranker.recommend(
                history, candidates, k, explain, None, text, weight, exclude, where, diversity
            )
            results = Recommendations([result])
        else:
            results = ranker.recommend_users(
                ranker.users() if users is None else users,
                candidates,
                k,
                explain,
                text,
                weight,
                exclude,
                where,
                diversity,
            )
        write_rankings(results, form, pairs.get("out"))


def _asked(pairs: dict[str, str], is_sharded: bool) -> tuple[str | None, float | None]:
    """The request in words and its weight; None where they are not given.

    Raises:
        ConfigError: the weight is no number, or the rankings go into a folder.
    """
    text = pairs.get("request")
    if text is not None and is_sharded:
        raise ConfigError("request= is not for shards: give users=<ids>, or leave request= out")
    if "weight" not in pairs:
        return text, None
    return text, _number(pairs, "weight", 1.0, "is no number of at least 0")


def _number(pairs: dict[str, str], key: str, default: float, wrong: str) -> float:
    """A number; its range is checked with the ranker.

    Raises:
        ConfigError: it is no number.
    """
    try:
        return float(pairs.get(key, default))
    except ValueError:
        raise ConfigError(f"option '{key}': {pairs[key][:60]!r} {wrong}") from None


def _is_sharded(pairs: dict[str, str], form: str) -> bool:
    """Whether the rankings go into a folder, as Parquet shards.

    Raises:
        ConfigError: ``format=parquet`` has no folder, or a folder is to hold another format or only some users.
    """
    out = pairs.get("out", "")
    is_folder = out.endswith("/") or (bool(out) and Path(out).is_dir())
    if form == "parquet" and not out:
        raise ConfigError(
            "format=parquet writes shards into a folder: name it by out=recs/, or one file, as out=recs.parquet"
        )
    is_file = form != "parquet" or Path(out).suffix.lower() in BY_SUFFIX
    if not is_folder and is_file:
        return False
    if "format" in pairs and form != "parquet":
        raise ConfigError(
            f"out={out} is a folder, which takes Parquet shards: leave format={form} out, or name a file"
        )
    if pairs.get("users", "").strip() != "all":
        raise ConfigError(
            f"out={out}: a folder takes the rankings of all users: set users=all, or name a file, as out=recs.parquet"
        )
    return True


def _rank_all(ranker: Ranker, out: Path, request: BulkRequest, state: PartialState) -> None:
    """Rank for all users; each process writes its own shards."""
    # Only here: --help waits neither for rich nor for torch.
    from lkgrag.serving.shards import recommend_all
    from lkgrag.utils.progress import bar

    shares = Shares(state.process_index, state.num_processes, state.wait_for_everyone)
    with bar("rank users: shards", state.is_main_process) as update:
        count = recommend_all(ranker, out, request, shares, update)
    if state.is_main_process:
        _say_done(len(ranker.context.users), count, out)


def _rank_by_crew(pairs: dict[str, str], folder: Path, options: CrewOptions, threads: int) -> None:
    """Rank for all users by workers of a Ray cluster.

    Args:
        pairs: the options.
        folder: of the ranker.
        options: the workers.
        threads: as the run has it.
    """
    # Only here, as above.
    from lkgrag.serving.shard_crew import read_context, recommend_by_crew
    from lkgrag.serving.shard_work import Crew
    from lkgrag.utils.device import count_cores
    from lkgrag.utils.progress import bar, rename_activity

    workers, each = options.count(threads, count_cores())
    rename_activity("load the ranker")
    lm = pairs.get("serving.lm")
    context = read_context(folder, lm)
    request = _bulk_request(pairs, context, folder)
    out, crew = Path(pairs["out"]), Crew(folder, lm, workers, each, options.address)
    with bar("rank users: shards") as update:
        count = recommend_by_crew(context, out, request, crew, update)
    _say_done(len(context.users), count, out)


def _bulk_request(pairs: dict[str, str], context: Context, folder: Path) -> BulkRequest:
    """The rankings of all users that the options ask for.

    Args:
        pairs: the options.
        context: of the ranker.
        folder: of the ranker.
    """
    # Only here, as above.
    from lkgrag.serving.diversity import check_diversity
    from lkgrag.serving.limits import limit
    from lkgrag.serving.requests import candidate_items
    from lkgrag.serving.shards import BulkRequest, fingerprint

    exclude = parse_list_or_file(pairs, "exclude") if "exclude" in pairs else None
    where = parse_mapping(pairs, "where") if "where" in pairs else None
    candidates = parse_list(pairs, "candidates") if "candidates" in pairs else None
    diversity = _number(pairs, "diversity", 0.0, "is no number from 0 to 1")
    return BulkRequest(
        k=whole_number(pairs, "k", 10),
        explain=switch(pairs, "explain", True),
        candidates=candidate_items(context, candidates),
        users_per_shard=whole_number(pairs, "shard", 256),
        limits=limit(context, exclude, where),
        diversity=check_diversity(context, diversity),
        made_from={"ranker": fingerprint(folder)},
    )


def _say_done(users: int, shards: int, out: Path) -> None:
    """Tell what is in the folder."""
    # Only here, as above.
    from lkgrag.utils.console import err_console

    text = f"{users:,} users in {shards} shard{'' if shards == 1 else 's'} in {out}"
    err_console.print(text, soft_wrap=True, markup=False)


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
