"""What the service counts, as text of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

#: Seconds of requests, and rankings of a forward pass.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32)
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counts of one service.

    Args:
        waiting: tells how many rankings wait.
    """

    def __init__(self, waiting: Callable[[], int] = lambda: 0) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "lkgrag_requests",
            "Requests by path and status.",
            ["path", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "lkgrag_request_seconds",
            "Seconds from a request to its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "lkgrag_requests_in_flight",
            "Requests that are being answered.",
            registry=self._registry,
        )
        self.waiting = Gauge(
            "lkgrag_rankings_waiting", "Rankings that wait.", registry=self._registry
        )
        self.waiting.set_function(waiting)
        self.sizes = Histogram(
            "lkgrag_rankings_together",
            "Rankings that share a forward pass.",
            buckets=SIZES,
            registry=self._registry,
        )
        self.loads = Counter(
            "lkgrag_ranker_loads",
            "Rankers that were loaded, or could not be.",
            ["result"],
            registry=self._registry,
        )
        self.is_current = Gauge(
            "lkgrag_ranker_is_current",
            "1 if the ranker in service is the one in the run's folder, 0 if a newer one is broken.",
            registry=self._registry,
        )
        self.is_current.set(1)

    def text(self) -> bytes:
        """All counts as text."""
        return generate_latest(self._registry)
