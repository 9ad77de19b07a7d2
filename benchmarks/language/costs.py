"""What text costs: the fits of the retriever ``text`` in the main job, and its share of a warm ranking."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch

from lkgrag.config.loading import load_config
from lkgrag.data.dataset import Dataset
from lkgrag.retrieval import TextRetriever
from lkgrag.retrieval.crossfit import plan_crossfit

#: Users whose histories are scored one by one.
USERS = 300


def measure() -> dict[str, Any]:
    """Seconds of all fits of README's first command, and milliseconds of one history's scores.

    Returns:
        ``fits``, seconds of each; ``milliseconds``, the median; ``threads``; ``capability``, what PyTorch was limited
        to, if anything; and ``values``, the targets' figures by name.
    """
    config = load_config({})
    data = Dataset.load(config.data)
    plan = plan_crossfit(data.interactions, data.split, config.retrieval, config.seed)
    seconds = []
    for end in (data.split.train_end, *(end for _, end in plan.folds)):
        start = time.perf_counter()
        retriever = TextRetriever.fit(data.interactions.first(end), seed=config.seed)
        seconds.append(time.perf_counter() - start)
    histories = [data.interactions.sequence(user) for user in range(USERS)]
    taken = []
    for history in histories:
        start = time.perf_counter()
        retriever.evidence([history])
        taken.append(time.perf_counter() - start)
    milliseconds = 1000 * float(np.median(taken))
    return {
        "fits": seconds,
        "milliseconds": milliseconds,
        "threads": torch.get_num_threads(),
        "capability": os.environ.get("ATEN_CPU_CAPABILITY"),
        "values": {"L8_job": sum(seconds), "L8_ranking": milliseconds},
    }
