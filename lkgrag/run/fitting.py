"""From tables to a ranker in one call, without files: ``lkgrag.fit``."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.config.loading import SECTIONS, load_config
from lkgrag.data.frames import MEANINGS
from lkgrag.data.interactions import Interactions
from lkgrag.data.readers.formats import is_table
from lkgrag.data.readers.table_files import open_table_file
from lkgrag.errors import ConfigError, DataError, short
from lkgrag.run.pipeline import train
from lkgrag.serving.known import KnownData
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saved_run import read_metrics
from lkgrag.serving.users import Users
from lkgrag.utils.files import user_path
from lkgrag.utils.launcher import count_processes
from lkgrag.utils.layout import RANKER

if TYPE_CHECKING:
    import pandas as pd

    from lkgrag.config import DataConfig

#: What the options are merged over, unless they name a preset or a file of their own.
PRESET = "quick"
#: Options that say where data are read from, in place of which tables are given.
OF_FILES = ("data.root", "data.reader")
#: Options of the data that act on :class:`~lkgrag.data.Interactions`, which are filtered and ordered already.
OF_SPLITS = ("data.name", "data.split", "data.rolling", "data.val_from", "data.test_from")


def fit(
    interactions: Any,
    items: Any = None,
    triples: Any = None,
    users: Any = None,
    out: str | os.PathLike[str] | None = None,
    options: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> Ranker:
    """Train, evaluate and load a ranker.

    It does what ``python -m lkgrag.train preset=quick`` does, and no language model is loaded: the ranker is there in
    minutes, without a download. ``llm__name="smollm2-135m"`` adds one, and ``preset=None`` takes the command's own
    defaults. Stages and progress are printed, at last the table of the test.

    Args:
        interactions: a table with the columns ``user`` and ``item``, optional ``rating`` and ``time``, as of
            :meth:`lkgrag.Interactions.from_frames`: of pandas, polars, Arrow, or a dictionary of columns. Or the path
            of such a file. Or, given alone, any path that ``data.root`` takes, or an :class:`lkgrag.Interactions`.
        items: a table or its path: ``item``, optional ``title``, attributes.
        triples: a table or its path: ``head relation tail``.
        users: a table or its path: ``user`` and attributes.
        out: folder of the run, with report and figures; the same call continues an interrupted run, or reads a finished
            one. By default a temporary folder, which is gone when the call returns: the ranker is in memory.
        options: options of the configuration by dotted key, as ``{"retrieval.k": 50}``; sections may be nested.
        **keywords: the same with double underscores, as ``retrieval__k=50``, and ``seed=1``, ``preset="amazon"``.

    Returns:
        The ranker. Its :attr:`~lkgrag.Ranker.metrics` are those of the run.

    Raises:
        ConfigError: an option is unknown (the message names the nearest one), given twice, or does not fit the data.
        DataError: a table is missing, has no such column, or too little is left.
        LkgragError: as of ``lkgrag.train``.
    """
    given = collect_options(options, keywords)
    if out is not None:
        given = _add(given, "out", str(user_path(out, "out")))
    if given.get("out") is None:
        given.pop("out", None)
    if not {"preset", "config"} & set(given):
        given["preset"] = PRESET
    tables = {"items": items, "triples": triples, "users": users}
    if given.get("out") is not None:
        return Ranker.from_pretrained(_run(interactions, tables, given, is_kept=True))
    if count_processes() > 1:
        raise ConfigError("out: several processes need one folder for the run: give out=<folder>")
    with tempfile.TemporaryDirectory(prefix="lkgrag-", ignore_cleanup_errors=True) as root:
        given["out"] = os.path.join(root, "run")
        if not {"cache.root", "cache.enabled"} & set(given):
            given["cache.root"] = os.path.join(root, "cache")
        return _detached(_run(interactions, tables, given, is_kept=False))


def collect_options(options: Any, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Options by dotted key, from a mapping and from keyword arguments with double underscores.

    Raises:
        ConfigError: it is no mapping, a key is no text, or an option is given twice with different values.
    """
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(
            f'options: takes a mapping, as {{"retrieval.k": 50}}, got {short(repr(options))}'
        )
    out: dict[str, Any] = {}
    for key, value in (options or {}).items():
        if not isinstance(key, str):
            raise ConfigError(f"options: a key must be a text, got {short(repr(key))}")
        out = _add(out, key, value)
    for key, value in keywords.items():
        out = _add(out, key.replace("__", "."), value)
    return out


def _add(options: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The options and one more, or all of a section that is a mapping."""
    if key in SECTIONS and isinstance(value, Mapping):
        for name, inner in value.items():
            options = _add(options, f"{key}.{name}", inner)
        return options
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if key in options and options[key] != value:
        first, second = short(repr(options[key])), short(repr(value))
        raise ConfigError(f"option '{key}' is given twice: {first} and {second}")
    return {**options, key: value}


def _run(interactions: Any, tables: dict[str, Any], given: dict[str, Any], is_kept: bool) -> Path:
    """Carry out the run; its folder.

    Args:
        interactions: as of :func:`fit`.
        tables: items, triples and users, as of :func:`fit`.
        given: all options.
        is_kept: as of :func:`~lkgrag.run.pipeline.train`.
    """
    if interactions is None:
        raise DataError("interactions: there is no table; give one with columns user and item")
    beside = [name for name, table in tables.items() if table is not None]
    if isinstance(interactions, Interactions):
        if beside:
            raise DataError(
                f"{beside[0]}: are in the Interactions already; give them to Interactions.from_frames"
            )
        _refuse_options(given, is_split_only=True)
        return train(load_config(given), interactions, is_kept)
    _refuse_options(given)
    if isinstance(interactions, str | os.PathLike) and not beside:
        given = {**given, "data.root": str(user_path(interactions, "interactions"))}
        return train(load_config(given), None, is_kept)
    config = load_config(given)
    read = {
        n: _read(t, n, config.data) for n, t in {"interactions": interactions, **tables}.items()
    }
    return train(config, Interactions.from_frames(**read, config=config.data), is_kept)


def _refuse_options(given: dict[str, Any], is_split_only: bool = False) -> None:
    """Refuse options that would change nothing.

    Raises:
        ConfigError: naming the option and what to give instead.
    """
    for key in given:
        if key in OF_FILES:
            raise ConfigError(f"option '{key}': the data are given as interactions; leave it out")
        if is_split_only and key.startswith("data.") and key not in OF_SPLITS:
            raise ConfigError(
                f"option '{key}': an Interactions is filtered and ordered already; give it to "
                "Interactions.from_frames(config=DataConfig(...)), or give the tables"
            )


def _read(table: Any, name: str, config: DataConfig) -> pd.DataFrame | Any:
    """A table; that of a file if it is a path.

    Raises:
        DataError: there is no such file, or it is no table.
    """
    if not isinstance(table, str | os.PathLike):
        return table
    path = user_path(table, name)
    if not path.exists():
        raise DataError(f"{name}={short(str(path))}: no such file")
    if path.is_dir() or not is_table(path):
        columns = ", ".join(MEANINGS[name])
        raise DataError(
            f"{name}={short(str(path))}: must be a table in a file (.csv, .tsv, .jsonl, .parquet, .arrow) with "
            f"columns {columns}; a folder is read whole if interactions= is given alone"
        )
    return open_table_file(path, config).table()


def _detached(folder: Path) -> Ranker:
    """The ranker of a run whose folder is about to be deleted: all that is read late is read now."""
    metrics = read_metrics(folder)
    loaded = Ranker.from_pretrained(folder / RANKER)
    context = loaded.context
    users, known = context.users, context.known
    if isinstance(users, Users):
        users = users.in_memory()
    if known is not None:
        known = KnownData(known.read())
    return Ranker(loaded.model, dataclasses.replace(context, users=users, known=known), metrics)
