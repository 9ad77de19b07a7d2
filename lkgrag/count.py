"""Count interactions that do not fit into memory: ``python -m lkgrag.count data.root=... out=...``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lkgrag.cli.command import Command, run
from lkgrag.cli.crew_options import CrewOptions, parse_crew
from lkgrag.config.fields import config_fields, default_of, range_of, show
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.config import Config
    from lkgrag.kg import TableKG
    from lkgrag.utils.steps import Hands

#: Options of the configuration that counting follows.
FOLLOWED = (
    "data.",
    "engine.",
    "kg.relations",
    "kg.exclude",
    "kg.users",
    "kg.behaviour",
    "kg.follow_window",
    "kg.co_rated_top",
    "kg.temporal",
    "out",
    "overwrite",
    "threads",
)

#: Modules whose functions make the parts.
MODULES = (
    "lkgrag.data.large",
    "lkgrag.kg.large.making",
    "lkgrag.retrieval.large",
    "lkgrag.paths.large",
)
#: Options of this command alone.
OF_CREW = ("engine", "workers", "address")


def options() -> dict[str, tuple[str, str]]:
    """Default and meaning of each option."""
    out = {}
    for key, f in config_fields():
        if key in ("data.untitled", "engine.name") or not key.startswith(FOLLOWED):
            continue
        text = f.metadata["help"]
        if f.metadata["choices"]:
            text += f" [{' | '.join(f.metadata['choices'])}]"
        if range_of(f):
            text += f" [{range_of(f)}]"
        out[key] = (show(default_of(f)), text)
    out["engine"] = (
        "duckdb",
        "what counts: duckdb (queries of this process) or ray (those of the workers of a Ray cluster) [duckdb | ray]",
    )
    out["workers"] = (
        "N",
        "of engine=ray; by default one a core of this machine, or of the cluster",
    )
    out["address"] = (
        "auto | HOST:PORT | ray://HOST:PORT",
        "the Ray cluster of engine=ray; by default one is started on this machine, and ended",
    )
    out["out"] = (
        "FOLDER",
        "where sequences, split, counts and paths go; with engine=ray, all machines share it",
    )
    return out


COMMAND = Command(
    name="lkgrag.count",
    summary=(
        "Read, filter, order and split interactions, and count behaviour relations, item-item weights and paths, "
        "within a limit of memory and into Parquet files. The counts equal those of lkgrag.train to the last bit. "
        'Needs pip install "lkgrag[large]", and for a cluster "lkgrag[ray]".'
    ),
    options=options(),
    examples=[
        "python -m lkgrag.count data.root=events.parquet out=counted",
        "python -m lkgrag.count data.root=events/ data.name=events out=counted engine.memory=8GB engine.temp=/scratch",
        "python -m lkgrag.count data.root=events/ data.name=events out=counted engine=ray workers=2",
    ],
    configurable=False,
    after_stop="the same command goes on from the last finished part",
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, count, print what was counted."""
    for key in pairs:
        if key not in COMMAND.options:
            raise ConfigError(f"unknown option '{key}'.{nearest(key, COMMAND.options)} See --help")
    if not pairs.get("out", "").strip():
        raise ConfigError("option 'out' is missing: out=<folder for what is counted>")
    crew = parse_crew(pairs, "duckdb", "python -m lkgrag.count")
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.config.loading import load_config

    config = load_config({key: value for key, value in pairs.items() if key not in OF_CREW})
    folder = user_path(pairs["out"], "out")
    count(config, folder, crew)


def count(config: Config, folder: Path, crew: CrewOptions | None = None) -> TableKG:
    """Count into a folder; a call that was stopped goes on where it was.

    Args:
        config: options of ``data``, ``kg`` and ``engine``.
        folder: of the results.
        crew: workers of a Ray cluster, which share the work; None for this process alone.

    Returns:
        The graph.

    Raises:
        LkgragError: bad options or data, the disk is full, the memory is too little, or the cluster is lost.
    """
    # Only here: --help and a wrong option are answered without torch.
    from lkgrag.data.large import make_store, split_store
    from lkgrag.kg.large.making import forget_counts, histories_of, make_graph
    from lkgrag.paths.large import map_paths
    from lkgrag.retrieval.large import write_itemitem
    from lkgrag.utils.duck_limits import memory_of
    from lkgrag.utils.locks import clear, locked

    memory_of(config.engine)
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", wait=False, what=f"out={folder}"):
        if config.overwrite:
            clear(folder, first="store.json", last="key.json")
        with _hands(config, folder, crew) as hands:
            store = make_store(hands, config.data, folder)
            training = split_store(hands, store, config.data)
            graph = make_graph(hands, store, training, config.kg, folder / "graph")
            if config.kg.behaviour:
                write_itemitem(hands, histories_of(hands, store, training), folder / "itemitem")
            paths = map_paths(hands, graph, folder / "paths")
        forget_counts(store)
        _tell(store.meta["stats"], graph, paths)
    return graph


@contextmanager
def _hands(config: Config, folder: Path, crew: CrewOptions | None) -> Iterator[Hands]:
    """Who counts: this process, or the workers of a cluster."""
    # Only here, as above.
    from lkgrag.utils.device import count_cores, set_threads
    from lkgrag.utils.duck import open_duck
    from lkgrag.utils.duck_team import Crew, open_team
    from lkgrag.utils.steps import Alone

    with open_duck(config.engine, set_threads(config.threads), beside=folder) as duck:
        if crew is None:
            yield Alone(duck)
            return
        workers, threads = crew.count(config.threads, count_cores())
        size = Crew(workers, threads, crew.address, modules=MODULES)
        with open_team(duck, config.engine, folder.resolve(), size) as hands:
            yield hands


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder with files of others.

    Raises:
        ConfigError: naming one of them.
    """
    # Only here, as above.
    from lkgrag.utils.duck import FRESH, PREFIX
    from lkgrag.utils.files import find_foreign_entry

    try:
        # What a process that was killed at once has left.
        ours = {p.name for start in (PREFIX, FRESH) for p in folder.glob(f"{start}*")} | {".lock"}
        foreign = find_foreign_entry(folder, lambda f: (f / "key.json").is_file(), ours)
    except NotADirectoryError:
        raise ConfigError(f"out={folder}: a file; name a folder") from None
    if foreign is not None:
        raise ConfigError(
            f"out={folder}: holds other files, as {foreign}; name an empty folder, or a new one"
        )


def _tell(stats: dict[str, int], graph: TableKG, paths: Path | None) -> None:
    """Print the sizes of what was counted."""
    print(
        f"{stats['interactions']:,} interactions of {stats['users']:,} users and {stats['items']:,} items "
        f"(of {stats['raw_interactions']:,} read)"
    )
    for relation, edges in graph.sizes.items():
        print(f"{relation}: {edges:,} edges")
    if paths is not None:
        print(f'paths: PathFinder.open("{paths}")')


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
