"""The fixed words of the published prompts, and the names of titles, relations and values in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lkgrag.kg.naming import REVERSE
from lkgrag.prompt.titles import clean_title

if TYPE_CHECKING:
    from torch_geometric.typing import EdgeType

INSTRUCTION = (
    "Given user history in chronological order, recommend an item from the candidate pool with its "
    "index letter."
)
INSTRUCTION_RELATIONS = (
    "Given user history in chronological order and the relations, recommend an item from the candidate "
    "pool with its index letter."
)
ANSWER = "### Response:\n"
#: Between the lines of a list, and what opens the lists behind the first.
JOINT, RELATIONS, POOL = " \n", " \n Relations:", " \n Candidate pool:"
#: What closes a list, and a sentence about a history item.
STOP, POINT = ";", "."
#: Published names of relations and of their inverses.
NAMES = {
    "has_genre": ("GENRE_IS", "GENRE_INCLUDES"),
    "released_in": ("RELEASED_YEAR_IS", "YEAR_INCLUDES"),
    "directed_by": ("DIRECTED_BY", "IS_THE_DIRECTOR_OF"),
    "starring": ("HAS_ACTOR", "ACTED_IN"),
    "has_brand": ("BRAND_IS", "BRAND_INCLUDES"),
    "has_category": ("CATEGORY_IS", "CATEGORY_INCLUDES"),
}
#: Longest name of a node that is no item, in characters.
MAX_NAME = 120

_ARTICLE = re.compile(r"^(.*), (a|an|the)( \(\d{4}\))?$", re.IGNORECASE)


def relation_name(edge_type: EdgeType) -> str:
    """The published name of a relation, or one made like it: ``WRITTEN_BY``, ``WRITTEN_BY_OF``."""
    relation = edge_type[1]
    name = relation.removeprefix(REVERSE)
    names = NAMES.get(name, (name.upper(), f"{name.upper()}_OF"))
    return names[relation.startswith(REVERSE)]


def published_title(title: str) -> str:
    """A title as the published prompts have it: article in front, nothing behind the first comma."""
    match = _ARTICLE.match(title.strip())
    if match:
        title = f"{match[2]} {match[1]}{match[3] or ''}"
    return title.split(",")[0].strip() or title


def value_name(name: str, node_type: str) -> str:
    """The name of a node that is no item, each part cleaned; a combination's parts stand between ``|``.

    Args:
        name: of the node.
        node_type: stands for a part of which nothing is left.
    """
    return "|".join(clean_title(part, fallback=node_type) for part in name.split("|"))[:MAX_NAME]
