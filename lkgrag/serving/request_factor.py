"""The factor of a request among the terms of a ranking, learned on lists that were proposed for synthetic requests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval.fusion.pools import Pools
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.requests import pools_of, sample_requests
from lkgrag.serving.asked import ask, weigh_asked
from lkgrag.serving.ranking import BATCH_WITHOUT_LM, RankingBatch
from lkgrag.serving.requests import Asked, Request
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events
    from lkgrag.serving.context import Context
    from lkgrag.text.requests import RequestModel

#: Most events that a request is made for.
EVENTS = 400
NAMES = ["ranking", "request"]


def fit_request_factor(
    model: RankerModel, context: Context, interactions: Interactions, val: Events
) -> RequestModel | None:
    """Learn what a request weighs against path scorer and prior.

    The language model is left out, because it would read each list. Its scores are on the scale of the others. The
    factor is at least the prior's weight: what was proposed for a request may not be ranked by the history alone.

    Args:
        model: of the ranker.
        context: of the ranker, with a model of requests.
        interactions: the sequences.
        val: validation events; at most :data:`EVENTS` of them are drawn.

    Returns:
        The model of requests with the factor; None if there is none.
    """
    if context.requests is None:
        return None
    seed = context.config.seed
    sample, made = sample_requests(interactions.items, val, EVENTS, seed)
    requests = []
    for one in made:
        user, position = int(sample.user[one.event]), int(sample.position[one.event])
        begin = interactions.indptr[user]
        past = slice(begin, begin + position)
        asked = _ask(context, one.text)
        if asked is not None:
            requests.append(
                Request(
                    interactions.item[past],
                    interactions.rating[past],
                    target=int(sample.target[one.event]),
                    index=user,
                    asked=asked,
                )
            )
    served = _without_lm(model, context)
    pools = _pools(served, context, requests)
    fitted = fit_weights(pools, dict.fromkeys(NAMES, 1.0), any_size=NAMES)
    learned = fitted["request"] / fitted["ranking"] if fitted["ranking"] > 0 else 1.0
    return replace(context.requests, in_ranking=max(learned, served.fusion.weights.prior))


def _ask(context: Context, text: str) -> Asked | None:
    """A synthetic request; None if it says nothing."""
    try:
        return ask(context, text, None)
    except ConfigError:
        return None


def _without_lm(model: RankerModel, context: Context) -> RankerModel:
    """The model with scorer and prior alone."""
    weights = model.fusion.weights if context.fitted is None else context.fitted.without_lm
    fusion = Fusion(weights.scorer, weights.prior, model.fusion.terms, 0.0)
    return RankerModel(None, model.scorer, None, fusion.to(model.device)).eval()


def _pools(model: RankerModel, context: Context, requests: list[Request]) -> Pools:
    """The ranking's score and the request's of each candidate, where the target is among them."""
    rows, start, place, size = [np.zeros((0, 2), np.float32)], [], [], 0
    with bar("weigh requests in rankings") as update:
        for first in range(0, len(requests), BATCH_WITHOUT_LM):
            part = requests[first : first + BATCH_WITHOUT_LM]
            batch = RankingBatch(model, context, part, 1)
            queries = batch.build_queries()
            scores = batch.score(batch.find_paths(queries)).scores.cpu().numpy()
            asked = weigh_asked(context.requests, part, queries.candidate_items)
            for row, request in enumerate(part):
                filled = queries.candidate_items[row] >= 0
                found = np.flatnonzero(queries.candidate_items[row, filled] == request.target)
                if len(found):
                    rows.append(np.stack([scores[row, filled], asked[row, filled]], 1))
                    start.append(size)
                    place.append(size + int(found[0]))
                    size += len(rows[-1])
            update(min(first + BATCH_WITHOUT_LM, len(requests)), len(requests))
    whole = np.concatenate(rows).astype(np.float32)
    return pools_of(NAMES, whole, np.array(start, np.int64), np.array(place, np.int64))
