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
from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.run.provenance import commit
from lkgrag.utils.files import atomic, not_ours, read_json, sweep
from lkgrag.utils.locks import clear, locked

FORMAT = 1
METRICS, CONFIG, RANKER, LOG = "metrics.json", "config.yaml", "ranker", "run.log"
LOCK = ".lock"
PAGE = "report.html"


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
            _same(path, config)
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
    found = not_ours(folder, _is_run, (LOCK, LOG))
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


def _same(path: Path, config: Config) -> None:
    """Refuse a folder whose run differs in anything that is computed."""
    stored = computed(load_config({"config": str(path)}))
    for key, value in computed(config).items():
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


def load_run(run: str) -> tuple[Path, Config]:
    """The folder and the configuration of a saved run.

    Raises:
        RunError: not a run, or not finished.
    """
    from lkgrag.serving.saving import META

    folder = Path(run)
    if not folder.is_dir():
        raise RunError(f"run={run}: no such folder")
    # An export holds a ranker as a run does, but is no run.
    file = next((f for f in (folder / CONFIG, folder / RANKER / CONFIG) if f.is_file()), None)
    if file is None:
        there = sorted(p.parent.name for p in folder.glob(f"*/{CONFIG}"))
        hint = f" It holds the runs {', '.join(there[:3])}." if there else ""
        raise RunError(f"run={run}: not a saved run (it has no {CONFIG}).{hint}")
    if not (folder / RANKER).is_dir():
        if (folder / META).is_file():
            # Going on here, as below, would begin a run among the ranker's files.
            its = folder.absolute().parent
            of_run = folder.name == RANKER and (its / CONFIG).is_file()
            way = f"name the run, run={its}, or load" if of_run else "load"
            raise RunError(
                f"run={run}: a saved ranker, not a run; {way} it by lkgrag.Ranker.from_pretrained"
            )
        raise RunError(
            f"run={run}: the run is not finished; go on with "
            f"python -m lkgrag.train config={folder / CONFIG} out={folder}"
        )
    try:
        return folder, load_config({"config": str(file)})
    except ConfigError as error:
        raise RunError(f"run={run}: made by another version of lkgrag ({error})") from error


def finished(folder: Path) -> dict[str, Any] | None:
    """The metrics of a finished run, or None.

    Raises:
        RunError: they are broken, or a version of lkgrag with another format wrote them.
    """
    path = folder / METRICS
    if not path.exists():
        return None
    try:
        metrics = read_json(path)
    except LkgragError as error:
        raise RunError(f"{error}; delete it, and the same command makes it again") from error
    if not isinstance(metrics, dict):
        raise RunError(
            f"{path}: no figures of a run; delete it, and the same command makes it again"
        )
    if metrics.get("format") != FORMAT:
        raise RunError(
            f"{path}: written by a version of lkgrag with another format "
            f"({metrics.get('format')}, this one reads {FORMAT}); use that version, or overwrite=true"
        )
    return dict(metrics)


def systems_of(metrics: dict[str, Any]) -> dict[str, Any]:
    """The systems of ``metrics.json``, without what stands beside them."""
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, dict) and "all" in (value.get("test") or {})
    }
