"""A small shop of films with genres and years, which the pages of the docs talk of."""

import numpy as np
import pandas as pd


def write_shop(root, users, items, start):
    """A RecBole folder: interactions after a time, and items with genres and years."""
    rng = np.random.default_rng(start)
    rows = []
    for user in users:
        for step, item in enumerate(rng.choice(len(items), 6, replace=False).tolist()):
            rows.append((user, items[item], 1e9 + start + 60 * step))
    columns = ["user_id:token", "item_id:token", "timestamp:float"]
    root.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=columns).to_csv(root / "shop.inter", sep="\t", index=False)
    table = pd.DataFrame(
        {
            "item_id:token": items,
            "title:token_seq": [f"Film {item}" for item in items],
            "genre:token_seq": [("Drama", "Comedy")[n % 2] for n in range(len(items))],
            "year:token": [str(1993 + n % 3) for n in range(len(items))],
        }
    )
    table.to_csv(root / "shop.item", sep="\t", index=False)
