"""A run's folder: its lock, its configuration, its log."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from yaml import MappingNode, YAMLError

from lkgrag import __version__
from lkgrag.config import Config
from lkgrag.config.identity import computed, run_name, to_yaml
from lkgrag.config.loading import load_config
from lkgrag.config.values import compose
from lkgrag.errors import LkgragError, RunError
from lkgrag.run.provenance import commit
from lkgrag.utils.files import atomic, find_foreign_entry, sweep
from lkgrag.utils.layout import (
    CONFIG,
    LOCK,
    LOG,
    METRICS,
    RANKER,
    TRACKED_STEPS,
    TRACKING,
    WANDB,
)
from lkgrag.utils.locks import clear, locked
from lkgrag.utils.sums import DONE


def run_folder(config: Config) -> Path:
    """The folder of a run's files: ``out``, or a name that follows from the configuration."""
    return Path(config.out) if config.out else Path("outputs") / run_name(config)


@contextmanager
def open_run(config: Config, is_main: bool = True) -> Iterator[Path]:
    """Lock the run's folder, write its complete configuration, and log into it.

    A run that is refused within the block leaves no new folder.

    Args:
        config: of the run.
        is_main: whether this is the first of the run's processes; for the others nothing is done.

    Yields:
        The folder.

    Raises:
        RunError: the folder cannot be written, a living process uses it, or it holds a run with another
            configuration. With ``overwrite``: it holds files but no run, or another run below its own.
    """
    folder = run_folder(config)
    if not is_main:
        yield folder
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write the folder {folder}: {error.strerror}; choose another out="
        ) from error
    if config.overwrite:
        _refuse_others_files(folder)
    with locked(folder / LOCK, wait=False, what=f"the run {folder}"):
        # The commit is kept from here on: by the end of a long run the checkout may be at another one.
        commit()
        if config.overwrite:
            clear(folder, last=CONFIG)
        path = folder / CONFIG
        is_new = not path.exists()
        if not is_new:
            sweep(folder)
            _refuse_other_options(path, computed(config))
        # A resumed run may change how it is carried out; a finished run keeps its configuration.
        if not (folder / METRICS).exists():
            # The sums of an earlier end are no longer true.
            (folder / DONE).unlink(missing_ok=True)
            with atomic(path) as tmp:
                tmp.write_text(to_yaml(config), encoding="utf-8")
        handler = logging.FileHandler(folder / LOG, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("lkgrag")
        if logger.level == logging.NOTSET:
            # Called from Python, nothing has set the level: the log would hold warnings only.
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.info("lkgrag %s: %s", __version__, " ".join(sys.argv))
        is_refused = False
        try:
            yield folder
        except LkgragError:
            is_refused = True
            raise
        finally:
            logger.removeHandler(handler)
            handler.close()
            if is_refused and is_new:
                _delete_refused_run(folder)


def _refuse_others_files(folder: Path) -> None:
    """Refuse to empty a folder that holds files and no run, or other runs below its own.

    Raises:
        RunError: naming the folder and what it holds.
    """
    other = find_foreign_entry(folder, _is_run, (LOCK, LOG))
    if other is not None:
        raise RunError(
            f"{folder} holds {other} and no run: overwrite=true deletes runs only; choose another out="
        )
    runs_below = sorted({path.parent.name for path in folder.glob(f"*/{CONFIG}")} - {RANKER})
    if runs_below:
        raise RunError(
            f"{folder} holds the run {runs_below[0]} below its own, which overwrite=true would delete, too; "
            "choose another out="
        )


def _is_run(folder: Path) -> bool:
    """Whether the folder's ``config.yaml`` is a run's, of any version of lkgrag."""
    try:
        with open(folder / CONFIG, "rb") as file:
            root = compose(file)
    except (OSError, YAMLError, ValueError, RecursionError):
        return False
    sections = {"data", "kg", "retrieval", "scorer"}
    return isinstance(root, MappingNode) and sections <= {key.value for key, _ in root.value}


def _delete_refused_run(folder: Path) -> None:
    """Delete the folder of a refused run if it holds no results.

    Otherwise the corrected command would be refused, because the folder holds another configuration.
    """
    ours = (CONFIG, LOG, LOCK, TRACKING, *TRACKED_STEPS.values())
    if any(entry.name not in (*ours, WANDB) for entry in folder.iterdir()):
        return
    for name in ours:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / WANDB, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def _refuse_other_options(path: Path, options: dict[str, Any]) -> None:
    """Refuse a folder whose run has other options that change what is computed.

    Args:
        path: ``config.yaml`` of the folder.
        options: the options of this run, as :func:`lkgrag.config.identity.computed` gives them.

    Raises:
        RunError: naming the first option that differs, with both values.
    """
    stored = computed(load_config({"config": str(path)}))
    for key, value in options.items():
        if stored.get(key) == value:
            continue
        if isinstance(value, dict):
            name = next(k for k in value if value[k] != stored[key].get(k))
            key, old, new = f"{key}.{name}", stored[key].get(name), value[name]
        else:
            old, new = stored.get(key), value
        raise RunError(
            f"{path.parent} holds a run with {key}={old}, not {new}: "
            "choose another out=, or begin anew with overwrite=true"
        )
