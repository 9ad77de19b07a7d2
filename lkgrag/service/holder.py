"""The ranker in service, and its exchange for a newer one while requests are answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lkgrag.errors import LkgragError
from lkgrag.service.served import Served, digest_of
from lkgrag.utils.failures import explain

log = logging.getLogger(__name__)

#: Seconds after which a ranker that could not be loaded is tried again: its files may have been copied meanwhile.
RETRY = 60.0


@dataclass
class Holder:
    """Holds the ranker in service. Whoever answers a request takes :attr:`current` once, and keeps it to the end.

    Attributes:
        current: in service.
        folder: of the ranker; None where it came from elsewhere.
        load: reads the folder.
        tell: called with whether a load succeeded.
        error: why a newer ranker could not be loaded; None if there is none.
    """

    current: Served
    folder: Path | None = None
    load: Callable[[Path], Served] | None = None
    tell: Callable[[bool], object] = lambda is_loaded: None
    error: str | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: tuple[str, float] | None = None

    def look(self) -> bool:
        """Load the ranker in the folder if it is another one; returns whether it is now in service."""
        if self.folder is None:
            return False
        digest = digest_of(self.folder)
        if digest is None:
            # It is being copied, or was taken away: the one in service stays.
            return False
        if digest == self.current.digest:
            if self._failed is not None:
                self._failed, self.error = None, None
                self.tell(True)
            return False
        if self._failed is not None:
            failed, when = self._failed
            if failed == digest and time.monotonic() - when < RETRY:
                return False
        return self.reload()

    def reload(self) -> bool:
        """Load what is in the folder, and put it in service; where that fails, the old one stays.

        Returns:
            Whether it is in service now; :attr:`error` says why not.
        """
        if self.folder is None or self.load is None:
            self.error = "this service has no folder to load from"
            return False
        with self._lock:
            digest = digest_of(self.folder) or ""
            try:
                served = self.load(self.folder)
            except Exception as error:
                known = error if isinstance(error, LkgragError) else explain(error)
                # An error of this package is one line.
                line = str(known or LkgragError(f"{type(error).__name__}: {error}"))
                self._failed, self.error = (digest, time.monotonic()), line
                log.warning("the ranker in service stays, because the new one fails: %s", line)
                self.tell(False)
                return False
            # One assignment: a request sees the old one or the new one.
            self.current = served
            self._failed, self.error = None, None
        log.info("a new ranker is in service: %s", served.digest)
        self.tell(True)
        return True
