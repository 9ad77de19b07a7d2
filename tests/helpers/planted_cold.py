"""New items on planted data: texts that tell what users choose."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.language.cold import Cold
from benchmarks.language.deletion import World
from lkgrag.config.loading import load_config
from lkgrag.data import Interactions
from lkgrag.data.splits import make_split

KINDS, EACH = 8, 25


def planted_cold(folder: Path) -> Cold:
    """Users choose items of one kind, which two words of the title name."""
    rng = np.random.default_rng(0)
    kind = np.arange(KINDS * EACH) % KINDS
    events = []
    for user in range(300):
        chosen = rng.permutation(np.flatnonzero(kind == user % KINDS))[:8]
        events += [(f"u{user}", f"i{item}", time) for time, item in enumerate(chosen)]
    items = pd.DataFrame(
        {
            "item": [f"i{n}" for n in range(len(kind))],
            "title": [f"word{k} more{k} serial{n}" for n, k in enumerate(kind)],
            "brand": [f"brand{k}" for k in kind],
        }
    )
    frame = pd.DataFrame(events, columns=["user", "item", "time"])
    config = load_config(
        {"data.min_user": "1", "data.min_item": "1", "scorer.pretrain_epochs": "2"}
    )
    whole = Interactions.from_frames(frame, items, config=config.data)
    world = World.draw(whole, make_split(whole, config.data), 0)
    encoded = np.eye(KINDS, dtype=np.float32)[[int(t[4]) for t in whole.items["title"]]]
    noise = 0.1 * rng.standard_normal(encoded.shape).astype(np.float32)
    return Cold(world, config, encoded + noise, folder)
