"""What people who interact are called: viewers of films, buyers of things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch_geometric.typing import EdgeType


@dataclass(frozen=True)
class Audience:
    """What people who interact are called, and what they do: "12 viewers", "seen".

    Attributes:
        one: the singular, "viewer".
        many: the plural, "viewers".
        did: the participle, "seen".
    """

    one: str
    many: str
    did: str

    def count(self, number: int) -> str:
        """A number of them: "1 viewer", "12 viewers"."""
        return f"{number} {self.one if number == 1 else self.many}"


USERS = Audience("user", "users", "chosen")
#: Relations that give the kind of item away.
AUDIENCES = {
    Audience("viewer", "viewers", "seen"): {"directed_by", "starring", "shot_by"},
    Audience("buyer", "buyers", "bought"): {"has_brand", "also_bought", "bought_together"},
    Audience("listener", "listeners", "heard"): {"has_artist", "has_album", "has_singer"},
    Audience("reader", "readers", "read"): {"has_author", "has_publisher", "written_by"},
}


def audience_of(edge_types: Iterable[EdgeType]) -> Audience:
    """Who interacts with the items, as far as the relations tell; "users" otherwise."""
    relations = {relation for _, relation, _ in edge_types}
    for audience, telling in AUDIENCES.items():
        if relations & telling:
            return audience
    return USERS
