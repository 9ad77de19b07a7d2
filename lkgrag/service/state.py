"""What the parts of a service share."""

from __future__ import annotations

from dataclasses import dataclass, field

from lkgrag.service.engine import Engine, Preparer
from lkgrag.service.holder import Holder
from lkgrag.service.limits import ServiceLimits
from lkgrag.service.metrics import Metrics


@dataclass
class Service:
    """One service.

    Attributes:
        holder: of the ranker.
        limits: of requests.
        token: that clients must give; None for none.
        name: of the run, which the page shows.
        watch: seconds between two looks at the ranker's folder; 0 for none.
        is_stopping: whether new requests are refused.
    """

    holder: Holder
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    token: str | None = None
    name: str = ""
    watch: float = 0
    is_stopping: bool = False

    def __post_init__(self) -> None:
        """Start the thread that ranks."""
        self.metrics = Metrics(lambda: len(self.engine))
        self.engine = Engine(self.limits.together, self.limits.queue, self.metrics.sizes.observe)
        self.preparer = Preparer()
        self.holder.tell = self._tell_load

    def close(self) -> None:
        """End the thread that ranks."""
        self.engine.close()

    def _tell_load(self, is_loaded: bool) -> None:
        self.metrics.loads.labels("loaded" if is_loaded else "failed").inc()
        self.metrics.is_current.set(int(is_loaded))
