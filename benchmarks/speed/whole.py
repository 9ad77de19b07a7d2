"""From a user's id to an explained ranking with a language model, cold and warm; and how soon ``--help`` answers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import rate, say

#: A process of its own, as a user starts it: what each stage takes until the first ranking is told.
COLD = """
import json, sys, time
start = time.perf_counter()
from lkgrag import Ranker
imported = time.perf_counter()
ranker = Ranker.from_pretrained(sys.argv[1], lm="always")
loaded = time.perf_counter()
user = ranker.users()[0]
ranker.recommend_users([user], k=10)
first = time.perf_counter()
print(json.dumps({"import": imported - start, "load": loaded - imported, "rank": first - loaded}))
"""


def measure(run: Path, quick: bool) -> dict[str, Any]:
    """Measure a saved run.

    Args:
        run: folder of a finished run with a language model.
        quick: one repeat of everything.

    Returns:
        Seconds of ``help``, ``cold`` by stage and ``warm`` by stage, and the values of targets.
    """
    say("whole: --help, cold")
    line = [sys.executable, "-m", "lkgrag.train", "--help"]
    helped = 1 / rate(
        lambda: subprocess.run(line, check=True, capture_output=True), 1, 0, 1 + 2 * (not quick)
    )
    cold = json.loads(
        subprocess.run(
            [sys.executable, "-c", COLD, str(run)], check=True, capture_output=True, text=True
        ).stdout
    )
    say("whole: warm")
    warm = _warm(run, 3 if quick else 20)
    return {
        "help": helped,
        "cold": cold,
        "warm": warm,
        "values": {"S10_help": helped, "S10_warm": warm["total"]},
    }


def _warm(run: Path, users: int) -> dict[str, float]:
    """Medians over users of the seconds of each stage, one user at a time."""
    import torch

    from lkgrag import Ranker
    from lkgrag.serving.ranking import RankingBatch
    from lkgrag.serving.requests import request_of_user

    # With its language model, whether that earned a weight or not: part `serving` measures without.
    ranker = Ranker.from_pretrained(run, lm="always")
    context = ranker.context
    ids = ranker.users()
    chosen = [ids[i] for i in np.random.default_rng(0).permutation(len(ids))[: users + 2]]
    rows = []
    for user in chosen:
        start = time.perf_counter()
        ranker.recommend_users([user], k=10)
        total = time.perf_counter() - start
        batch = RankingBatch(ranker.model, context, [request_of_user(context, user)], 10)
        queries = batch.build_queries()
        ranked = batch.find_paths(queries)
        output = batch.score(ranked)
        stages = {"total": total}
        with torch.no_grad():
            work: dict[str, Callable[[], Any]] = {
                "retrieval": batch.build_queries,
                "paths": partial(context.finder, queries),
                "scorer": partial(ranker.model.scorer, ranked.data, ranked.paths),
                "ranker": partial(batch.score, ranked),
                "words": partial(batch.explain, queries, ranked, output),
            }
            for name, stage in work.items():
                start = time.perf_counter()
                stage()
                stages[name] = time.perf_counter() - start
        rows.append(stages)
    return {name: float(np.median([row[name] for row in rows[2:]])) for name in rows[0]}
