"""Names that a run's files use, shared by the rooms that write and read them."""

from __future__ import annotations

#: Order of the systems in tables; custom retrievers come between the built-in ones and ``retriever``.
SYSTEM_ORDER = (
    "random",
    "popularity",
    "itemitem",
    "graph_itemitem",
    "ease",
    "lrurec",
    "retriever",
    "lm",
    "scorer",
    "ranker",
)
#: Keys of ``metrics.json`` beside the systems; no system may have such a name.
BESIDE = (
    "format",
    "data",
    "code",
    "llm",
    "dtype",
    "seed",
    "versions",
    "commit",
    "date",
    "hardware",
    "device",
    "processes",
    "threads",
    "seconds",
    "tokens_per_prompt",
    "prompts_ranked",
    "cross_entropy",
    "mask_seen",
    "faithfulness",
    "cold_start",
    "fusion",
    "stage_one",
    "differences",
)
