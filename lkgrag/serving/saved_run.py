"""The folder of a run, or of a ranker alone: what serving, export and report read of it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lkgrag.config import Config
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.utils.files import read_json, user_path
from lkgrag.utils.folders import restore_folder
from lkgrag.utils.layout import CONFIG, META, METRICS, RANKER
from lkgrag.utils.sums import find_damage

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    import os
    from pathlib import Path

#: Version of ``metrics.json``.
FORMAT = 1


def load_run(run: str | os.PathLike[str]) -> tuple[Path, Config]:
    """The folder and the configuration of a saved run.

    Args:
        run: the folder, as the option ``run`` names it.

    Raises:
        RunError: the folder is not a run, not finished, or from another version.
    """
    folder = user_path(run, "run")
    if not folder.is_dir():
        raise RunError(f"run={run}: no such folder")
    # A ranker that was about to be replaced when its process was killed is put back.
    with suppress(OSError):
        restore_folder(folder / RANKER)
    # An export holds a ranker, as a run does, but has no configuration of its own.
    file = next((f for f in (folder / CONFIG, folder / RANKER / CONFIG) if f.is_file()), None)
    if file is None:
        runs = sorted(p.parent.name for p in folder.glob(f"*/{CONFIG}"))
        hint = f" It holds the runs {', '.join(runs[:3])}." if runs else ""
        raise RunError(f"run={run}: not a saved run (it has no {CONFIG}).{hint}")
    if not (folder / RANKER).is_dir():
        if (folder / META).is_file():
            # The advice below would start a run among the ranker's files.
            parent = folder.absolute().parent
            is_in_run = folder.name == RANKER and (parent / CONFIG).is_file()
            way = f"name the run, run={parent}, or rank" if is_in_run else "rank"
            raise RunError(
                f"run={run}: a saved ranker, not a run; {way} with it by lkgrag.recommend, lkgrag.serve or "
                "lkgrag.Ranker.from_pretrained"
            )
        raise RunError(
            f"run={run}: the run is not finished; go on with "
            f"python -m lkgrag.train config={folder / CONFIG} out={folder}"
        )
    if damage := find_damage(folder, lambda name: name == CONFIG):
        # No error: people edit data.root there after they have moved the data.
        log.warning("%s since the run ended; its options count as they are now", damage)
    return folder, _read_config(file, run)


def load_saved(run: str | os.PathLike[str]) -> tuple[Path, Config]:
    """The folder of a saved ranker and its configuration.

    Args:
        run: a run or an export that holds a ranker, or the ranker's own folder, as
            :meth:`lkgrag.Ranker.save_pretrained` and downloads from the Hub leave it.

    Raises:
        RunError: as :func:`load_run`.
    """
    place = user_path(run, "run")
    if find_ranker(place) == place and (place / META).is_file():
        return place, _read_config(place / CONFIG, run)
    folder, config = load_run(run)
    return folder / RANKER, config


def _read_config(file: Path, run: str | os.PathLike[str]) -> Config:
    try:
        return load_config({"config": str(file)})
    except ConfigError as error:
        raise RunError(f"run={run}: made by another version of lkgrag ({error})") from error


def find_ranker(folder: Path) -> Path:
    """The folder of a saved ranker, or that of a run or an export that holds one.

    A ranker that was about to be replaced when its process was killed is put back.
    """
    for place in (folder, folder / RANKER):
        # A folder that cannot be written is read as it is.
        with suppress(OSError):
            restore_folder(place)
        if (place / META).is_file():
            return place
    return folder


def check_run(folder: Path, *names: str) -> None:
    """Compare files of a finished run with the sums that were written at its end; older runs have none.

    Args:
        folder: of the run.
        names: of the files.

    Raises:
        RunError: a file is missing or damaged; the message names it.
    """
    if damage := find_damage(folder, lambda name: name in names):
        raise RunError(
            f"{damage}; copy the run again from where it came, or begin anew with overwrite=true; who "
            "changed the file on purpose deletes done.json beside it"
        )


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """The metrics of a run; None if it is not finished.

    Raises:
        RunError: the file is broken or damaged, or a version of lkgrag with another format wrote it.
    """
    path = folder / METRICS
    if not path.exists():
        return None
    check_run(folder, METRICS)
    try:
        metrics = read_json(path)
    except LkgragError as error:
        raise RunError(f"{error}; delete it, and give the same command again") from error
    if not isinstance(metrics, dict):
        raise RunError(
            f"{path}: does not hold a run's metrics; delete it, and give the same command again"
        )
    if metrics.get("format") != FORMAT:
        raise RunError(
            f"{path}: written by a version of lkgrag with another format "
            f"({metrics.get('format')}, this one reads {FORMAT}); use that version, or overwrite=true"
        )
    return dict(metrics)


def find_run(folder: Path) -> Path | None:
    """The folder of the run that a saved ranker belongs to; None for a ranker elsewhere.

    Args:
        folder: of the run, or of the ranker in it.
    """
    absolute = folder.absolute()
    places = (absolute, absolute.parent) if absolute.name == RANKER else (absolute,)
    return next((p for p in places if all((p / n).is_file() for n in (CONFIG, METRICS))), None)
