"""Options of how a run is evaluated, served, counted, spread and cached."""

from __future__ import annotations

from dataclasses import dataclass

from lkgrag.config.sections.option import opt

#: Words of ``serving.lm``.
SERVING = ("auto", "always", "never")
#: Words of ``serving.index``.
INDEXES = ("auto", "exact", "hnsw", "ivfpq")
#: Words of ``engine.name``.
ENGINES = ("auto", "memory", "duckdb")
#: Words of ``nodes.lrurec``.
SHARED = ("auto", "always", "never")


@dataclass
class EvaluationConfig:
    """How a run is evaluated."""

    ks: list[int] = opt(
        [5, 10, 20],
        "cut-offs of NDCG and Recall (NDCG@10, Recall@1, Recall@10 and MRR are always there)",
        low=1,
    )
    batch_size: int = opt(8, "prompts of a forward pass", low=1)
    max_events: int = opt(
        0,
        "prompts of each split that the LM ranks; every other system ranks all (-1: every retrieved one; 0: the "
        "default budget: 200 on a CPU in float32, 400 on a CPU in bfloat16, every one on a GPU)",
        low=-1,
    )
    max_val_events: int = opt(
        -1, "prompts of validation that the LM ranks (-1: as evaluation.max_events)", low=-1
    )
    bootstrap: int = opt(10000, "resamples of the paired bootstrap over users", low=1)
    explain: int = opt(3, "number of users whose rankings the terminal explains", low=0)
    groups: list[str] = opt(
        [],
        "attributes of users whose groups are compared, as `[gender,age]` (default: each with few values), beside "
        "groups by activity and by taste for popular items",
    )
    faithfulness: int = opt(
        32, "prompts whose evidence is deleted to measure its effect (0: none)", low=0
    )


@dataclass
class ServingConfig:
    """How a saved ranker serves."""

    lm: str = opt(
        "auto",
        "whether the ranker serves with its language model; auto: only if it earned a weight on validation",
        SERVING,
    )
    index: str = opt(
        "auto",
        "how stage one finds the candidates of a saved ranker: by the scores of all items (exact), or by an index of the "
        "extra `index` (hnsw: a graph of neighbours; ivfpq: compressed lists); auto: ivfpq from 50,000 items on, where "
        "faiss is installed. Training and evaluation always score all items",
        INDEXES,
    )


@dataclass
class EngineConfig:
    """What counts interactions. Every engine gives the same counts, so no result depends on it."""

    name: str = opt(
        "auto",
        "arrays in memory (memory), or queries that keep on disk what does not fit (duckdb, of the extra "
        "`large`); auto: duckdb, where it is installed, from the size on from which it is faster",
        ENGINES,
    )
    memory: str | None = opt(
        None,
        "memory that duckdb's queries and their results may take together, as 8GB or 500MB; with a cluster, in each "
        "worker (default: half of what is free)",
    )
    temp: str | None = opt(
        None,
        "folder for what does not fit into memory (default: beside the results, or the system's)",
        path=True,
    )


@dataclass
class NodesConfig:
    """How the processes of one launch work together, on one machine or many. No result depends on it."""

    lrurec: str = opt(
        "auto",
        "whether all processes train LRURec together, each with its part of every batch, or the first one trains and "
        "the others wait; auto: together on CPUs where a step has enough labels that it pays",
        SHARED,
    )
    timeout: float = opt(
        300.0,
        "seconds without a sign of life after which a process counts as lost and the others end",
        low=2,
        high=86400,
    )
    join: float = opt(
        300.0,
        "seconds in which all processes must have come and connected at the start",
        low=1,
        high=86400,
    )


@dataclass
class CacheConfig:
    """Where finished stages are stored."""

    root: str = opt("outputs/cache", "folder of cached stages, which all runs share", path=True)
    enabled: bool = opt(True, "reuse finished stages")
