"""A retriever of someone else's, tried as soon as it is fitted: before anything rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.utils.failures import foreign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.retrieval.base import Retriever

#: How far scores of the same history may differ when they are computed again: a GPU adds in any order.
TOLERANCE = 1e-3


def try_out(
    retriever: Retriever, histories: Sequence[NDArray[np.int64]], num_items: int, label: str
) -> None:
    """Ask a fitted retriever for scores, and refuse such as nothing can be proposed by.

    Args:
        retriever: of someone else's.
        histories: of real users.
        num_items: ``I``.
        label: the option, for messages.

    Raises:
        ConfigError: its number of items or its scores' form is wrong, they are not finite, differ when
            asked again or with what else is asked, or it changes the histories.
    """
    name = type(retriever).__name__
    with foreign(lambda e: f"{label}: num_items of {name} fails ({type(e).__name__}: {e})"):
        size = int(retriever.num_items)
    if size != num_items:
        raise ConfigError(f"{label}: num_items of {name} must be {num_items}, got {size}")
    asked = [*histories, *few(num_items)]
    copies = [h.copy() for h in asked]

    def ask(method: str, which: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        with foreign(
            lambda e: (
                f"{label}: {method}() of {name} fails ({type(e).__name__}: {e}); --debug shows where"
            )
        ):
            return _checked(getattr(retriever, method)(which), len(which), num_items, method, label)

    for method in ("score", "evidence"):
        whole = ask(method, asked)
        if not all(np.array_equal(a, b) for a, b in zip(asked, copies, strict=True)):
            raise ConfigError(
                f"{label}: {method}() of {name} changes the histories; work on copies"
            )
        if not _alike(whole, ask(method, asked)):
            raise ConfigError(
                f"{label}: {method}() of {name} gives other scores when it is asked again; call eval() on "
                "networks, and draw random numbers in fit() only"
            )
        # Of a batch the longest history is not padded, and the empty one may be served apart.
        alone = np.concatenate([ask(method, [history]) for history in asked])
        if not _alike(whole, alone):
            raise ConfigError(
                f"{label}: {method}() of {name} gives a history other scores when it is asked alone; "
                "padding and other histories must not count"
            )


def few(num_items: int) -> list[NDArray[np.int64]]:
    """Histories that any retriever must bear: of one item, of one twice, of nothing."""
    last = num_items - 1
    return [np.array([last]), np.array([0, last, 0]), np.zeros(0, np.int64)]


def _checked(found: Any, rows: int, num_items: int, method: str, label: str) -> NDArray[np.float32]:
    """Scores as the contract has them."""
    if not isinstance(found, np.ndarray) or found.dtype != np.float32:
        kind = f"an array of {found.dtype}" if hasattr(found, "dtype") else type(found).__name__
        raise ConfigError(f"{label}: {method}() must return a NumPy array of float32, got {kind}")
    if found.shape != (rows, num_items):
        raise ConfigError(
            f"{label}: {method}() must have shape [{rows}, {num_items}], histories by items, got "
            f"{list(found.shape)}"
        )
    if not np.isfinite(found).all():
        raise ConfigError(
            f"{label}: {method}() gives a score that is NaN or infinite; seen items are masked by the program"
        )
    return found


def _alike(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    # Of scores that are all small, as probabilities are, a small difference is a large one.
    return bool(np.allclose(a, b, TOLERANCE, TOLERANCE * min(1.0, float(np.ptp(a)))))
