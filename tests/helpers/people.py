"""A shop whose people are easy to find: ids and attributes that nothing else has."""

import numpy as np
import pandas as pd

from lkgrag import Interactions
from lkgrag.config import DataConfig
from lkgrag.testing import planted


def people(num_users=30, seed=5):
    """Interactions, and all texts that tell who somebody is."""
    x = planted(num_users=num_users, num_items=24, seed=seed)
    users = [f"person-{n:03}" for n in range(num_users)]
    events = pd.DataFrame(
        {
            "user": [users[u] for u in x.user],
            "item": [x.item_ids[i] for i in x.item],
            "rating": x.rating,
            "time": x.time + 1_500_000_000,
        }
    )
    # Somebody with too few interactions, who is dropped.
    events.loc[len(events)] = [
        "person-once",
        x.item_ids[0],
        3.0,
        float(np.max(x.time)) + 1_500_000_009,
    ]
    items = pd.DataFrame({"item": x.item_ids, "title": x.titles, "maker": list(x.items["maker"])})
    towns = [f"Town-{n:03}" for n in range(num_users)]
    who = pd.DataFrame({"user": users, "town": towns})
    interactions = Interactions.from_frames(
        events, items, users=who, config=DataConfig(min_user=2, min_item=1)
    )
    return interactions, {*users, *towns, "person-once"}


def options(root, **more):
    """Options of a run on them in seconds."""
    return {
        "data.name": "shop of people",
        "data.min_user": "2",
        "data.min_item": "1",
        "llm.name": "none",
        "retrieval.epochs": "1",
        "retrieval.k": "8",
        "retrieval.hidden": "16",
        "retrieval.crossfit_folds": "1",
        "scorer.pretrain_epochs": "1",
        "training.tracker": "none",
        "evaluation.bootstrap": "100",
        "cache.root": str(root / "cache"),
        "out": str(root / "out"),
        "threads": "1",
        **more,
    }
