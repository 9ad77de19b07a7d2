"""Requests in words: does an answer hold the item that the user chose next?

For a sample of validation events the request is made of the chosen item: its rarest category, its brand, three words of
its title, or a category in other words (``paraphrases.yaml``). Weights are learned on synthetic requests for
validation events of *other* users, which hold nothing of the paraphrases. Nothing of the test is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from benchmarks.language.systems import Encoded, System, build_systems
from lkgrag.retrieval.fusion.weights import fit_weights
from lkgrag.retrieval.ranks import Seen, histories_of, tie_order, top_k
from lkgrag.retrieval.requests import EVENTS, HISTORY, POOL, pools_of, sample_requests
from lkgrag.text.requests.synthetic import rarest_values
from lkgrag.text.requests.words import words_of
from lkgrag.utils.gains import discounted_gain, hit_gain
from lkgrag.utils.progress import bar
from lkgrag.utils.standard_errors import standard_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events
    from lkgrag.retrieval import FusedRetriever
    from lkgrag.retrieval.text.retriever import TextRetriever

PARAPHRASES = Path(__file__).with_name("paraphrases.yaml")
#: Events that are measured.
SAMPLE = 3000
#: Rows of lists that gains are computed of.
TOP = 10
#: The row that the others are compared with.
BASE = "tfidf_history"
#: Factors of a weight, for the best one that a rival could have on the measured requests themselves.
FACTORS = (0.35, 0.5, 0.7, 1.0, 1.4)
BLOCK = 250


def load_paraphrases(path: Path = PARAPHRASES) -> dict[str, list[str]]:
    """Requests for each category, by its name."""
    value: dict[str, list[str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return value


def make_requests(
    interactions: Interactions, events: Events, seed: int
) -> dict[str, list[tuple[int, str]]]:
    """The requests of each kind, each with the place of its event."""
    items, known = interactions.items, load_paraphrases()
    rng = np.random.default_rng([seed, 0x11])
    kinds = ("category", "brand", "title", "paraphrase")
    made: dict[str, list[tuple[int, str]]] = {kind: [] for kind in kinds}
    columns = {c: items[c].tolist() for c in items.columns if c != "title"}
    coarse = "category" if "category" in columns else "genre"
    rarest = {c: rarest_values(rows) for c, rows in columns.items()}
    with_words = [[v for v in row if v in known] for row in columns.get(coarse, [])]
    paraphrased = rarest_values(with_words)
    for event, item in enumerate(events.target.tolist()):
        words = words_of(items["title"].iloc[item])
        chosen = np.sort(rng.permutation(len(words))[:3])
        draw = rng.random()
        values = {"category": rarest.get(coarse), "brand": rarest.get("brand")}
        for kind, rows in values.items():
            if rows is not None and rows[item]:
                made[kind].append((event, rows[item]))
        if len(chosen):
            made["title"].append((event, " ".join(words[n] for n in chosen.tolist())))
        if paraphrased and paraphrased[item]:
            name = paraphrased[item]
            text = known[name][int(draw * len(known[name]))]
            made["paraphrase"].append((event, text))
    return {kind: rows for kind, rows in made.items() if rows}


def measure_requests(
    interactions: Interactions,
    retriever: FusedRetriever,
    val: Events,
    vectors: NDArray[np.float32],
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    tower: TextRetriever | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Measure every system on every kind of request.

    Args:
        interactions: the sequences.
        retriever: stage one, which has not seen the validation events.
        val: the validation events.
        vectors: float32 ``[I, D]``, the encoder's vectors of the items' texts.
        encode: the encoder.
        tower: the retriever ``text`` on words alone, trained on the training interactions.
        seed: of the sample, the requests and the controls.

    Returns:
        A row for each system and kind. The form of the score was chosen with a look at the paraphrases of every
        other category; ``paraphrase_unseen`` are those of the rest. Keys: ``kind``, ``system``, ``requests``, recall and NDCG at 10, the difference of
        each to :data:`BASE` with its standard error over users, and the system's ``weights``.
    """
    order = np.random.default_rng([seed, 0x4C]).permutation(len(val))
    size = min(SAMPLE, len(val) // 2)
    measured, others = val[np.sort(order[:size])], val[np.sort(order[size:])]
    others = others[~np.isin(others.user, measured.user)]
    encoded = Encoded(encode)
    systems = build_systems(interactions.items, vectors, encoded, tower, seed)
    weights = _learn(systems, interactions, retriever, others, encoded, seed)
    kinds = make_requests(interactions, measured, seed)
    encoded.add([text for rows in kinds.values() for _, text in rows])
    factors: dict[str, tuple[float, ...]] = {BASE: FACTORS}
    out = []
    with bar("requests") as update:
        for number, (kind, rows) in enumerate(kinds.items()):
            events = measured[np.asarray([event for event, _ in rows])]
            ranks = _rank(systems, weights, factors, interactions, retriever, events, rows)
            out += _table(kind, ranks, weights, events.user)
            if kind == "paraphrase":
                unseen = {t for texts in list(load_paraphrases().values())[1::2] for t in texts}
                part = np.asarray([text in unseen for _, text in rows])
                ranks = {name: values[part] for name, values in ranks.items()}
                out += _table("paraphrase_unseen", ranks, weights, events.user[part])
            update(number + 1, len(kinds))
    return out


def _learn(
    systems: dict[str, System],
    interactions: Interactions,
    retriever: FusedRetriever,
    events: Events,
    encoded: Encoded,
    seed: int,
) -> dict[str, list[float]]:
    """The weights of history and terms of each system, by a conditional logit on synthetic requests."""
    sample, requests = sample_requests(interactions.items, events, EVENTS, seed)
    encoded.add([r.text for r in requests])
    histories = histories_of(interactions, sample)
    turn = tie_order(retriever.popularity)
    weights: dict[str, list[float]] = {}
    learned = {}
    for name, system in systems.items():
        if system.weights is not None or system.terms is None:
            weights[name] = [float(system.has_history), *(system.weights or ())]
        else:
            learned[name] = system
    parts: dict[str, list[tuple[NDArray[np.float32], int]]] = {name: [] for name in learned}
    for first in range(0, len(requests), BLOCK):
        block = requests[first : first + BLOCK]
        history = retriever.score([histories[r.event] for r in block])
        for row, request in zip(history, block, strict=True):
            for name, system in learned.items():
                assert system.terms is not None
                terms = np.concatenate([row[None], system.terms(request.text)])
                seen = Seen.of([histories[request.event]] * len(terms), retriever.mask_seen)
                best = np.unique(top_k(terms, POOL, seen, turn)[0])
                best = best[best >= 0]
                place = np.flatnonzero(best == sample.target[request.event])
                if len(place):
                    parts[name].append((terms[:, best].T, int(place[0])))
    for name, system in learned.items():
        names = [HISTORY, *(f"term_{n}" for n in range(len(system.start)))]
        start = np.cumsum([0, *(len(x) for x, _ in parts[name])])[:-1]
        place = start + np.asarray([p for _, p in parts[name]])
        pools = pools_of(names, np.concatenate([x for x, _ in parts[name]]), start, place)
        fitted = fit_weights(pools, dict(zip(names, [1.0, *system.start], strict=True)))
        weights[name] = [fitted[n] for n in names]
    return weights


def _rank(
    systems: dict[str, System],
    weights: dict[str, list[float]],
    factors: dict[str, tuple[float, ...]],
    interactions: Interactions,
    retriever: FusedRetriever,
    events: Events,
    requests: list[tuple[int, str]],
) -> dict[str, NDArray[np.int64]]:
    """The rank of each event's item by each system, int64 ``[E]``; ties go to the more popular item."""
    histories = histories_of(interactions, events)
    turn = tie_order(retriever.popularity)
    labels = [
        (name, factor, name if factor == 1.0 else f"{name} x {factor:g}")
        for name in systems
        for factor in factors.get(name, (1.0,))
    ]
    ranks = {label: np.zeros(len(events), np.int64) for *_, label in labels}
    # The same request comes in a row, and is scored once.
    order = sorted(range(len(requests)), key=lambda row: requests[row][1])
    last, terms = None, {}
    for first in range(0, len(order), BLOCK):
        part = order[first : first + BLOCK]
        history = retriever.score([histories[row] for row in part])
        for row, own in zip(part, history, strict=True):
            if requests[row][1] != last:
                last = requests[row][1]
                terms = {
                    name: np.asarray(weights[name][1:], np.float32) @ system.terms(last)
                    for name, system in systems.items()
                    if system.terms is not None
                }
            for name, factor, label in labels:
                score = np.float32(weights[name][0]) * own
                if name in terms:
                    score = score + np.float32(factor) * terms[name]
                ranks[label][row] = _rank_of(
                    score, int(events.target[row]), histories[row], turn, retriever.mask_seen
                )
    return ranks


def _rank_of(
    score: NDArray[np.float32],
    target: int,
    seen: NDArray[np.int64],
    turn: NDArray[np.int64],
    mask_seen: bool,
) -> int:
    """The rank of an item among those not seen, 1 the best."""
    mine = score[target]
    ahead = (score > mine) | ((score == mine) & (turn < turn[target]))
    if mask_seen:
        if target in seen:
            return len(score) + 1
        ahead[seen] = False
    return 1 + int(ahead.sum())


def _table(
    kind: str,
    ranks: dict[str, NDArray[np.int64]],
    weights: dict[str, list[float]],
    user: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """The rows of one kind of request."""
    gains = {"recall@10": hit_gain, "ndcg@10": discounted_gain}
    base = {metric: gain(ranks[BASE], TOP) for metric, gain in gains.items()}
    rows = []
    for name, values in ranks.items():
        row: dict[str, Any] = {"kind": kind, "system": name, "requests": len(values)}
        for metric, gain in gains.items():
            mine = gain(values, TOP)
            row[metric] = float(mine.mean())
            row[f"{metric}_se"] = standard_error(mine, user)
            row[f"{metric}_difference"] = float((mine - base[metric]).mean())
            row[f"{metric}_difference_se"] = standard_error(mine - base[metric], user)
        row["weights"] = weights.get(name)
        rows.append(row)
    return rows
