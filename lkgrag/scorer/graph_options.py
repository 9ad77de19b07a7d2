"""Options of the graph neural networks among the scorers, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

from lkgrag.errors import ConfigError, nearest


def check_count(name: str, value: object) -> None:
    """Refuse what is not a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_rate(name: str, value: object) -> None:
    """Refuse what is not a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a number in [0, 1), got {value!r}")


@dataclass(frozen=True)
class Options:
    """Base class of options that ``scorer.kwargs`` gives."""

    @classmethod
    def of(cls, owner: type, options: dict[str, Any]) -> Self:
        """The options of a scorer's class.

        Raises:
            ConfigError: there is no such option.
            ValueError: an option has a wrong type or is out of range.
        """
        names = [f.name for f in fields(cls)]
        for name in options:
            if name not in names:
                raise ConfigError(
                    f"scorer.kwargs: {owner.__name__} has no option '{name}'.{nearest(name, names)} "
                    f"(it has {', '.join(names)})"
                )
        return cls(**options)


@dataclass(frozen=True)
class NetworkOptions(Options):
    """Options of every network that gives nodes vectors.

    Attributes:
        hidden: width of the nodes' vectors.
        layers: number of layers, so how far messages go.
        dropout: rate for vectors of users and items, in training.
        neighbours: edges of each type that a node hears, the heaviest ones.
        counts: whether the default scorer, which reads counts, rates paths and candidates together with the vectors. It
            needs all meta-paths before the search.
        users: whether users hear and pass messages; relations between items hold much of what they know.

    Raises:
        ValueError: an option has a wrong type or is out of range; the message names it.
    """

    hidden: int = 32
    layers: int = 2
    dropout: float = 0.5
    neighbours: int = 10
    counts: bool = True
    users: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("hidden", "layers", "neighbours"):
            check_count(name, getattr(self, name))
        check_rate("dropout", self.dropout)
        for name in ("counts", "users"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
