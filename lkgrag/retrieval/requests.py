"""The weights of a request against the history, learned on synthetic requests for events that are held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.retrieval.base import rows_per_block
from lkgrag.retrieval.fusion.pools import Pools
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.ranks import Seen, histories_of, tie_order, top_k
from lkgrag.text.requests import FEATURES, RequestModel, SyntheticRequest, synthetic_requests
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events
    from lkgrag.retrieval.fusion.retriever import FusedRetriever

    #: Turns texts into vectors, float32 ``[N, D]``.
    Encode = Callable[[Sequence[str]], NDArray[np.float32]]

#: Most events that a request is made for.
EVENTS = 1500
#: The best items by each term that compete with the target.
POOL = 100
#: The term of the retriever, in whose unit the others are weighed.
HISTORY = "history"


def sample_requests(
    items: pd.DataFrame, events: Events, number: int, seed: int
) -> tuple[Events, list[SyntheticRequest]]:
    """A sample of events, and a synthetic request for each.

    Args:
        items: as of :func:`lkgrag.text.item_texts`.
        events: to draw from.
        number: largest size of the sample.
        seed: of the sample and the requests.
    """
    drawn = np.random.default_rng([seed, 0x5B]).permutation(len(events))[:number]
    sample = events[np.sort(drawn)]
    return sample, synthetic_requests(items, sample.target, seed)


def fit_requests(
    model: RequestModel,
    retriever: FusedRetriever,
    interactions: Interactions,
    events: Events,
    seed: int,
    encode: Encode | None = None,
) -> RequestModel:
    """Learn what words and meaning of a request weigh against the history.

    The weights are those of a conditional logit. Its alternatives are the items that any term ranks high.

    Args:
        model: of the items.
        retriever: of stage one, which has not seen the events.
        interactions: the sequences.
        events: held back; at most :data:`EVENTS` of them are drawn.
        seed: of the draw and of the requests.
        encode: the encoder, if the model has vectors.

    Returns:
        The model with learned weights; as it was where no event has a request.
    """
    sample, requests = sample_requests(interactions.items, events, EVENTS, seed)
    if not requests:
        return model
    encoded = None if encode is None else encode([r.text for r in requests])
    pools = request_pools(model, retriever, interactions, sample, requests, encoded)
    centre = dict(zip([HISTORY, *FEATURES], [1.0, *model.weights], strict=True))
    fitted = fit_weights(pools, centre)
    if fitted[HISTORY] <= 0 or not any(fitted[name] for name in FEATURES):
        # Too few events to learn from: whoever asks for something is to get it.
        return model
    return replace(model, weights=tuple(fitted[name] / fitted[HISTORY] for name in FEATURES))


def pools_of(
    names: list[str],
    features: NDArray[np.float32],
    start: NDArray[np.int64],
    target: NDArray[np.int64],
) -> Pools:
    """Pools for weights that depend on nothing but the features, of which :class:`Pools` says the shapes."""
    none = np.zeros(len(start), np.int64)
    return Pools(names, features, np.zeros(len(features), np.int64), start, target, none, none)


def request_pools(
    model: RequestModel,
    retriever: FusedRetriever,
    interactions: Interactions,
    events: Events,
    requests: Sequence[SyntheticRequest],
    encoded: NDArray[np.float32] | None,
) -> Pools:
    """The terms of the items that compete for each request, where the target is among them.

    Args:
        model: gives the request's terms.
        retriever: gives the history's.
        interactions: the sequences.
        events: that the requests are for.
        requests: ``R`` of them.
        encoded: float32 ``[R, D]``, the encoder's vectors of the requests; None without an encoder.
    """
    histories = histories_of(interactions, events[np.asarray([r.event for r in requests])])
    rows: list[NDArray[np.float32]] = []
    start, place, size = [], [], 0
    turn = tie_order(retriever.popularity)
    step = rows_per_block(retriever.num_items, len(retriever.systems))
    with bar("weigh requests") as update:
        for first in range(0, len(requests), step):
            part = requests[first : first + step]
            history = retriever.score(histories[first : first + step])
            for row, request in enumerate(part):
                vector = None if encoded is None else encoded[first + row]
                terms = np.concatenate(
                    [history[row][None], model.features(request.text, vector)[0]]
                )
                seen = Seen.of([histories[first + row]] * len(terms), retriever.mask_seen)
                best = np.unique(top_k(terms, POOL, seen, turn)[0])
                best = best[best >= 0]
                of_target = np.flatnonzero(best == events.target[request.event])
                if len(of_target):
                    rows.append(terms[:, best].T)
                    start.append(size)
                    place.append(size + int(of_target[0]))
                    size += len(best)
            update(min(first + step, len(requests)), len(requests))
    names = [HISTORY, *FEATURES]
    whole = np.concatenate(rows) if rows else np.zeros((0, len(names)), np.float32)
    return pools_of(names, whole, np.array(start, np.int64), np.array(place, np.int64))
