"""Relations: their names, their node types, and the words for them.

An edge type is ``(source, relation, target)``. A relation that is read off the data points away from
the item (or user) that owns the value; its inverse has the prefix ``rev_``. Relations of a source have
its words. Well-known columns and triples have entries in :mod:`lkgrag.kg.vocabulary`. Everything else
follows the general rules of :func:`column_relation` and :func:`triple_relation`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category, normalize

from lkgrag.kg.base import REVERSE, Relation
from lkgrag.kg.reserved import NODES
from lkgrag.kg.safe_names import VALUE, given, shown
from lkgrag.kg.sources.resolver import is_symmetric, relation_sources
from lkgrag.kg.vocabulary import COLUMNS, TRIPLES, USER_COLUMNS, well_known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.typing import EdgeType

_PLURALS = {"people": "person", "children": "child", "series": "series", "species": "species"}
_PLURALS |= {"movies": "movie", "cookies": "cookie"}


def inverse(edge_type: EdgeType) -> EdgeType:
    """The edge type that points the other way; a symmetric relation is its own inverse."""
    source, relation, target = edge_type
    if is_symmetric(relation):
        return (target, relation, source)
    if relation.startswith(REVERSE):
        return (target, relation.removeprefix(REVERSE), source)
    return (target, REVERSE + relation, source)


def base_name(relation: str) -> str:
    """The relation's name without ``rev_``."""
    return relation.removeprefix(REVERSE)


def singular(word: str) -> str:
    """The singular of the last English word of a snake-case name, by rule of thumb."""
    head, _, last = word.rpartition("_")
    if last in _PLURALS:
        last = _PLURALS[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif re.search(r"(ss|sh|ch|x|zz|tz)es$", last):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and len(last) > 3:
        last = last[:-1]
    return f"{head}_{last}" if head else last


def snake(word: str) -> str:
    """A name in snake case: ``releaseYear`` and ``Release Year`` give ``release_year``.

    Letters, their marks and digits of any script stay. A name without any is numbered by its
    characters' codes, so that it differs from others: ``?`` gives ``value_3f``.
    """
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", normalize("NFC", word.strip()))
    kept = "".join(c if c.isalnum() or category(c).startswith("M") else "_" for c in word)
    codes = [f"{ord(c):x}" for c in word]
    return re.sub("_+", "_", kept).strip("_").lower() or "_".join(["value", *codes])


def column_relation(column: str, owner: str = "item") -> Relation:
    """The relation of an attribute column.

    Well-known columns have their own names; ``foo`` becomes ``(owner, has_foo, foo)``.
    """
    name = snake(column)
    entry = (COLUMNS if owner == "item" else USER_COLUMNS).get(name)
    return entry or _has(_free(singular(name.removeprefix("has_"))))


def triple_relation(relation: str, item_is_tail: bool) -> Relation:
    """The relation of the triples ``(head, relation, tail)``, from the item to the other end.

    Well-known relations have their own names. Otherwise the last part of a dotted name counts:
    ``music.recording.producers`` becomes ``(item, has_producer, producer)``. Where the item is the
    tail, the part before names the other end: ``music.producer.recordings`` becomes
    ``(item, has_producer, producer)`` too, and ``acted_in`` becomes ``(item, acted_in_by, acted_in_by)``.
    """
    if relation in TRIPLES:
        return TRIPLES[relation]
    parts = _parts(relation)
    last = parts[-1]
    if not item_is_tail:
        if last in COLUMNS:
            return COLUMNS[last]
        if is_verb(last):
            return Relation(last, _free(last), last.replace("_", " "))
        return _has(_free(singular(last.removeprefix("has_"))))
    if len(parts) > 1:
        return COLUMNS.get(parts[-2]) or _has(_free(singular(parts[-2])))
    return Relation(f"{last}_by", _free(f"{last}_by"), f"{last.replace('_', ' ')} by")


def qualified(relation: str) -> Relation:
    """A longer name for a relation whose short one is taken: ``film.film.genre`` is ``film_genre``."""
    parts = _parts(relation)
    if len(parts) == 1:
        parts = ["kg", *parts]
    return _has(singular("_".join(parts[-2:])))


def _parts(relation: str) -> list[str]:
    """The parts of a dotted name, at least one, in snake case."""
    return [snake(p) for p in re.split(r"[./#:]+", relation) if p.strip()] or [snake(relation)]


def _has(node: str) -> Relation:
    return Relation(f"has_{node}", node, f"has the {node.replace('_', ' ')}")


def _free(node: str) -> str:
    return f"{node}{VALUE}" if node in NODES else node


def relation_of(edge_type: EdgeType) -> Relation:
    """The words of an edge type's relation (of the forward direction), from its entry or by rule."""
    source, relation, target = edge_type
    backward = relation.startswith(REVERSE)
    name, node = base_name(relation), source if backward else target
    source_of = relation_sources().get(name)
    entry = well_known(name) if source_of is None else source_of.relation
    if entry is not None:
        return entry
    # Names that had to be changed are worded as the data gave them.
    name = given(name)
    words, noun = name.replace("_", " "), shown(name if node == "item" else node)
    if name.startswith("has_"):
        return Relation(name, node, f"has the {words.removeprefix('has ')}", noun=noun)
    if source == target == "item":
        # The short word says what the target is to the source: the other way it must be another.
        if is_verb(name):
            inverse_words = f"reached by '{words}' from"
            return Relation(name, node, words, inverse_words, short_inverse=f"reverse {words}")
        return Relation(name, node, f"has the {words}", short_inverse=f"has {words}")
    return Relation(name, node, words, noun=noun)


def is_verb(name: str) -> bool:
    """Whether a relation's name reads as a verb phrase, as ``composed_by`` and ``similar_to``."""
    return bool(re.search(r"_(by|in|of|from|to|at|on|for|with)$", name)) or name.startswith("is_")


def phrase(edge_type: EdgeType) -> str:
    """A verb phrase: ``(item, directed_by, director)`` is "directed by", its inverse "director of"."""
    relation = relation_of(edge_type)
    return relation.inverse if edge_type[1].startswith(REVERSE) else relation.phrase


def short(edge_type: EdgeType) -> str:
    """One or two words for compact prompts: next, before, fans, genre, director."""
    relation = relation_of(edge_type)
    return relation.short_inverse if edge_type[1].startswith(REVERSE) else relation.short


def shares_value(metapath: Sequence[EdgeType]) -> bool:
    """Whether the ends of a meta-path have one value in common: one relation, there and back."""
    if len(metapath) != 2 or metapath[0][2] == "item":
        return False
    return inverse(metapath[0]) == metapath[1]


def same_value(edge_type: EdgeType, name: str | None = None) -> str:
    """Words for a shared value: "shares director X with", or without a name, "has the same ... as"."""
    before, after, unnamed = same_value_words(edge_type)
    return f"{before} {name}{after}" if name else unnamed


def same_value_words(edge_type: EdgeType) -> tuple[str, str, str]:
    """The words of :func:`same_value` before the name and after it, and those without a name."""
    relation = relation_of(edge_type)
    if is_verb(given(relation.node)):
        # No noun is known: "composed by X, like", "composed by the same as".
        return relation.phrase, ", like", f"{relation.phrase} the same as"
    return f"shares {relation.noun}", " with", f"has the same {relation.noun} as"


def phrase_metapath(metapath: tuple[EdgeType, ...]) -> str:
    """A whole meta-path as a verb phrase: "has the same director as", "followed by"."""
    if shares_value(metapath):
        return same_value(metapath[0])
    return ", ".join(phrase(e) for e in metapath)


def short_metapath(metapath: tuple[EdgeType, ...]) -> str:
    """A whole meta-path in a few words: "next", "director"; longer ones joined by " of "."""
    if shares_value(metapath):
        return short(metapath[0])
    return " of ".join(dict.fromkeys(short(e) for e in metapath))
