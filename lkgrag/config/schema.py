"""Typed configuration: one dataclass a room, no globals, nothing parsed at import.

This module imports neither torch nor OmegaConf at load time, so that ``--help`` is instant. A value
comes from, in rising order of precedence: the defaults below, ``preset=NAME`` (a YAML file of
``lkgrag/conf``), a ``config=FILE``, and ``section.key=value`` overrides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

#: Wordings of ``prompt.verbaliser`` that are whole prompts of the published methods.
PUBLISHED = ("reference", "llamarec")
#: What the LM's scores are fused with, by the words of ``training.fuse``.
TERMS = ("scorer", "prior")
#: The word for ``llm.name`` that leaves the language model out.
NO_LLM = "none"
#: torch takes no seed beyond 64 bits.
LARGEST_SEED = 2**63 - 1


def opt(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field with its meaning and what it takes kept beside the default.

    Args:
        default: value.
        help: meaning.
        choices: allowed words.
        low: least number; that of each element of a list.
        high: largest number; no option takes an infinity that is not its bound.
    """
    meta = {"help": help, "choices": choices, "low": low, "high": high}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=meta)
    return field(default=default, metadata=meta)


@dataclass
class DataConfig:
    """Which interactions, and how they become sequences."""

    name: str = opt("ml-100k", "data set: a built-in name or the file stem of a RecBole folder")
    root: str | None = opt(None, "folder that holds the raw files (default: fetched to the cache)")
    reader: str = opt(
        "auto",
        "layout of the files: auto, recbole, movielens, movielens-100k, movielens-dat, amazon, or your own "
        "as package.module:Class",
    )
    separator: str = opt(
        "\t", "between the columns of RecBole files, as `,` or `::`; `\\t` is a tab"
    )
    seq_separator: str = opt(" ", "between the values of a token_seq in RecBole files")
    columns: dict[str, str] = opt(
        {},
        "columns of RecBole files and of tables in memory that have other names, as "
        "{user: uid, item: iid, rating: score, time: ts, title: name}; also entity, head, "
        "relation, tail",
    )
    time_unit: str = opt(
        "s",
        "unit of times: s, ms, us or ns since 1970, date (as 2015-03-31T12:00), or any "
        "number that grows",
        ("s", "ms", "us", "ns", "date", "any"),
    )
    untitled: str = opt("keep", "items without a title", ("keep", "drop"))
    min_user: int = opt(5, "keep users with at least this many interactions (k-core)", low=1)
    min_item: int = opt(5, "keep items with at least this many interactions (k-core)", low=1)
    min_rating: float | None = opt(None, "drop interactions rated lower than this")
    duplicates: str = opt(
        "last",
        "same user and item twice: keep which, or refuse",
        ("error", "first", "last", "keep"),
    )
    ties: str = opt(
        "hash",
        "order of interactions of one user at one time: a seeded hash of the ids (no artificial "
        "pattern), the order in the file, or the item id",
        ("hash", "file", "id"),
    )
    tie_seed: int = opt(0, "seed of the tie order `hash`")
    split: str = opt(
        "leave_one_out",
        "last item tests and the one before validates; the last `data.rolling` of each; or what "
        "comes after two points in time, `data.val_from` and `data.test_from`",
        ("leave_one_out", "rolling", "time"),
    )
    rolling: int = opt(
        5,
        "most events a user for validation, and again for test, with split=rolling or time",
        low=1,
    )
    val_from: str | None = opt(
        None,
        "split=time: nothing at or after this is trained on; a date as 2015-03-31 or a number in "
        "the data's unit (default: before a ninth of what precedes data.test_from)",
    )
    test_from: str | None = opt(
        None, "split=time: what is at or after this tests (default: the latest tenth)"
    )


@dataclass
class KGConfig:
    """The heterogeneous knowledge graph."""

    relations: list[str] | None = opt(None, "keep only these relations (default: all)")
    exclude: list[str] = opt([], "drop these relations")
    users: bool = opt(True, "user nodes, their attributes and `rated` edges (training only)")
    combine: bool = opt(
        False,
        "one node for each combination of an item's genres, and of its categories, as published, "
        "instead of one for each value",
    )
    behaviour: bool = opt(True, "`followed_by` and `co_rated` relations counted on training data")
    follow_window: int = opt(
        3, "`followed_by` joins an item with the next so many of the same user", low=1
    )
    co_rated_top: int = opt(20, "`co_rated` keeps each item's so many strongest partners", low=1)
    behaviour_min: int = opt(2, "behaviour edges need at least this many users", low=1)
    similar_titles: int = opt(
        10,
        "`similar_title` joins each item with so many whose titles are most alike (0: none)",
        low=0,
    )
    temporal: bool = opt(False, "only edges known strictly before the prediction's time")


@dataclass
class RetrievalConfig:
    """Stage one: LRURec, counts, the graph, and their fusion."""

    k: int = opt(20, "candidates a prompt", low=1)
    mask_seen: bool = opt(True, "never propose an item of the visible history")
    systems: list[str] | None = opt(
        None,
        "what is fused, of lrurec, popularity, itemitem, graph_itemitem, ease, and your own as "
        "`package.module:Class` (default: all five, but ease for up to 5,000 items only; at most it takes "
        "20,000)",
    )
    kwargs: dict[str, dict[str, Any]] = opt(
        {}, "options of your own retrievers, as {name: {option: value}}"
    )
    hidden: int = opt(64, "LRURec: width", low=1)
    blocks: int = opt(2, "LRURec: number of blocks", low=1)
    dropout: float = opt(0.4, "LRURec: dropout", low=0, high=0.99)
    max_len: int = opt(100, "LRURec: longest window of a history, in items", low=1)
    lr: float = opt(3e-3, "LRURec: largest learning rate", low=0)
    weight_decay: float = opt(0.01, "LRURec: weight decay (not on the recurrence)", low=0)
    batch_size: int = opt(24, "LRURec: windows a batch", low=1)
    sampled: int = opt(
        -1,
        "LRURec: random items that a step's labels compete with (0: all items; -1: all of up to "
        "50,000, else 8,192)",
        low=-1,
    )
    epochs: int = opt(12, "LRURec: most epochs; the learning rate falls over all of them", low=0)
    # The best epochs are those of the lowest rates, the last ones: to stop before costs more than it saves.
    patience: int = opt(
        12, "LRURec: epochs without a better validation NDCG@10 before it stops", low=0
    )
    decay: float = opt(
        0.8, "counts: weight of a history item is decay ** (its age in items)", low=0, high=1
    )
    crossfit_window: int = opt(
        10,
        "stage two learns on the last so many training interactions of a user, held back from "
        "the stage one that proposes its candidates",
        low=0,
    )
    crossfit_users: float = opt(1.0, "share of the users with such a window", low=0, high=1)
    crossfit_folds: int = opt(
        2,
        "folds of the users with windows; each costs one more fit of stage one, which then misses the "
        "windows of one fold only",
        low=1,
    )
    crossfit: bool = opt(
        True,
        "false, for comparison only: the lists come from a stage one that has seen the answers",
    )


@dataclass
class PathsConfig:
    """Which paths join the history and a candidate."""

    history: int = opt(20, "latest history items that paths start from", low=1)
    max_length: int = opt(2, "longest meta-path, in edges", low=1, high=4)
    max_per_pair: int = opt(8, "most path instances a (history item, candidate) pair", low=1)
    through_items: bool = opt(False, "allow items as inner nodes of a path")
    relations: list[str] | None = opt(
        None, "paths go over these relations only; the others stay in the graph, for stage one"
    )
    exclude: list[str] = opt([], "relations that paths do not go over")
    search: str = opt(
        "metapaths",
        "all instances of the meta-paths within the limits above, or, as published, one shortest "
        "path of any length a pair",
        ("metapaths", "shortest"),
    )


@dataclass
class ScorerConfig:
    """The module that learns which paths matter."""

    name: str = opt(
        "metapath_attention", "registered name, `package.module:Class`, or entry point's name"
    )
    kwargs: dict[str, Any] = opt({}, "further keyword arguments of the scorer's constructor")
    pretrain_epochs: int = opt(
        30, "most epochs of training alone before the ranker (0: none)", low=0
    )
    pretrain_lr: float = opt(3e-3, "learning rate of training alone", low=0)


@dataclass
class PromptConfig:
    """What the language model reads."""

    verbaliser: str = opt(
        "compact",
        "wording: short grades beside each candidate (compact); no paths (none); the published "
        "prompts of LlamaRec-LKG-RAG (reference) and LlamaRec (llamarec), which need "
        "llm.readout=letters; or your own as package.module:Class",
    )
    history: int = opt(12, "latest history titles in the prompt", low=0)
    max_title: int = opt(10, "tokens a title, then cut", low=1)
    max_tokens: int = opt(
        768, "token budget of a prompt: paths go first, then the oldest history", low=1
    )
    paths: int = opt(2, "most worded paths a candidate", low=0)
    choice: str = opt(
        "salience",
        "which paths of a candidate are worded: the most salient, or, for comparison, random ones",
        ("salience", "random"),
    )
    shuffle: bool = opt(
        False, "for comparison only: each candidate gets the words of another one of its list"
    )
    decay: float = opt(
        0.8,
        "a path counts decay ** (age of its history item in items) in a bundle's grade",
        low=0,
        high=1,
    )
    ratings: bool = opt(False, "the ratings of history titles, where known")
    order: str = opt(
        "random",
        "order of the candidates, in training and evaluation; published: random in training, the "
        "retriever's in evaluation",
        ("random", "retriever", "published"),
    )


@dataclass
class LLMConfig:
    """The language model and its adapter."""

    name: str = opt("smollm2-135m", "built-in name, local folder or hub name of a causal LM")
    dtype: str = opt(
        "auto",
        "computation type; auto: bfloat16 where fast",
        ("auto", "float32", "bfloat16", "float16"),
    )
    quantization: str = opt("none", "base weights", ("none", "nf4"))
    readout: str = opt("candidates", "how scores are read off the LM", ("candidates", "letters"))
    attention: str = opt(
        "auto",
        "attention implementation; blocks computes only what the candidates readout allows",
        ("auto", "blocks", "eager", "sdpa"),
    )
    lora_r: int = opt(16, "LoRA rank", low=1)
    lora_alpha: int = opt(32, "LoRA alpha", low=1)
    lora_dropout: float = opt(0.0, "LoRA dropout", low=0, high=0.99)
    lora_targets: str = opt(
        "all-linear", "`all-linear` or comma-separated module names, as `q_proj,v_proj`"
    )
    lora_layers: int = opt(-1, "adapt only the upper so many layers (-1: all)", low=-1)
    gate: str = opt(
        "layer",
        "where a worded path's hidden states meet its salience",
        ("layer", "embeddings", "off"),
    )
    gradient_checkpointing: bool = opt(False, "trade time for memory")


@dataclass
class TrainingConfig:
    """Stage two's optimisation."""

    max_examples: int = opt(
        -1,
        "prompts trained on in all (-1: the default budget: 800 on a CPU, every one on a GPU)",
        low=-1,
    )
    negatives: str = opt(
        "retriever",
        "the other candidates of training lists: what a cross-fitted stage one proposes, for the "
        "held-back windows; or random items, for every training interaction, as published",
        ("retriever", "uniform"),
    )
    fuse: list[str] = opt(
        ["scorer", "prior"], "what is added to the LM's scores: scorer, prior, both or nothing"
    )
    epochs: int = opt(2, "passes over the examples, unless max_examples ends first", low=0)
    batch_size: int = opt(8, "prompts an optimiser step, over all processes", low=1)
    micro_batch: int = opt(
        8, "prompts a forward pass of one process; smaller takes less memory", low=1
    )
    lr: float = opt(3e-4, "learning rate of LoRA", low=0)
    head_lr: float = opt(3e-4, "learning rate of the readout's head and of the fusion", low=0)
    scorer_lr: float = opt(5e-5, "learning rate of the scorer within the ranker", low=0)
    weight_decay: float = opt(0.01, "weight decay", low=0)
    warmup: float = opt(0.06, "share of the steps in which the rate rises", low=0, high=1)
    clip: float = opt(1.0, "largest gradient norm (inf: no limit)", low=1e-6, high=math.inf)
    aux_lm: float = opt(1.0, "weight of the loss on the LM's scores alone", low=0)
    probe: int = opt(
        128, "prompts that the readout's head is fitted on before all else learns (0: none)", low=0
    )
    fused_lm: float = opt(
        0.0,
        "share of the fused loss's gradient that reaches the LM, beside its own loss",
        low=0,
        high=1,
    )
    distill: float = opt(
        0.9, "share of the scorer's expectation in what the LM alone is taught", low=0, high=1
    )
    aux_scorer: float = opt(0.5, "weight of the loss on the scorer's scores alone", low=0)
    checkpoint_every: int = opt(25, "optimiser steps between checkpoints", low=1)
    tracker: str = opt(
        "tensorboard", "Accelerate tracker for learning curves", ("tensorboard", "none")
    )


@dataclass
class EvaluationConfig:
    """How a run is judged."""

    ks: list[int] = opt(
        [5, 10, 20], "cut-offs of NDCG and Recall (Recall@1 and MRR are always there)", low=1
    )
    batch_size: int = opt(8, "prompts a forward pass", low=1)
    max_events: int = opt(-1, "prompts that the LM ranks a split (-1: every retrieved one)", low=-1)
    max_val_events: int = opt(
        -1, "of validation, prompts that the LM ranks (-1: max_events)", low=-1
    )
    bootstrap: int = opt(10000, "resamples of the paired bootstrap over users", low=1)
    explain: int = opt(3, "users explained in the terminal", low=0)
    faithfulness: int = opt(
        32, "prompts whose evidence is deleted to see what it did (0: none)", low=0
    )


@dataclass
class CacheConfig:
    """Where stages are kept."""

    root: str = opt("outputs/cache", "folder of cached stages, shared by all runs")
    enabled: bool = opt(True, "reuse finished stages")


@dataclass
class Config:
    """Everything that a run depends on."""

    seed: int = opt(0, "seed of every random draw", low=0, high=LARGEST_SEED)
    preset: str | None = opt(
        None,
        "YAML of lkgrag/conf that changes defaults, as `reference`; of several, as "
        "`amazon-beauty,llama-2-7b`, the later one wins",
    )
    out: str | None = opt(None, "the run's folder (default: outputs/<data>-<llm>-<hash>)")
    threads: int = opt(-1, "CPU threads a process (-1: cores / local processes)", low=-1, high=4096)
    overwrite: bool = opt(False, "begin anew in a folder that holds a run")
    data: DataConfig = field(default_factory=DataConfig)
    kg: KGConfig = field(default_factory=KGConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
