"""Count interactions that do not fit into memory: ``python -m lkgrag.count data.root=... out=...``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lkgrag.cli.command import Command, run
from lkgrag.config.fields import config_fields, default_of, range_of, show
from lkgrag.errors import ConfigError, nearest
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.config import Config
    from lkgrag.kg import TableKG

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
    out["out"] = ("FOLDER", "where sequences, split, counts and paths go")
    return out


COMMAND = Command(
    name="lkgrag.count",
    summary=(
        "Read, filter, order and split interactions, and count behaviour relations, item-item weights and paths, "
        "within a limit of memory and into Parquet files. The counts equal those of lkgrag.train to the last bit. "
        'Needs pip install "lkgrag[large]".'
    ),
    options=options(),
    examples=[
        "python -m lkgrag.count data.root=events.parquet out=counted",
        "python -m lkgrag.count data.root=events/ data.name=events out=counted engine.memory=8GB engine.temp=/scratch",
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
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.config.loading import load_config

    config = load_config(pairs)
    folder = user_path(pairs["out"], "out")
    count(config, folder)


def count(config: Config, folder: Path) -> TableKG:
    """Count into a folder; a call that was stopped goes on where it was.

    Args:
        config: options of ``data``, ``kg`` and ``engine``.
        folder: of the results.

    Returns:
        The graph.

    Raises:
        LkgragError: bad options or data, the disk is full, or the memory too little.
    """
    # Only here: --help and a wrong option are answered without torch.
    from lkgrag.data.large import make_store, split_store
    from lkgrag.kg.large.making import histories_of, make_graph
    from lkgrag.paths.large import map_paths
    from lkgrag.retrieval.large import write_itemitem
    from lkgrag.utils.device import set_threads
    from lkgrag.utils.duck import memory_of, open_duck
    from lkgrag.utils.locks import clear, locked
    from lkgrag.utils.progress import rename_activity

    memory_of(config.engine)
    refuse_foreign(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", wait=False, what=f"out={folder}"):
        if config.overwrite:
            clear(folder, first="store.json", last="key.json")
        with open_duck(config.engine, set_threads(config.threads), beside=folder) as duck:
            store = make_store(duck, config.data, folder)
            training = split_store(duck, store, config.data)
            graph = make_graph(duck, store, training, config.kg, folder / "graph")
            if config.kg.behaviour:
                write_itemitem(histories_of(duck, store, training), folder / "itemitem")
        rename_activity("map the paths")
        paths = map_paths(graph, folder / "paths")
        _tell(store.meta["stats"], graph, paths)
    return graph


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder with files of others.

    Raises:
        ConfigError: naming one of them.
    """
    # Only here, as above.
    from lkgrag.utils.duck import PREFIX
    from lkgrag.utils.files import find_foreign_entry

    try:
        # What a process that was killed at once has left.
        ours = {path.name for path in folder.glob(f"{PREFIX}*")} | {".lock"}
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
