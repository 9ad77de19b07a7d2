"""What a request to the service may cost."""

from __future__ import annotations

from dataclasses import dataclass

from lkgrag.errors import ConfigError

#: Characters of an id, a title or a value, and of a request in words.
LONGEST_NAME, LONGEST_REQUEST = 4096, 2000
#: Attributes of a filter, and the values of all of them.
MOST_ATTRIBUTES, MOST_VALUES = 32, 1000
#: Items that a search gives at most, and characters of what is searched.
MOST_FOUND, LONGEST_SEARCH = 100, 500
#: Seconds after which a client that was refused for load may come again.
RETRY_AFTER = 1


@dataclass(frozen=True)
class ServiceLimits:
    """Limits of one service; the options ``limit.*`` of the command set them.

    Attributes:
        body: bytes of a request's body.
        history: items of a history.
        candidates: candidates, and items of an exclude list.
        k: items of a ranking.
        batch: rankings of one request.
        queue: requests that are answered at once, and rankings that wait.
        seconds: time of a request, from its first byte to its answer.
        together: rankings that share a forward pass.
    """

    body: int = 1_048_576
    history: int = 1000
    candidates: int = 10_000
    k: int = 100
    batch: int = 64
    queue: int = 256
    seconds: int = 30
    together: int = 8

    def __post_init__(self) -> None:
        """Check that one request can be answered at all.

        Raises:
            ConfigError: a batch is larger than the queue.
        """
        if self.batch > self.queue:
            raise ConfigError(
                f"limit.batch={self.batch}: no batch may be larger than limit.queue={self.queue}"
            )
