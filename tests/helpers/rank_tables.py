"""Ranks of a few events, as the quality benchmark gathers them."""

import pandas as pd

#: Settings of the quality benchmark that these rows follow from.
SETTINGS = {
    "rows": {
        "lkgrag": {},
        "llamarec+fusion": {},
        "llamarec": {"of": "llamarec+fusion", "system": "lm"},
    }
}


def table_of(ranks, seeds=(0, 1)):
    """Ranks by row on the same events, two of them of one user."""
    frames = []
    for seed in seeds:
        for row, values in ranks.items():
            frames.append(
                pd.DataFrame(
                    {
                        "split": "test",
                        "user": ["a", "a", "b", "c"],
                        "position": [3, 4, 3, 3],
                        "candidates": 20,
                        "retrieved": [True, True, True, False],
                        "rank_retriever": [2, 2, 2, 25],
                        "rank_ranker": values,
                        "rank_lm": [20, 1, 20, 0],
                        "row": row,
                        "seed": seed,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
