"""The contracts of the graph: what a relation is called, what its edges hold, and what makes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

import numpy as np
from torch_geometric.typing import EdgeType

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.kg.audience import Audience

#: Prefix of the relation that points the other way.
REVERSE = "rev_"
#: A kind of path: its edge types from the first node to the last.
MetaPath: TypeAlias = tuple[EdgeType, ...]


class PathInstances(Protocol):
    """What :class:`~lkgrag.kg.PathWords` reads of a batch of paths; a ``PathBatch`` has it."""

    @property
    def metapaths(self) -> list[MetaPath]:
        """The meta-paths that :attr:`metapath` indexes."""

    @property
    def metapath(self) -> Tensor:
        """Int64 ``[P]``, index into :attr:`metapaths`."""

    @property
    def nodes(self) -> Tensor:
        """Int64 ``[P, L]``, node indices along each path; -1 pads on the right."""

    def __len__(self) -> int:
        """Number of paths, ``P``."""


@dataclass(frozen=True)
class Relation:
    """A relation and its words.

    Attributes:
        name: of the edge type, pointing away from the item or user.
        node: node type of the other end; ``item`` for relations between items.
        phrase: verb phrase from the source to the target, "directed by".
        inverse: verb phrase the other way, "director of"; made from ``noun`` if empty.
        noun: what the other end is called, "production company"; made from ``node`` if empty.
        short: one or two words for compact prompts; ``noun`` if empty.
        short_inverse: likewise for the inverse; ``short`` if empty.
    """

    name: str
    node: str
    phrase: str
    inverse: str = ""
    noun: str = ""
    short: str = ""
    short_inverse: str = ""

    def __post_init__(self) -> None:
        """Fill the words that follow from others."""
        fill = object.__setattr__
        words = self.name.replace("_", " ") if self.node == "item" else self.node.replace("_", " ")
        fill(self, "noun", self.noun or words)
        fill(self, "inverse", self.inverse or f"{self.noun} of")
        fill(self, "short", self.short or self.noun)
        fill(self, "short_inverse", self.short_inverse or self.short)


@dataclass(frozen=True)
class Training:
    """What a relation source sees: training interactions, sorted by user, then position, and titles.

    The arrays are read-only, because all sources share them.

    Attributes:
        user: int64 ``[N]``.
        item: int64 ``[N]``.
        position: int64 ``[N]``, within the user's sequence.
        time: float64 ``[N]``, NaN where unknown.
        rating: float32 ``[N]``, NaN where unknown.
        titles: of all items, ``[num_items]``; None or blank where unknown.
        num_users: number of users, also of those without training interactions.
    """

    user: NDArray[np.int64]
    item: NDArray[np.int64]
    position: NDArray[np.int64]
    time: NDArray[np.float64]
    rating: NDArray[np.float32]
    titles: tuple[str | None, ...]
    num_users: int

    @property
    def num_items(self) -> int:
        """Number of items, also of those that nobody has chosen."""
        return len(self.titles)

    @classmethod
    def of(cls, interactions: Interactions, train_end: NDArray[np.int64]) -> Training:
        """Keep the first ``train_end[user]`` interactions of each user.

        Raises:
            ValueError: ``train_end`` has another shape or exceeds a sequence.
        """
        train_end = np.asarray(train_end, np.int64)
        count = np.diff(interactions.indptr)
        if train_end.shape != (interactions.num_users,):
            raise ValueError(
                f"train_end must have shape [{interactions.num_users}], one value a user, "
                f"got {list(train_end.shape)}"
            )
        if (train_end < 0).any() or (train_end > count).any():
            raise ValueError("train_end must lie between 0 and the length of the user's sequence")
        user, position = interactions.user, interactions.position
        keep = position < train_end[user]
        training = cls(
            user=user[keep],
            item=interactions.item[keep],
            position=position[keep],
            time=interactions.time[keep],
            rating=interactions.rating[keep],
            titles=tuple(interactions.items["title"].tolist()),
            num_users=interactions.num_users,
        )
        for name in ("user", "item", "position", "time", "rating"):
            getattr(training, name).setflags(write=False)
        return training


@dataclass(frozen=True)
class Edges:
    """The edges of one relation. An attribute of None is not stored in the graph.

    Attributes:
        index: int64 ``[2, E]``, source and target.
        weight: float32 ``[E]`` in (0, 1]; every relation between items needs it.
        count: int64 ``[E]``, number of users behind the edge.
        rating: float32 ``[E]``, NaN where unknown.
        time: float64 ``[E]``, when the edge came to stand; NaN where unknown.

    Raises:
        ValueError: an array has another shape or dtype.
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float32] | None = None
    count: NDArray[np.int64] | None = None
    rating: NDArray[np.float32] | None = None
    time: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Check shapes and dtypes once, so that no one else has to."""
        if self.index.ndim != 2 or len(self.index) != 2 or self.index.dtype != np.int64:
            raise ValueError(
                f"index must be int64 of shape [2, E], got {self.index.dtype} "
                f"of shape {list(self.index.shape)}"
            )
        kinds = {"weight": np.float32, "count": np.int64, "rating": np.float32, "time": np.float64}
        for name, kind in kinds.items():
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != (len(self),) or values.dtype != kind:
                raise ValueError(
                    f"{name} must be {np.dtype(kind)} of shape [{len(self)}], got {values.dtype} "
                    f"of shape {list(values.shape)}"
                )

    def __len__(self) -> int:
        """Number of edges."""
        return self.index.shape[1]

    @classmethod
    def both_ways(
        cls,
        low: NDArray[np.int64],
        high: NDArray[np.int64],
        weight: NDArray[np.float32],
        count: NDArray[np.int64] | None = None,
        time: NDArray[np.float64] | None = None,
    ) -> Edges:
        """The edges of a symmetric relation, each pair in both directions.

        Args:
            low: int64 ``[K]``, one end of each pair.
            high: int64 ``[K]``, the other end.
            weight: float32 ``[K]``.
            count: int64 ``[K]``, or None.
            time: float64 ``[K]``, or None.

        Returns:
            ``2 K`` edges, sorted by source, then target.
        """
        index = np.stack([np.concatenate([low, high]), np.concatenate([high, low])])
        order = np.lexsort((index[1], index[0]))
        twice = {"weight": weight, "count": count, "time": time}
        attributes = {k: np.concatenate([v, v])[order] for k, v in twice.items() if v is not None}
        return cls(index[:, order], **attributes)

    @property
    def attributes(self) -> dict[str, NDArray]:
        """The attributes that the graph stores, in its order and dtypes."""
        count = None if self.count is None else self.count.astype(np.float32)
        stored = {"weight": self.weight, "count": count, "rating": self.rating, "time": self.time}
        return {name: values for name, values in stored.items() if values is not None}


class RelationSource(ABC):
    """Makes the edges of one relation, between items or from users to items.

    A source is a class without arguments and without state: what it gives depends on the arguments of
    its methods alone.

    Attributes:
        relation: name and words; ``node`` is ``item``.
        owner: node type of the edges' source, ``item`` or ``user``.
        made_of: what the edges are made of. Of ``interactions``: they are counted on training
            interactions, the relation is there even without an edge, and the checks count it again.
            Of ``titles``: of the items' titles alone. ``elsewhere``: of anything else, which the
            audit judges as it judges the relations of files.
        symmetric: whether each edge comes in both directions; then the relation is its own inverse.
            Otherwise the graph gets the inverse ``rev_``.
    """

    relation: ClassVar[Relation]
    owner: ClassVar[Literal["item", "user"]] = "item"
    made_of: ClassVar[Literal["interactions", "titles", "elsewhere"]] = "interactions"
    symmetric: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The relation's name."""
        return self.relation.name

    @property
    def edge_type(self) -> EdgeType:
        """The edge type of the forward direction."""
        return (self.owner, self.name, "item")

    def is_enabled(self, config: KGConfig) -> bool:
        """Whether the options ask for it; by default ``kg.behaviour`` decides for interactions."""
        return config.behaviour or self.made_of != "interactions"

    @abstractmethod
    def edges(self, training: Training, config: KGConfig) -> Edges:
        """Make the edges.

        No pair of items comes twice, and no item is joined with itself. With ``kg.temporal`` a
        source that is made of interactions gives ``time``, the time of the last interaction that
        an edge rests on.
        """

    def sentence(
        self, audience: Audience, count: int | None, other: str, *, backward: bool
    ) -> str | None:
        """Word an edge as a reason for its target: "seen next by 12 viewers of Star Wars (1977)".

        Args:
            audience: what the users are called.
            count: number of users behind the edge, None where the graph has no counts.
            other: name of the edge's source.
            backward: whether the edge is one of the inverse relation.

        Returns:
            The words, or None for the phrase of :attr:`relation` and the name.
        """
        return None

    def recount(
        self, sequences: Sequence[Sequence[int]], pairs: Iterable[tuple[int, int]], config: KGConfig
    ) -> Mapping[tuple[int, int], int] | None:
        """Count again, by plainer means than :meth:`edges`, how often training gives each pair.

        Args:
            sequences: the training items of each user, oldest first.
            pairs: source and target of the edges to count.
            config: that the graph was built with.

        Returns:
            Number of users (where edges have no ``count``: of edges) by pair; 0 where a pair is
            missing. None: the checks call :meth:`edges` again.
        """
        return None
