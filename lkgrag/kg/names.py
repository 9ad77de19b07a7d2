"""Names of nodes, in a container that PyG's loaders pass over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Names:
    """A read-only list of strings.

    PyG takes a ``list`` with a value for each node for a node attribute, and fails to slice it when it
    samples (``NeighborLoader``, ``subgraph``). Other objects it leaves alone. Names of a sampled
    batch are ``[data[t].name[i] for i in batch[t].n_id.tolist()]``.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = list(values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: int) -> str:
        return self._values[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __contains__(self, value: object) -> bool:
        return value in self._values

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Names):
            return self._values == other._values
        return isinstance(other, list | tuple) and self._values == list(other)

    __hash__ = None  # type: ignore[assignment]

    def index(self, value: str) -> int:
        """The first node of this name.

        Raises:
            ValueError: no node has it.
        """
        return self._values.index(value)

    def tolist(self) -> list[str]:
        """A copy as a list."""
        return list(self._values)

    def __repr__(self) -> str:
        return (
            f"Names({len(self)}: {', '.join(self._values[:3])}{', ...' if len(self) > 3 else ''})"
        )
