"""A trial of a fitted retriever: whether it keeps the contract, before anything depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.utils.failures import guard_custom_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.retrieval.base import Retriever

#: How far scores of the same history may differ when computed again: a GPU adds in any order.
TOLERANCE = 1e-3


def try_out(
    retriever: Retriever, histories: Sequence[NDArray[np.int64]], num_items: int, label: str
) -> None:
    """Ask a fitted retriever for scores, and refuse it where they break the contract.

    Args:
        retriever: fitted.
        histories: of real users.
        num_items: ``I``.
        label: the option, for messages.

    Raises:
        ConfigError: its number of items is wrong, or it changes the histories; or its scores have a wrong form,
            are not finite, or differ when asked again or alone.
    """
    name = type(retriever).__name__
    with guard_custom_code(
        lambda e: f"{label}: num_items of {name} fails ({type(e).__name__}: {e})"
    ):
        size = int(retriever.num_items)
    if size != num_items:
        raise ConfigError(f"{label}: num_items of {name} must be {num_items}, got {size}")
    asked = [*histories, *odd_histories(num_items)]
    copies = [h.copy() for h in asked]

    def ask(method: str, which: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        with guard_custom_code(
            lambda e: (
                f"{label}: {method}() of {name} fails ({type(e).__name__}: {e}); --debug shows where"
            )
        ):
            scores = getattr(retriever, method)(which)
            return _checked(scores, (len(which), num_items), f"{label}: {method}()")

    for method in ("score", "evidence"):
        whole = ask(method, asked)
        if not all(np.array_equal(a, b) for a, b in zip(asked, copies, strict=True)):
            raise ConfigError(
                f"{label}: {method}() of {name} changes the histories; work on copies"
            )
        if not _are_close(whole, ask(method, asked)):
            raise ConfigError(
                f"{label}: {method}() of {name} gives other scores when it is asked again; call eval() on "
                "networks, and draw random numbers in fit() only"
            )
        # The longest history of a batch has no padding, and a retriever may treat the empty one apart.
        alone = np.concatenate([ask(method, [history]) for history in asked])
        if not _are_close(whole, alone):
            raise ConfigError(
                f"{label}: {method}() of {name} gives a history other scores when it is asked alone; "
                "padding and other histories must not count"
            )


def odd_histories(num_items: int) -> list[NDArray[np.int64]]:
    """Histories that any retriever must accept: one item, an item twice, and none."""
    last = num_items - 1
    return [np.array([last]), np.array([0, last, 0]), np.zeros(0, np.int64)]


def _checked(scores: object, shape: tuple[int, int], label: str) -> NDArray[np.float32]:
    """Scores as the contract has them.

    Raises:
        ConfigError: they are not float32 of the shape, or not finite.
    """
    if not isinstance(scores, np.ndarray) or scores.dtype != np.float32:
        kind = f"an array of {scores.dtype}" if hasattr(scores, "dtype") else type(scores).__name__
        raise ConfigError(f"{label} must return a NumPy array of float32, got {kind}")
    if scores.shape != shape:
        raise ConfigError(
            f"{label} must have shape {list(shape)}, histories by items, got {list(scores.shape)}"
        )
    if not np.isfinite(scores).all():
        raise ConfigError(
            f"{label} gives a score that is NaN or infinite; seen items are masked by the program"
        )
    return scores


def _are_close(a: NDArray[np.float32], b: NDArray[np.float32]) -> bool:
    # Where all scores are small, as probabilities are, a small difference is a large one.
    return bool(np.allclose(a, b, TOLERANCE, TOLERANCE * min(1.0, float(np.ptp(a)))))
