"""Add new interactions, users and items to a saved ranker: ``python -m lkgrag.update run=... data.root=...``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lkgrag.cli.arguments import check_options, switch
from lkgrag.cli.command import Command, run
from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig

#: Options of ``data`` that say how new files are read; the others are those of the run.
READING = {
    "data.root": ("FOLDER", "files of the new data; what is known already may be among them"),
    "data.name": ("as of the run", "file stem of a RecBole folder"),
    "data.reader": ("as of the run", "layout of the files, as of lkgrag.train"),
    "data.columns": ("as of the run", "names of columns, as of lkgrag.train"),
    "data.separator": ("as of the run", "text between columns of RecBole files"),
    "data.seq_separator": ("as of the run", "text between values of a token_seq"),
    "data.time_unit": ("as of the run", "unit of times, as of lkgrag.train"),
    "data.min_rating": ("as of the run", "drop new interactions rated lower than this"),
    "data.min_user": ("1", "interactions that a new user needs"),
    "data.min_item": ("1", "interactions that a new item needs"),
}
COMMAND = Command(
    name="lkgrag.update",
    summary=(
        "Add new interactions, users and items to a saved ranker, without training again. Counts and graph are made "
        "anew, what was learned stays, and new items are ranked by titles, attributes and first interactions."
    ),
    options={
        "run": (
            "FOLDER",
            "a finished run of lkgrag.train, an export, what this command wrote, or a saved ranker",
        ),
        "out": ("FOLDER", "where the updated ranker goes (default: in place of the run's own)"),
        **READING,
        "unchosen": ("true", "take items of the table of items that have no interaction, too"),
    },
    examples=[
        "python -m lkgrag.update run=outputs/ml-100k-smollm2-135m-1a2b3c4d data.root=new/",
        "python -m lkgrag.update run=outputs/shop data.root=new/ out=outputs/shop-monday unchosen=false",
    ],
    configurable=False,
    after_stop="the ranker is as it was; the same command starts again",
)


def body(pairs: dict[str, str], flags: set[str]) -> None:
    """Check the options, load the ranker, update, write."""
    check_options(pairs, COMMAND)
    if not pairs.get("data.root"):
        raise ConfigError("option 'data.root' is missing: data.root=<folder of the new files>")
    unchosen = switch(pairs, "unchosen", True)
    # Only here: --help and a wrong option are answered without PyYAML.
    from lkgrag.serving.saved_run import load_saved

    folder, config = load_saved(pairs["run"])
    options = _reading(pairs, config.data)
    # Only here: a wrong run is answered without torch.
    from lkgrag.serving.update_files import update_files
    from lkgrag.utils.device import set_threads

    set_threads(config.threads)
    update_files(folder, options, pairs.get("out"), unchosen)


def _reading(pairs: dict[str, str], data: DataConfig) -> DataConfig:
    """How the new files are read.

    Raises:
        ConfigError: an option has a wrong value.
    """
    # Only here: as above.
    from dataclasses import fields

    from lkgrag.config.loading import load_config

    given = {key: value for key, value in pairs.items() if key in READING}
    read: DataConfig = load_config({"data.min_user": "1", "data.min_item": "1", **given}).data
    named = {key.removeprefix("data.") for key in given} | {"min_user", "min_item"}
    for option in fields(data):
        if option.name not in named:
            setattr(read, option.name, getattr(data, option.name))
    if read.reader.startswith("memory-"):
        # The data of the run were in memory, but these are in files.
        read.reader = "auto"
    return read


def main() -> int:
    """Run the command and return its exit status."""
    return run(COMMAND, body)


if __name__ == "__main__":
    sys.exit(main())
