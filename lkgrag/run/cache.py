"""Cached stages: one folder for each stage and key, complete or absent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lkgrag.config.identity import digest
from lkgrag.errors import LkgragError
from lkgrag.utils.failures import explain
from lkgrag.utils.files import read_json, sweep
from lkgrag.utils.locks import clear, locked
from lkgrag.utils.sums import DONE, find_damage, write_done

T = TypeVar("T")
log = logging.getLogger(__name__)

#: Raised with every change of a stage's meaning or files, so that an old cache is not read.
STAGE_VERSION = 2


@dataclass
class StageCache:
    """Folders ``root/<stage>/<hash>``, shared by all runs.

    A stage is complete if its ``done.json`` is there, which is written last and holds the sum of every file. The
    files of an interrupted build (checkpoints) stay in the folder, and the next build goes on from them. A stage
    whose files were damaged later is built again, with a warning.

    Attributes:
        root: folder of the cache.
        enabled: False builds every stage anew, in place.
        seconds: seconds that each stage's build took, for the run's record.
        used: folders of the stages that were asked for.
        built: those of them that were made here.
    """

    root: Path
    enabled: bool = True
    seconds: dict[str, float] = field(default_factory=dict)
    used: set[Path] = field(default_factory=set)
    built: set[Path] = field(default_factory=set)

    def folder(self, name: str, depends: dict[str, Any]) -> Path:
        """The folder of a stage.

        Args:
            name: of the stage.
            depends: its key.
        """
        return self.root / name / digest({"version": STAGE_VERSION, "stage": name, **depends})

    def is_complete(self, name: str, depends: dict[str, Any]) -> bool:
        """Whether a stage is there and will be loaded; arguments as of :meth:`folder`."""
        return self.enabled and (self.folder(name, depends) / DONE).exists()

    def load_or_build(
        self,
        name: str,
        depends: dict[str, Any],
        build: Callable[[Path], None],
        load: Callable[[Path], T],
    ) -> T:
        """Load a stage; build it first if it is incomplete.

        Args:
            name: of the stage.
            depends: plain values that the result depends on: the stage's key.
            build: writes the result into a folder, which may hold its own checkpoints.
            load: reads the result from the folder.

        Raises:
            LkgragError: the folder cannot be written.
        """
        folder = self.folder(name, depends)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LkgragError(
                f"cannot write the cache {folder}: {error.strerror}; set cache.root=<folder>"
            ) from error
        self.used.add(folder)
        with locked(folder / ".lock", wait=True):
            if not self.enabled:
                clear(folder)
            # The lock is held while reading: a process with enabled=False might clear the folder.
            if (folder / DONE).exists():
                try:
                    if damage := find_damage(folder):
                        raise LkgragError(damage)
                    return self._read(name, folder, load)
                except Exception as error:  # a broken file may raise anything
                    if explain(error) is not None or explain(error.__cause__) is not None:
                        raise
                    log.warning(
                        "%s: the cached stage cannot be read (%s); it is made again",
                        folder,
                        LkgragError(str(error) or type(error).__name__),
                    )
                    clear(folder, first=DONE)
            sweep(folder)
            self.built.add(folder)
            start = time.perf_counter()
            build(folder)
            seconds = time.perf_counter() - start
            write_done(folder, {"stage": name, "depends": depends, "seconds": seconds})
            log.debug("built stage %s in %.1f s", name, seconds)
            return self._read(name, folder, load)

    def _read(self, name: str, folder: Path, load: Callable[[Path], T]) -> T:
        """Load a complete stage, and note the seconds of its build."""
        self.seconds[name] = float(read_json(folder / DONE)["seconds"])
        return load(folder)
