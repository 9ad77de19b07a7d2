"""Triples of a knowledge graph, joined with the items."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.kg.base import Relation
from lkgrag.kg.naming import triple_relation
from lkgrag.kg.sources.columns import Links
from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A relation joins items if the vocabulary says so, or if at least this share of its triples joins two of
#: them; its other triples then lead to items outside the data and are left out. Of a relation with a
#: smaller share both kinds of edges are kept.
BETWEEN_ITEMS = 0.1

_IDENTIFIER = re.compile(r"(/?[mg][./][0-9a-z_]{2,}|[QP]\d+|https?://.*|<.*>|\d{5,}|\d{1,3})\Z")


@dataclass
class TripleReport:
    """What became of the triples.

    Attributes:
        merged: one sentence for each relation that is another one in the other direction.
        unlinked: number of triples that touch no item.
        outside: by relation, triples left out because they lead to items outside the data, or run
            against the direction of their relation.
    """

    merged: list[str] = field(default_factory=list)
    unlinked: int = 0
    outside: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Raw:
    """The distinct triples of one relation, as codes of (copies of) entities, sorted."""

    name: str
    head: NDArray[np.int64]
    tail: NDArray[np.int64]


def looks_like_id(name: str) -> bool:
    """Whether a name is an identifier: of Freebase or Wikidata, a URI, a number that is no year."""
    return bool(_IDENTIFIER.match(name))


def triple_links(triples: pd.DataFrame, links: pd.DataFrame) -> tuple[list[Links], TripleReport]:
    """Turn triples into links from items.

    Args:
        triples: columns ``head relation tail`` (str).
        links: columns ``item`` (index) and ``entity`` (str); several items may be one entity.

    Returns:
        The links, and what became of the triples.
    """
    report = TripleReport()
    if not len(triples):
        return [], report
    both = pd.concat([triples["head"], triples["tail"]], ignore_index=True)
    codes, entities = pd.factorize(both, sort=True)
    head, tail = codes[: len(triples)].astype(np.int64), codes[len(triples) :].astype(np.int64)
    item_of, copies = _items(entities, links)
    names = np.repeat(np.asarray(entities, dtype=object), copies)
    raw = []
    for name, rows in triples.groupby("relation", sort=True).indices.items():
        row, heads = _copied(head[rows], copies)
        again, tails = _copied(tail[rows][row], copies)
        pairs = distinct(heads[again] * len(names) + tails)
        ends = pairs // len(names), pairs % len(names)
        joined = (item_of[ends[0]] >= 0) | (item_of[ends[1]] >= 0)
        report.unlinked += int((~joined).sum())
        if joined.any():
            raw.append(_Raw(str(name), ends[0][joined], ends[1][joined]))
    out = []
    for relation in _merge(raw, item_of, report):
        out.extend(_links(relation, item_of, names, report))
    return out, report


def _items(entities: pd.Index, links: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The items of entities. An entity of several items is copied, so that each copy is one item.

    Args:
        entities: names, ``[E]``.
        links: columns ``item`` and ``entity``.

    Returns:
        The item of each copy, -1 for none, int64 ``[C]``, in the order of the entities; and how many
        copies each entity has, at least 1, int64 ``[E]``.
    """
    place = entities.get_indexer(pd.Index(links["entity"]))
    item = links["item"].to_numpy(np.int64)
    width = int(item.max(initial=0)) + 1
    pairs = distinct(place[place >= 0] * width + item[place >= 0])
    linked = np.bincount(pairs // width, minlength=len(entities))
    copies = np.maximum(linked, 1)
    item_of = np.full(copies.sum(), -1, np.int64)
    item_of[np.repeat(linked > 0, copies)] = pairs % width
    return item_of, copies


def _copied(
    codes: NDArray[np.int64], copies: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of an array of entities, each as often as its entity has copies, and those copies."""
    number = copies[codes]
    row = np.repeat(np.arange(len(codes)), number)
    first = (np.cumsum(copies) - copies)[codes] - (np.cumsum(number) - number)
    return row, first[row] + np.arange(len(row))


def _forward_share(raw: _Raw, item_of: NDArray[np.int64]) -> float:
    """Share of the triples with one item that have it as head."""
    head, tail = item_of[raw.head] >= 0, item_of[raw.tail] >= 0
    single = head != tail
    return float(head[single].mean()) if single.any() else 1.0


def _merge(raw: list[_Raw], item_of: NDArray[np.int64], report: TripleReport) -> list[_Raw]:
    """Keep a single relation of those with the same pairs, in either direction.

    The relation that leads away from the items stays; among equals the first by name.
    """
    ordered = sorted(raw, key=lambda r: (-round(_forward_share(r, item_of), 6), r.name))
    kept: list[_Raw] = []
    seen: dict[bytes, tuple[str, str]] = {}
    for relation in ordered:
        fingerprint = _fingerprint(relation.head, relation.tail)
        if fingerprint in seen:
            name, how = seen[fingerprint]
            report.merged.append(f"{relation.name} is {how} {name}")
            continue
        kept.append(relation)
        # The transpose first: for a symmetric relation both are the same bytes.
        seen[_fingerprint(relation.tail, relation.head)] = (relation.name, "the inverse of")
        seen[fingerprint] = (relation.name, "the same as")
    return sorted(kept, key=lambda r: r.name)


def _fingerprint(head: NDArray[np.int64], tail: NDArray[np.int64]) -> bytes:
    """A hash of the pairs that does not depend on their order."""
    key = head * (int(tail.max(initial=0)) + 1) + tail
    order = np.argsort(key, kind="stable")
    sha = blake2b(head[order].data)
    sha.update(tail[order].data)
    return sha.digest()


def _links(
    raw: _Raw, item_of: NDArray[np.int64], names: NDArray, report: TripleReport
) -> list[Links]:
    head, tail = item_of[raw.head], item_of[raw.tail]
    both = (head >= 0) & (tail >= 0)
    single = (head >= 0) != (tail >= 0)
    out = []
    relation = triple_relation(raw.name, item_is_tail=False)
    if both.any() or relation.node == "item":
        other = both & (head != tail)
        out.append(Links("item", as_item_relation(relation), head[other], tail[other], raw.name))
        if relation.node == "item" or both.mean() >= BETWEEN_ITEMS:
            _count(report, raw.name, int(single.sum()))
            return out
    if single.any():
        item_is_tail = _forward_share(raw, item_of) < 0.5
        end, value = (tail, raw.head) if item_is_tail else (head, raw.tail)
        keep = single & (end >= 0)
        _count(report, raw.name, int((single & ~keep).sum()))
        relation = triple_relation(raw.name, item_is_tail)
        ids = [looks_like_id(n) for n in names[np.unique(value[keep])]]
        named = sum(ids) <= len(ids) / 2
        value = value[keep]
        out.append(Links("item", relation, end[keep], names[value], raw.name, named))
    return out


def as_item_relation(relation: Relation) -> Relation:
    """The same relation with an item at the other end."""
    if relation.node == "item":
        return relation
    name = relation.node if relation.name.startswith("has_") else relation.name
    return Relation(name, "item", name.replace("_", " "))


def _count(report: TripleReport, name: str, number: int) -> None:
    if number:
        report.outside[name] = report.outside.get(name, 0) + number
