"""Rankings for all users by the workers of a Ray cluster: each shard once, and again if its worker was lost."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lkgrag import __version__
from lkgrag.ranker.fusion import TermWeights
from lkgrag.serving import shard_worker
from lkgrag.serving.context import Context
from lkgrag.serving.lm_choice import choose_serving
from lkgrag.serving.loading import load_context
from lkgrag.serving.shard_files import (
    make_folder,
    read_shard_sums,
    write_manifest,
)
from lkgrag.serving.shard_work import Crew, Shards, make_shards
from lkgrag.serving.shard_worker import Order
from lkgrag.serving.shards import BulkRequest, plan_shards, warn_of_few
from lkgrag.utils.files import sweep
from lkgrag.utils.locks import locked
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.ray_cluster import count_places, open_cluster, put_token, travelling


def recommend_by_crew(
    context: Context,
    out: Path,
    request: BulkRequest,
    crew: Crew,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Rank for every user of a run by the workers of a cluster; the files are those of one process.

    Args:
        context: of the ranker.
        out: folder of the shards, which all machines share; shards that are there already are kept.
        request: the rankings to make, with the ranker's fingerprint in ``made_from``.
        crew: who ranks.
        progress: called with (shards done, shards in all).

    Returns:
        Number of shards.

    Raises:
        ConfigError: as :func:`~lkgrag.serving.shards.recommend_all`, or Ray is not installed.
        RunError: so does that function; or the cluster cannot be used, a worker cannot take part, or workers are lost
            again and again.
        LkgragError: an existing shard is broken, or nothing can be written.
    """
    plan, manifest = plan_shards(context, out.resolve(), request)
    make_folder(out)
    with locked(out / ".lock", wait=False, what=f"the folder {out}"):
        write_manifest(out, manifest)
        sums = read_shard_sums(out)
        missing = [number for number in range(plan.count) if not plan.is_made(number, sums)]
        if missing:
            rename_activity("start the workers")
            cpus = crew.workers * crew.threads
            with put_token(plan.out) as token, open_cluster(crew.address, cpus) as ray:
                order = Order(
                    __version__,
                    str(plan.out),
                    token,
                    str(crew.ranker.resolve()),
                    request.made_from["ranker"],
                    crew.lm,
                    crew.threads,
                    pickle.dumps(request),
                    pickle.dumps(plan),
                )
                workers = crew.workers or count_places(ray, crew.threads)
                shards = Shards(plan, progress)
                with travelling(ray, shard_worker):
                    make_shards(ray, replace(crew, workers=workers), order, shards, missing)
            # No worker is left that writes: these are the files of lost ones.
            sweep(out)
            warn_of_few(request, shards.few)
    return plan.count


def read_context(folder: Path, lm: str | None) -> Context:
    """Read a ranker without its language model, which only the workers load.

    Args:
        folder: of the ranker.
        lm: as ``serving.lm``.

    Raises:
        ConfigError: ``lm`` is another word, or ``always`` for a ranker without a language model.
        LkgragError: the folder is no saved ranker, or a file is missing or broken.
    """
    _, context, meta = load_context(folder)
    has_lm = meta["llm"] is not None
    weights = TermWeights.from_dict(meta["fusion"], has_lm)
    choose_serving(weights, context.fitted, lm or context.config.serving.lm, has_lm, str(folder))
    return context
