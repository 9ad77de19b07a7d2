"""A finished run's folder, read by what serves, exports or draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lkgrag.config import Config
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.utils.files import read_json
from lkgrag.utils.layout import CONFIG, METRICS, RANKER

FORMAT = 1


def load_run(run: str) -> tuple[Path, Config]:
    """The folder and the configuration of a saved run.

    Raises:
        RunError: not a run, or not finished.
    """
    from lkgrag.utils.layout import META

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
