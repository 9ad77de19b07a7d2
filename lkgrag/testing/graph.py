"""Small data sets: one for computing by hand, and one in which a known relation decides the next item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data.interactions import Interactions
from lkgrag.data.splits import make_split
from lkgrag.kg import build_kg

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

#: The films: title, year, genres, director, actors.
TOY_ITEMS = [
    ("Alien (1979)", "1979", ["Horror", "Sci-Fi"], "Ridley Scott", ["Sigourney Weaver"]),
    ("Aliens (1986)", "1986", ["Action", "Sci-Fi"], "James Cameron", ["Sigourney Weaver"]),
    ("Blade Runner (1982)", "1982", ["Sci-Fi"], "Ridley Scott", ["Harrison Ford"]),
    ("Star Wars (1977)", "1977", ["Action", "Sci-Fi"], "George Lucas", ["Harrison Ford"]),
    ("The Terminator (1984)", "1984", ["Action", "Sci-Fi"], "James Cameron", ["Linda Hamilton"]),
    ("Thelma & Louise (1991)", "1991", ["Drama"], "Ridley Scott", ["Geena Davis", "Brad Pitt"]),
    ("Seven (1995)", "1995", ["Thriller"], "David Fincher", ["Brad Pitt"]),
    ("The Fly (1986)", "1986", ["Horror"], "David Cronenberg", ["Geena Davis"]),
    ("Witness (1985)", "1985", ["Thriller"], "Peter Weir", ["Harrison Ford"]),
    ("Fargo (1996)", "1996", [], "Joel Coen", []),
]
#: The films of each user in time order, as indices into :data:`TOY_ITEMS`.
TOY_SEQUENCES = [
    [3, 0, 1, 4, 2],
    [3, 0, 1, 2, 8],
    [0, 1, 4, 3, 7],
    [5, 6, 7, 0, 1],
    [6, 5, 8, 9, 3],
    [3, 0, 2, 8, 5],
    [9, 6, 3, 0, 4],
    [7, 0, 1, 4, 6],
]


def toy_interactions() -> Interactions:
    """Make a small data set: eight users with five films each, of ten films with attributes.

    Directors, actors and one sequel are triples; years and genres are columns. The film with index ``i`` is
    ``TOY_ITEMS[i]``. User ``u`` gave the film at place ``p`` the rating ``1 + (u + p) % 5`` at time
    ``100 * p + u``. So all times differ, and the users' times interleave.
    """
    events = [
        (f"u{user}", str(item), 1 + (user + place) % 5, 100 * place + user)
        for user, sequence in enumerate(TOY_SEQUENCES)
        for place, item in enumerate(sequence)
    ]
    triples = [("0", "sequel", "1")]
    for item, (_, _, _, director, actors) in enumerate(TOY_ITEMS):
        triples.append((str(item), "directed_by", director))
        triples += [(str(item), "starring", actor) for actor in actors]
    return Interactions.from_frames(
        pd.DataFrame(events, columns=["user", "item", "rating", "time"]),
        items=pd.DataFrame(
            {
                "item": [str(i) for i in range(len(TOY_ITEMS))],
                "title": [t[0] for t in TOY_ITEMS],
                "year": [[t[1]] for t in TOY_ITEMS],
                "genre": [t[2] for t in TOY_ITEMS],
            }
        ),
        triples=pd.DataFrame(triples, columns=["head", "relation", "tail"]),
        users=pd.DataFrame(
            {
                "user": [f"u{u}" for u in range(len(TOY_SEQUENCES))],
                "occupation": [["student", "artist"][u % 2] for u in range(len(TOY_SEQUENCES))],
            }
        ),
        config=DataConfig(min_user=1, min_item=1),
    )


def toy_kg(config: KGConfig | None = None) -> HeteroData:
    """Build the graph of :func:`toy_interactions`, without each user's last two films in its training part."""
    interactions = toy_interactions()
    split = make_split(interactions, DataConfig())
    return build_kg(interactions, split.train_end, config or KGConfig(behaviour_min=1))


def planted(num_users: int = 200, num_items: int = 80, seed: int = 0) -> Interactions:
    """Make sequences in which one relation of the items decides the next item.

    Every item has two makers of four items each. Each item of a sequence shares a maker with the item before
    it. So a path over ``maker`` leads from the latest history item to every target. With 80 items, about one
    random item in thirteen also has such a path. The columns ``colour`` and ``size`` are noise. Behaviour
    follows from the makers; with ``KGConfig(behaviour=False)`` the makers are the only evidence.

    Args:
        num_users: number of users, with 6 to 12 interactions each.
        num_items: number of items, at least 8; items without interactions are dropped.
        seed: of every random draw.

    Raises:
        ValueError: there are too few items.
    """
    if num_items < 8:
        raise ValueError(f"num_items must be at least 8, got {num_items}")
    rng = np.random.default_rng([seed, 0x9A])
    num_makers = num_items // 2
    makers = np.stack([rng.permutation(num_items) % num_makers for _ in range(2)], 1)
    shares = (makers[:, None, :, None] == makers[None, :, None, :]).any((2, 3))
    events = []
    for user in range(num_users):
        sequence = _walk(shares, int(rng.integers(6, 13)), rng)
        events += [
            (f"u{user}", f"i{item}", int(rng.integers(1, 6)), 1000 * place + user)
            for place, item in enumerate(sequence)
        ]
    return Interactions.from_frames(
        pd.DataFrame(events, columns=["user", "item", "rating", "time"]),
        items=pd.DataFrame(
            {
                "item": [f"i{i}" for i in range(num_items)],
                "title": [f"Thing {i}" for i in range(num_items)],
                "maker": [[f"Maker {m}" for m in pair] for pair in makers],
                "colour": [[f"colour {c}"] for c in rng.integers(0, 6, num_items)],
                "size": [[f"size {s}"] for s in rng.integers(0, 4, num_items)],
            }
        ),
        config=DataConfig(min_user=1, min_item=1),
    )


def _walk(shares: np.ndarray, length: int, rng: np.random.Generator) -> list[int]:
    """Draw at least six distinct items, each of which shares a maker with the item before it."""
    for _ in range(100):
        walk = [int(rng.integers(len(shares)))]
        while len(walk) < length:
            options = np.setdiff1d(np.flatnonzero(shares[walk[-1]]), walk)
            if not len(options):
                break
            walk.append(int(rng.choice(options)))
        if len(walk) >= 6:
            return walk
    raise ValueError("num_items is too small for sequences of six items")
