"""What a report needs of a run: tables written while it is judged, and read back from its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.io import read_json, read_parquet
from lkgrag.recommendation import Recommendation

if TYPE_CHECKING:
    from lkgrag.data import Interactions, Queries
    from lkgrag.paths.batch import MetaPath
    from lkgrag.predict import Predictions

#: One row a prompt: who, tokens, length of the history, attributes of the user (``user_<name>``).
PROMPTS = "prompts.parquet"
#: One row a prompt and meta-path that got attention: its share.
SALIENCE = "salience.parquet"


def prompt_tables(
    interactions: Interactions,
    metapaths: list[MetaPath],
    queries: dict[str, Queries],
    scored: dict[str, Predictions],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables :data:`PROMPTS` and :data:`SALIENCE` of the judged prompts.

    Args:
        interactions: whose users the prompts are for.
        metapaths: that the shares are of.
        queries: by split.
        scored: likewise.
    """
    from lkgrag.kg.schema import short_metapath

    names = np.asarray([short_metapath(m) for m in metapaths], object)
    ids = np.asarray(interactions.user_ids, object)
    prompts, salience = [], []
    for split, q in queries.items():
        history = (q.history_items >= 0).sum(1)
        table = {
            "user": ids[q.user],
            "split": split,
            "history": history,
            "tokens": scored[split].tokens,
        }
        for column in interactions.users.columns.difference(["user"]):
            values = interactions.users[column].to_numpy()[q.user]
            table[f"user_{column}"] = [_first(v) for v in values]
        prompts.append(pd.DataFrame(table))
        row, kind = np.nonzero(scored[split].shares)
        salience.append(
            pd.DataFrame(
                {
                    "prompt": row,
                    "split": split,
                    "metapath": names[kind],
                    "share": scored[split].shares[row, kind],
                }
            )
        )
    return pd.concat(prompts, ignore_index=True), pd.concat(salience, ignore_index=True)


def _first(value: Any) -> str | None:
    if isinstance(value, list | tuple | np.ndarray):
        return str(value[0]) if len(value) else None
    return None if pd.isna(value) else str(value)


@dataclass(frozen=True)
class RunData:
    """A run's folder, read.

    Attributes:
        name: of the folder.
        metrics: ``metrics.json``, or what is going to be it.
        ranks: one row an event.
        curves: by name, one row a step or epoch.
        explained: rankings of a few users.
        prompts: :data:`PROMPTS`, None where an older version did not write it.
        salience: :data:`SALIENCE`, likewise.
    """

    name: str
    metrics: dict[str, Any]
    ranks: pd.DataFrame
    curves: dict[str, list[dict[str, float]]]
    explained: list[Recommendation] = field(default_factory=list)
    prompts: pd.DataFrame | None = None
    salience: pd.DataFrame | None = None


def read_run(folder: Path, metrics: dict[str, Any] | None = None) -> RunData:
    """Read what a report needs.

    Args:
        folder: of a run.
        metrics: where ``metrics.json`` is not yet written.

    Raises:
        LkgragError: a file is missing or broken.
    """
    from lkgrag.records import CURVE, EXPLANATIONS, RANKS
    from lkgrag.rundir import METRICS

    def table(name: str) -> pd.DataFrame | None:
        return read_parquet(folder / name) if (folder / name).exists() else None

    return RunData(
        name=folder.name,
        metrics=read_json(folder / METRICS) if metrics is None else metrics,
        ranks=read_parquet(folder / RANKS),
        curves=read_json(folder / CURVE),
        explained=[Recommendation.from_dict(v) for v in read_json(folder / EXPLANATIONS)],
        prompts=table(PROMPTS),
        salience=table(SALIENCE),
    )


def groups(prompts: pd.DataFrame) -> pd.DataFrame:
    """Groups of users: by length of the history, and by each attribute with few values.

    Args:
        prompts: :data:`PROMPTS`.

    Returns:
        Bool, one row a prompt, one column a group, in the order of a figure.
    """
    out: dict[str, Any] = {"all": np.ones(len(prompts), bool)}
    history = prompts["history"].to_numpy()
    edges: Any = np.unique(np.quantile(history, [0, 1 / 3, 2 / 3, 1])) if len(history) else []
    for low, high in pairwise(edges):
        last = high == edges[-1]
        inside = (history >= low) & ((history <= high) if last else (history < high))
        top = int(high) if last else int(np.ceil(high)) - 1
        name = f"history {int(np.ceil(low))}" + (f"–{top}" if top > np.ceil(low) else "")
        out[name] = inside
    for column in [c for c in prompts.columns if c.startswith("user_")]:
        values = prompts[column].value_counts()
        if not 2 <= len(values) <= MOST_VALUES:
            continue
        for value in sorted(values.index):
            out[f"{column.removeprefix('user_')} {value}"] = (prompts[column] == value).to_numpy()
    return pd.DataFrame(out)


#: An attribute with more values than this makes no groups.
MOST_VALUES = 8
