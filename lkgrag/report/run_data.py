"""The data of a report: tables that the evaluation writes, and a run's folder read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.kg.naming import phrase_metapath, short_metapath
from lkgrag.serving.recommendation import Recommendation
from lkgrag.serving.saved_run import check_run
from lkgrag.utils.files import read_json, read_parquet
from lkgrag.utils.layout import CURVE, EXPLANATIONS, METRICS, PROMPTS, RANKS, SALIENCE

if TYPE_CHECKING:
    from lkgrag.data import Interactions
    from lkgrag.evaluation.result import Evaluation
    from lkgrag.paths.batch import MetaPath


def prompt_tables(
    interactions: Interactions, metapaths: list[MetaPath], evaluation: Evaluation
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables :data:`PROMPTS` and :data:`SALIENCE` of the prompts that an evaluation's language model read.

    Args:
        interactions: whose users the prompts are for.
        metapaths: that the shares are of.
        evaluation: the prompts and what the ranker gave for them.
    """
    names = np.asarray([short_metapath(m) for m in metapaths], object)
    words = np.asarray([phrase_metapath(m) for m in metapaths], object)
    ids = np.asarray(interactions.user_ids, object)
    prompts, salience = [], []
    for result in evaluation.results:
        read = evaluation.read[result.split]
        q = evaluation.queries[result.split][np.flatnonzero(read)]
        scored = evaluation.scored[result.split][read]
        table = {
            "user": ids[q.user],
            "split": result.split,
            "history": result.position[result.retrieved][read],
            "tokens": scored.tokens,
        }
        for column in interactions.users.columns.difference(["user"]):
            values = interactions.users[column].to_numpy()[q.user]
            table[f"user_{column}"] = [_first(v) for v in values]
        prompts.append(pd.DataFrame(table))
        row, kind = np.nonzero(scored.shares)
        salience.append(
            pd.DataFrame(
                {
                    "prompt": row,
                    "split": result.split,
                    "metapath": names[kind],
                    "words": words[kind],
                    "share": scored.shares[row, kind],
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
    """What a report needs of a run's folder.

    Attributes:
        name: of the folder.
        metrics: of ``metrics.json``.
        ranks: one row an event.
        curves: by name, one row a step or epoch.
        explained: rankings of a few users.
        prompts: the table :data:`PROMPTS`; None of an older version, which did not write it.
        salience: :data:`SALIENCE`, likewise.
    """

    name: str
    metrics: dict[str, Any]
    ranks: pd.DataFrame
    curves: dict[str, Any]
    explained: list[Recommendation] = field(default_factory=list)
    prompts: pd.DataFrame | None = None
    salience: pd.DataFrame | None = None


def read_run(folder: Path, metrics: dict[str, Any] | None = None) -> RunData:
    """Read what a report needs.

    Args:
        folder: of a run.
        metrics: of the run, if ``metrics.json`` is not written yet.

    Raises:
        LkgragError: a file is missing or broken.
    """
    check_run(folder, METRICS, RANKS, CURVE, EXPLANATIONS, PROMPTS, SALIENCE)

    def table(name: str) -> pd.DataFrame | None:
        return read_parquet(folder / name) if (folder / name).exists() else None

    return RunData(
        name=folder.resolve().name,
        metrics=read_json(folder / METRICS) if metrics is None else metrics,
        ranks=read_parquet(folder / RANKS),
        curves=read_json(folder / CURVE),
        explained=[Recommendation.from_dict(v) for v in read_json(folder / EXPLANATIONS)],
        prompts=table(PROMPTS),
        salience=table(SALIENCE),
    )
