"""Relations that the scorer has never seen: each is left out of the training, and its paths are added afterwards.

``ignored`` leaves the paths of the relation out of the ranking, too. ``mean`` gives the relation the mean embedding
of the known ones, ``words`` one that follows from its words: a ridge regression from the text encoder's vectors of
the relations' phrases to their learned embeddings. ``trained`` knows the relation from training.

The vectors are centred and not whitened: among a dozen of points whitening puts all at the same distance.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.stats import binomtest

from benchmarks.language import path_scores
from lkgrag.kg import phrase_metapath
from lkgrag.kg.naming import base_name
from lkgrag.paths import graph_paths
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.training.pretraining import Pretraining
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.gains import discounted_gain
from lkgrag.utils.standard_errors import standard_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import Config
    from lkgrag.data import Queries
    from lkgrag.paths.batch import MetaPath

    Encode = Callable[[list[str]], NDArray[np.float32]]

#: Ways to rank with a relation's paths, in the order of the rows; the language model is not asked.
WAYS = ("ignored", "mean", "words", "trained")
#: Pulls of the ridge regression from words to embeddings, in relations; leaving known relations out chooses one.
RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0)


def relation_names(metapaths: Sequence[MetaPath]) -> list[str]:
    """The relations of meta-paths, without ``rev_``: one that is followed both ways is one relation."""
    return list(dict.fromkeys(base_name(m[0][1]) for m in metapaths))


def embeddings_by_words(
    scorer: MetapathAttention, metapaths: Sequence[MetaPath], encode: Encode
) -> dict[EdgeType, Tensor]:
    """Embeddings of unknown relations by what their phrases say.

    Args:
        scorer: trained; its relations are known.
        metapaths: of the graph, those of unknown relations among them.
        encode: gives the encoder's vectors of phrases, float32 ``[N, D]``.

    Returns:
        float32 ``[dim]`` by relation.
    """
    words = {edge: phrase_metapath(metapath) for metapath in metapaths for edge in metapath}
    vectors = encode(list(words.values())).astype(np.float64)
    place = {edge: row for row, edge in enumerate(words)}
    known = [place[edge] for edge in scorer.relations]
    # Centred on the known ones, so that the mean embedding is what says nothing.
    vectors = vectors - vectors[known].mean(0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    x, y = vectors[known], scorer.relation.detach().double().numpy()
    mean = y.mean(0)
    gram, away = x @ x.T, y - mean
    errors = [np.square(_left_out(gram, away, ridge)).sum() for ridge in RIDGES]
    dual = np.linalg.solve(gram + RIDGES[int(np.argmin(errors))] * np.eye(len(x)), away)
    unknown = [edge for edge in words if edge not in scorer.relations]
    guess = vectors[[place[edge] for edge in unknown]] @ x.T @ dual + mean
    return {e: torch.from_numpy(row).float() for e, row in zip(unknown, guess, strict=True)}


def _left_out(
    gram: NDArray[np.float64], away: NDArray[np.float64], ridge: float
) -> NDArray[np.float64]:
    """Errors of a ridge regression in its dual form for each relation that is left out, ``[R, dim]``."""
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    return np.asarray(inverse @ away / np.diag(inverse)[:, None])


def mean_embeddings(
    scorer: MetapathAttention, metapaths: Sequence[MetaPath]
) -> dict[EdgeType, Tensor]:
    """The mean of the known embeddings for each unknown relation."""
    mean = scorer.relation.detach().mean(0)
    edges = dict.fromkeys(edge for metapath in metapaths for edge in metapath)
    return {edge: mean for edge in edges if edge not in scorer.relations}


def gains(
    scorer: MetapathAttention,
    pretraining: Pretraining,
    data: HeteroData,
    config: Config,
    queries: Queries,
) -> NDArray[np.float64]:
    """NDCG@10 of scorer and prior on lists that hold their target, by the weights of the training; ``[B]``."""
    candidate = path_scores.scores(scorer, graph_paths(data, config.paths), queries)
    mask = queries.candidate_items >= 0
    fused = np.where(mask, pretraining.a * candidate + pretraining.b * queries.prior, -np.inf)
    mine = fused[np.arange(len(queries)), queries.target][:, None]
    return discounted_gain((fused >= mine).sum(1), 10)


def leave_one_out(
    graphs: tuple[HeteroData, HeteroData],
    examples: Queries,
    queries: Queries,
    config: Config,
    encode: Encode,
    keep: Callable[[str, dict[str, Any]], None],
    folder: Path,
    stored: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Leave each relation out once.

    Args:
        graphs: the cross-fitted graph that the scorer learns on, and that of all training interactions.
        examples: training lists that hold their target.
        queries: validation lists that hold their target.
        config: options of paths and scorer, and the seed.
        encode: gives the encoder's vectors of phrases.
        keep: gets each relation's row as soon as it is measured.
        folder: of the trained scorers, which are kept.
        stored: rows that were measured before; they are not measured again.

    Returns:
        By relation ``ndcg@10`` by way, ``gap`` of ``words`` and ``mean``, and its ``error``.
    """
    rows: dict[str, dict[str, Any]] = dict(stored or {})
    whole = graph_paths(graphs[1], config.paths)
    names = [name for name in relation_names(whole.metapaths) if name not in rows]
    if not names:
        return rows
    trained, result = _train(graphs[0], config, examples, folder / "all")
    ceiling = gains(trained, result, graphs[1], config, queries)
    for name in names:
        paths = replace(config.paths, exclude=[*config.paths.exclude, name])
        fewer = replace(config, paths=paths)
        scorer, result = _train(graphs[0], fewer, examples, folder / name)
        known = {
            "mean": mean_embeddings(scorer, whole.metapaths),
            "words": embeddings_by_words(scorer, whole.metapaths, encode),
        }
        values = {"ignored": gains(scorer, result, graphs[1], fewer, queries)}
        for way, embeddings in known.items():
            extended = scorer.with_relations(whole.metapaths, embeddings)
            values[way] = gains(extended, result, graphs[1], config, queries)
        values["trained"] = ceiling
        gap = values["words"] - values["mean"]
        rows[name] = {
            "ndcg@10": {way: float(values[way].mean()) for way in WAYS},
            "gap": float(gap.mean()),
            "error": standard_error(gap, queries.user),
        }
        keep(name, rows[name])
    return rows


def sign_test(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """How often the embedding by words is better than the mean embedding; ties count for neither."""
    gaps = np.array([row["gap"] for row in rows.values()])
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    p = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return {"relations": len(gaps), "better": better, "worse": worse, "p": p}


def _train(
    data: HeteroData, config: Config, examples: Queries, folder: Path
) -> tuple[MetapathAttention, Pretraining]:
    """Train a scorer, or read the one that was trained before."""
    graph, path = graph_paths(data, config.paths), folder / "scorer.safetensors"
    if path.exists():
        scorer = new_scorer(config.scorer, config.paths.search, graph, config.seed)
        load_scorer(path, scorer)
        result = Pretraining(**read_json(folder / "pretraining.json"))
    else:
        scorer, result = path_scores.train(graph, config, examples)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "pretraining.json", asdict(result))
        save_scorer(path, scorer)
    assert isinstance(scorer, MetapathAttention)
    return scorer, result
