"""The update of a saved ranker's files by new files of data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.readers import read_tables
from lkgrag.errors import RunError
from lkgrag.serving.loading import load_context
from lkgrag.serving.saving import save_updated
from lkgrag.serving.updating import update_context
from lkgrag.utils.console import console
from lkgrag.utils.files import find_foreign_entry, user_path
from lkgrag.utils.layout import META, RANKER
from lkgrag.utils.locks import locked
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.growth import GrowthReport


def update_files(
    ranker: Path, config: DataConfig, out: str | None = None, unchosen: bool = True
) -> GrowthReport:
    """Add new files to a saved ranker; whoever is killed leaves the old one whole.

    Args:
        ranker: folder of the saved ranker.
        config: of the new files.
        out: the updated ranker goes to ``out/ranker``; None for the place of the old one.
        unchosen: as of :func:`lkgrag.data.growth.grow`.

    Returns:
        What became of the new data.

    Raises:
        RunError: ``out`` holds something else, or another process updates the ranker.
        LkgragError: as :func:`~lkgrag.serving.updating.update_context`; or a file cannot be read or written.
    """
    target = ranker if out is None else user_path(out, "out") / RANKER
    _refuse_others(target)
    rename_activity("read the new data")
    tables, _ = read_tables(config)
    with _held(target):
        rename_activity("load the ranker")
        scorer, context, _ = load_context(ranker)
        scorer, context, report = update_context(scorer, context, tables, config, unchosen)
        rename_activity("write the ranker")
        save_updated(ranker, scorer, context, target)
    console.print(f"{report}", soft_wrap=True, markup=False)
    console.print(f"{target}: updated", soft_wrap=True, markup=False)
    return report


@contextmanager
def _held(target: Path) -> Iterator[None]:
    """Keep other updates away from a folder; of one that fails, nothing is left.

    Raises:
        RunError: another process updates the ranker.
        LkgragError: the folder above cannot be written.
    """
    is_new, lock = not target.parent.exists(), target.with_name(f".{target.name}.lock")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"cannot write {target.parent}: {error.strerror}; choose another out="
        ) from error
    with locked(lock, wait=False, what=f"the ranker {target}"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if is_new:
                # Only if nothing was written into it.
                with suppress(OSError):
                    target.parent.rmdir()


def _refuse_others(target: Path) -> None:
    """Refuse a folder that holds something else than a ranker.

    Raises:
        RunError: naming it.
    """
    try:
        other = find_foreign_entry(target, lambda f: (f / META).is_file())
        if target.parent.exists() and not target.parent.is_dir():
            raise RunError(f"out={target.parent}: a file; name a folder")
    except OSError as error:
        raise RunError(f"{target}: {error.strerror}; choose another out=") from error
    if other is not None:
        raise RunError(f"{target}: holds {other} and no ranker; choose another out=")
