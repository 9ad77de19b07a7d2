"""Speed: each part against what a user would pick instead, and against the physical limit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from benchmarks.common import data_roots, fell, say, stored
from benchmarks.targets import tell

if TYPE_CHECKING:
    import argparse

PARTS = ("paths", "lru", "wording", "lm", "lm-avx2", "whole", "serving", "job")


def speed(options: argparse.Namespace) -> int:
    """Measure the parts that are asked for; returns the exit status.

    Args:
        options: of the command line: ``only``, ``quick``, ``seed``, ``run``, ``rankers`` and ``check``.
    """
    # Parts are imported where they run: each needs other peers.
    parts = options.only or PARTS
    result: dict[str, Any] = {}
    if "paths" in parts:
        from benchmarks.speed import paths

        result["paths"] = paths.measure(data_roots(), options.quick, options.seed)
    if "lru" in parts:
        import torch

        from benchmarks.speed import lru

        result["lru"] = lru.measure(data_roots(), options.quick, torch.get_num_threads())
    if "wording" in parts:
        result["wording"] = _wording(options.seed)
    if "lm" in parts:
        from benchmarks.speed import lm

        result["lm"] = lm.measure(options.quick, options.seed)
    if "lm-avx2" in parts:
        from benchmarks.speed import avx2

        result["lm-avx2"] = avx2.measure(options.quick, options.seed)
    if "whole" in parts:
        from benchmarks.speed import whole

        if options.run is None:
            say("whole: give --run FOLDER of a finished run; left out")
        else:
            result["whole"] = whole.measure(options.run, options.quick)
    if "serving" in parts:
        from benchmarks.speed import serving

        runs = serving.find_rankers(data_roots(), options.rankers, options.quick)
        result["serving"] = serving.measure(runs, options.quick)
    if "job" in parts:
        from benchmarks.speed import job

        result["job"] = job.measure()
    before = stored("speed")
    line = f"python -m benchmarks.run speed{' --run RUN' if options.run else ''}"
    tell("S", "speed", line, PARTS, result, options)
    return check(result, before) if options.check and before is not None else 0


def _wording(seed: int) -> dict[str, Any]:
    import numpy as np

    from benchmarks.speed import wording
    from lkgrag.config.loading import load_config
    from lkgrag.data.splits import every_training_event
    from lkgrag.kg import build_kg
    from lkgrag.run.stages import load_dataset
    from lkgrag.training.negatives import uniform_queries

    config = load_config({})
    loaded = load_dataset(config)
    data = build_kg(loaded.interactions, loaded.split.train_end, config.kg)
    events = every_training_event(loaded.interactions, loaded.split.train_end)
    chosen = np.random.default_rng(seed).permutation(len(events))[:256]
    queries = uniform_queries(loaded.interactions, events[chosen], 20, config.paths.history, seed)
    return wording.measure(config, data, queries)


def check(now: dict[str, Any], before: dict[str, Any]) -> int:
    """Compare the ratios to peers with the stored ones; the exit status is 1 where one fell."""
    status = 0
    for name, result in now.get("paths", {}).get("sets", {}).items():
        old = before.get("paths", {}).get("sets", {}).get(name, {}).get("times", {})
        for peer, ratio in result["times"].items():
            if ratio is not None and old.get(peer) and fell(ratio, old[peer]):
                print(f"{name}, times {peer}: {ratio:.1f}, stored {old[peer]:.1f}", file=sys.stderr)
                status = 1
    return status
