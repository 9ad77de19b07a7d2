"""Beyond accuracy: coverage, popularity, personalization and diversity of the lists that users see.

The definitions are those of :mod:`torch_geometric.metrics` (``LinkPredCoverage`` and so on), computed here
in float64 and without comparing every pair of users.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.evaluation.list_figures import Items, describe_lists
from lkgrag.evaluation.popularity import of_histories, popularity_classes
from lkgrag.evaluation.resampling import Users
from lkgrag.kg.item_vectors import ItemVectors
from lkgrag.kg.reserved import NODES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

#: Items of a list that are looked at.
LENGTH = 10
#: Categories need a relation that covers this share of the items,
COVERED = 0.5
#: and this share of what the relation with the most items covers.
NEARLY = 0.9


def top_lists(
    scores: NDArray[np.floating], candidate_items: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """The best ``k`` candidates of each list, best first; equals keep their order.

    Args:
        scores: ``[B, C]``; NaN is worst.
        candidate_items: int64 ``[B, C]``, -1 padding.
        k: length of the lists.

    Returns:
        int64 ``[B, min(k, C)]``, -1 where a list is shorter.
    """
    empty = candidate_items < 0
    value = np.where(np.isnan(scores), -np.inf, scores)
    # Empty slots come last even among candidates of minus infinity.
    order = np.lexsort((-value, empty), axis=1)[:, :k]
    return np.take_along_axis(candidate_items, order, 1)


def lists_of(
    scores: Mapping[str, NDArray[np.floating]], candidate_items: NDArray[np.int64], k: int = LENGTH
) -> dict[str, NDArray[np.int64]]:
    """What each system puts first among the same candidates.

    Args:
        scores: by system, as ``retriever``, ``lm``, ``scorer`` and ``ranker``: float ``[E, C]``, whatever
            stands in padding.
        candidate_items: int64 ``[E, C]``, -1 padding.
        k: length of the lists.

    Returns:
        By system int64 ``[E, min(k, C)]``, as of :func:`top_lists`.

    Raises:
        ValueError: scores have another shape than the candidates.
    """
    for system, values in scores.items():
        if values.shape != candidate_items.shape:
            raise ValueError(
                f"scores of {system} must have shape {list(candidate_items.shape)}, got {list(values.shape)}"
            )
    return {system: top_lists(values, candidate_items, k) for system, values in scores.items()}


def beyond_accuracy(
    lists: NDArray[np.int64], popularity: NDArray[np.int64], category: NDArray[np.int64] | None
) -> dict[str, float]:
    """Coverage, average popularity, personalization and diversity of top-k lists.

    Lists shorter than ``k`` are left out of all four, since the figures are defined for ``k`` items. Time and
    memory grow with the number of lists, not with that of their pairs: an item in ``n`` lists is shared by
    ``n (n - 1) / 2`` pairs.

    Args:
        lists: int64 ``[B, k]``, items, -1 where a list is shorter; no item stands twice in a list.
        popularity: int64 ``[I]``, training interactions of each item.
        category: int64 ``[I]``, as of :func:`categories`; None leaves diversity out.

    Returns:
        ``coverage@k`` (share of all items that are in some list), ``popularity@k`` (mean over lists),
        ``personalization@k`` (mean share of a list's items that another list does not have, over all pairs
        of lists) and ``diversity@k`` (mean share of a list's pairs in different categories). NaN where no
        list, or no pair of lists, is there; coverage is then 0.
    """
    k = lists.shape[1]
    whole = lists[(lists >= 0).all(1)]
    number = len(whole)
    times = np.bincount(whole.ravel(), minlength=len(popularity))
    shared = float((times * (times - 1)).sum())
    out = {
        f"coverage@{k}": float((times > 0).mean()),
        f"popularity@{k}": _ratio(float(popularity[whole].sum()), whole.size),
        f"personalization@{k}": 1.0 - _ratio(shared, k * number * (number - 1)),
    }
    if category is not None and k > 1:
        kinds = category[whole]
        # Each pair of places once; all pairs of all lists at a time would take k times the memory.
        alike = sum(int((kinds[:, gap:] == kinds[:, :-gap]).sum()) for gap in range(1, k))
        out[f"diversity@{k}"] = 1.0 - _ratio(alike, number * (k * (k - 1) // 2))
    return out


def _ratio(part: float, whole: int) -> float:
    return part / whole if whole else float("nan")


@dataclass(frozen=True)
class Readers:
    """Whom lists are for, and how sure their figures shall be.

    Attributes:
        user: int64 ``[E]``.
        histories: ``E`` arrays of item indices, what each user chose before.
        resamples: of the users, at most :data:`~lkgrag.evaluation.resampling.MOST`.
        seed: of the draws.
    """

    user: NDArray[np.int64]
    histories: list[NDArray[np.int64]]
    resamples: int
    seed: int

    def __getitem__(self, index: NDArray[np.int64]) -> Readers:
        """Some of them."""
        histories = [self.histories[n] for n in index.tolist()]
        return Readers(self.user[index], histories, self.resamples, self.seed)


def beyond_of(
    lists: Mapping[str, NDArray[np.int64]],
    popularity: NDArray[np.int64],
    data: HeteroData,
    split: str = "test",
    readers: Readers | None = None,
) -> dict[str, Any]:
    """Figures beyond accuracy of several systems, as in ``metrics.json``.

    Events for which some system's list is shorter than ``k`` are left out.

    Args:
        lists: by system int64 ``[E, k]``, as of :func:`lists_of`, of the same events.
        popularity: int64 ``[I]``, training interactions of each item.
        data: the graph, which says what categories and attributes the items have.
        split: whose events these are.
        readers: of the events; without them there are no intervals, and no figures that compare with histories.

    Returns:
        ``split``; ``k``, the length of the lists; ``lists``, how many count; ``category``, the relation
        that diversity is of, None without one; ``distance``, what ``ild@k`` is of (``attributes`` or ``text``);
        ``systems``: ``{system: figures}``, as of :func:`beyond_accuracy` and :func:`~lkgrag.evaluation.list_figures.describe_lists`; and
        ``intervals``: ``{system: {figure: [low, high]}}``. Empty without a system or without a candidate.

    Raises:
        ValueError: the systems' lists differ in shape.
    """
    shapes = {items.shape for items in lists.values()}
    if len(shapes) > 1:
        raise ValueError(f"all lists must have one shape, got {sorted(map(list, shapes))}")
    k = next(iter(shapes))[1] if shapes else 0
    if not k:
        return {}
    relation = category_relation(data)
    category = None if relation is None else categories(data, relation)
    vectors = ItemVectors.of(data)
    whole = np.logical_and.reduce([(items >= 0).all(1) for items in lists.values()])
    out: dict[str, Any] = {
        "split": split,
        "k": k,
        "lists": int(whole.sum()),
        "category": relation,
        "distance": None if vectors is None else vectors.made_of,
        "systems": {
            system: beyond_accuracy(items[whole], popularity, category)
            for system, items in lists.items()
        },
        "intervals": {},
    }
    if readers is not None:
        items = Items(popularity, popularity_classes(popularity), category, vectors)
        chosen = readers[np.flatnonzero(whole)]
        users = Users.of(chosen.user, chosen.resamples, chosen.seed)
        times = users.draw() if users.number else np.zeros((0, 0))
        profile = of_histories(chosen.histories, items.popularity, items.classes)
        for system, shown in lists.items():
            found = describe_lists(shown[whole], items, users, times, profile)
            out["systems"][system] |= found[0]
            out["intervals"][system] = found[1]
    return out


def category_relation(data: HeteroData) -> str | None:
    """The relation from items to values that says best what kind of thing an item is.

    A relation comes into question if its values tell items apart (there are two at least), if it covers
    half of the items, and if it covers nine tenths of as many items as any other does. Of these it is the
    one with the fewest values, the first by name among equals: films have 19 genres, but 72 years.

    Args:
        data: the graph.

    Returns:
        Its name, as ``has_genre`` or ``has_category``; None where no relation comes into question.
    """
    sizes = {}
    for edge_type in data.edge_types:
        if edge_type[0] == "item" and edge_type[2] not in NODES:
            item, value = (np.unique(end) for end in data[edge_type].edge_index.cpu().numpy())
            sizes[edge_type[1]] = (len(item), len(value))
    telling = {name: size for name, size in sizes.items() if size[1] > 1}
    least = max(
        COVERED * int(data["item"].num_nodes),
        NEARLY * max((items for items, _ in telling.values()), default=0),
    )
    chosen = [(values, name) for name, (items, values) in telling.items() if items >= least]
    return min(chosen)[1] if chosen else None


def categories(data: HeteroData, relation: str) -> NDArray[np.int64]:
    """A category for each item: which set of values of a relation it has, int64 ``[I]``.

    Two items share a category if they have the same genres, say. Items without a value share none
    with any other.

    Raises:
        ValueError: the graph has no such relation from items to values.
    """
    edge_type = next((e for e in data.edge_types if e[0] == "item" and e[1] == relation), None)
    if edge_type is None:
        raise ValueError(f"no relation '{relation}' leads from items")
    item, value = data[edge_type].edge_index.cpu().numpy()
    sets: list[list[int]] = [[] for _ in range(int(data["item"].num_nodes))]
    for i, v in zip(item.tolist(), value.tolist(), strict=True):
        sets[i].append(v)
    # An item without a value is its own category, named by a number that no value has.
    keys = [tuple(sorted(s)) or (-1 - i,) for i, s in enumerate(sets)]
    number = {key: n for n, key in enumerate(dict.fromkeys(keys))}
    return np.asarray([number[key] for key in keys], np.int64)
