"""A run's folder: its lock, its record, its log."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from lkgrag import __version__
from lkgrag.config import Config
from lkgrag.config.identity import computed, run_name, to_yaml
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError, RunError
from lkgrag.run.provenance import commit
from lkgrag.utils.files import atomic, find_foreign_entry, sweep
from lkgrag.utils.layout import CONFIG, LOCK, LOG, METRICS, RANKER
from lkgrag.utils.locks import clear, locked


def run_folder(config: Config) -> Path:
    """Where a run's files go: ``out``, or a name that follows from the configuration."""
    return Path(config.out) if config.out else Path("outputs") / run_name(config)


@contextmanager
def open_run(config: Config, main: bool = True) -> Iterator[Path]:
    """Lock the run's folder, write its complete configuration, and log into it.

    Args:
        config: of the run.
        main: whether this is the first of the run's processes; the others only take the folder.

    Raises:
        RunError: a living process uses it, it holds a run with another configuration, or it is to be
            overwritten and holds no run.
    """
    folder = run_folder(config)
    if not main:
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
        # Asked now: by the end of a long run the checkout may be at another one.
        commit()
        if config.overwrite:
            clear(folder, last=CONFIG)
        path = folder / CONFIG
        fresh = not path.exists()
        if not fresh:
            sweep(folder)
            _refuse_other_options(path, computed(config))
        # A run that goes on may be carried out in another way; a finished one stays as it was.
        if not (folder / METRICS).exists():
            with atomic(path) as tmp:
                tmp.write_text(to_yaml(config), encoding="utf-8")
        handler = logging.FileHandler(folder / LOG, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger = logging.getLogger("lkgrag")
        if logger.level == logging.NOTSET:
            # Called from Python, where nothing has set it: else the log would hold warnings only.
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        logger.info("lkgrag %s: %s", __version__, " ".join(sys.argv))
        refused = False
        try:
            yield folder
        except LkgragError:
            refused = True
            raise
        finally:
            logger.removeHandler(handler)
            handler.close()
            if refused and fresh:
                _withdraw(folder)


def _refuse_others_files(folder: Path) -> None:
    """Refuse to empty a folder that holds files and no run, or other runs below its own.

    Raises:
        RunError: naming it and what it holds.
    """
    found = find_foreign_entry(folder, _is_run, (LOCK, LOG))
    if found is not None:
        raise RunError(
            f"{folder} holds {found} and no run: overwrite=true deletes runs only; choose another out="
        )
    below = sorted({path.parent.name for path in folder.glob(f"*/{CONFIG}")} - {RANKER})
    if below:
        raise RunError(
            f"{folder} holds the run {below[0]} below its own, which overwrite=true would delete, too; choose "
            "another out="
        )


def _is_run(folder: Path) -> bool:
    """Whether its ``config.yaml`` is one of ours, of whatever version."""
    try:
        found = OmegaConf.load(folder / CONFIG)
    except (OSError, YAMLError, ValueError):
        return False
    return isinstance(found, DictConfig) and {"data", "kg", "retrieval", "scorer"} <= set(found)


def _withdraw(folder: Path) -> None:
    """Delete a folder in which a refused run has nothing but its record.

    Else the same command with the mistake corrected would be refused for the folder's sake.
    """
    if any(entry.name not in (CONFIG, LOG, LOCK) for entry in folder.iterdir()):
        return
    for name in (CONFIG, LOG, LOCK):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _refuse_other_options(path: Path, options: dict[str, Any]) -> None:
    """Refuse a folder whose run differs in anything that is computed."""
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
