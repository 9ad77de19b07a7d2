"""The options, with their types, defaults, meanings and ranges: one dataclass for each room.

A value comes from one of four places. In rising order of precedence these are the defaults below,
``preset=NAME`` (a YAML file of ``lkgrag/conf``), ``config=FILE``, and ``section.key=value`` words. This module
imports neither torch nor PyYAML, so that ``--help`` answers at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

#: Values of ``prompt.verbaliser`` that are the complete prompts of published methods.
PUBLISHED = ("reference", "llamarec")
#: Words of ``training.fuse``: the scores that are fused with those of the LM.
TERMS = ("scorer", "prior")
#: Words of ``retrieval.crossfit``.
CROSSFIT = ("windows", "users", "none")
#: Folds where ``retrieval.crossfit_folds`` names no number.
DEFAULT_FOLDS = {"windows": 2, "users": 4, "none": 2}
#: Words of ``serving.lm``.
SERVING = ("auto", "always", "never")
#: Words of ``serving.index``.
INDEXES = ("auto", "exact", "hnsw", "ivfpq")
#: Words of ``engine.name``.
ENGINES = ("auto", "memory", "duckdb")
#: Words of ``nodes.lrurec``.
SHARED = ("auto", "always", "never")
#: The value of ``llm.name`` for a run without a language model.
NO_LLM = "none"
#: The value of ``text.encoder`` for a run without vectors of the items' texts.
NO_ENCODER = "none"
#: The value of ``text.encoder`` that stands for the language model of ``llm.name``.
LM_ENCODER = "lm"
#: torch takes no larger seed than this.
LARGEST_SEED = 2**63 - 1


#: Words of ``training.tracker`` beside ``none``.
TRACKERS = ("tensorboard", "wandb", "mlflow")


def tracker_names(option: str) -> list[str]:
    """The words of ``training.tracker``, each once; empty for ``none``."""
    words = [word.strip() for word in option.split(",")]
    return [] if words == ["none"] else list(dict.fromkeys(words))


def opt(
    default: Any,
    help: str,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    path: bool = False,
) -> Any:
    """Declare an option: a dataclass field that keeps its meaning and its range beside the default.

    Args:
        default: the value.
        help: the meaning.
        choices: the allowed words; any by default.
        low: the smallest allowed number; in a list, of each element.
        high: the largest allowed number. An option takes infinity only if that is one of these limits.
        path: whether it names a file or folder, whose ``~`` stands for the home folder.
    """
    meta = {"help": help, "choices": choices, "low": low, "high": high, "path": path}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=meta)
    return field(default=default, metadata=meta)


@dataclass
class DataConfig:
    """Which interactions a run uses, and how they become sequences."""

    name: str = opt("ml-100k", "data set: a built-in name or the file stem of a RecBole folder")
    root: str | None = opt(
        None,
        "folder of the raw files, or a table or ZIP archive (default: they are fetched to the cache)",
        path=True,
    )
    reader: str = opt(
        "auto",
        "layout of the files: auto, table, recbole, movielens, movielens-100k, movielens-dat, amazon, or a "
        "custom reader as package.module:Class",
    )
    separator: str = opt(
        "\t",
        "text between the columns of RecBole files, as `,` or `::`; `\\t` is a tab (of plain tables: line 1 tells, "
        "unless this is set to something else)",
    )
    seq_separator: str = opt(
        " ",
        "text between the values of a token_seq in RecBole files (of a cell in plain tables: `|`, unless this is set)",
    )
    columns: dict[str, str] = opt(
        {},
        "names of the columns in plain tables, in RecBole and Amazon files and in tables in memory, if they differ "
        "from the usual ones, as {user: uid, item: iid, rating: score, time: ts, title: name}; also entity, head, "
        "relation, tail; numbers where line 1 is no header, as {user: 1, item: 2}",
    )
    time_unit: str = opt(
        "s",
        "unit of times: s, ms, us or ns since 1970, date (as 2015-03-31T12:00), or any (numbers that grow "
        "with time)",
        ("s", "ms", "us", "ns", "date", "any"),
    )
    untitled: str = opt("keep", "what to do with items without a title", ("keep", "drop"))
    min_user: int = opt(5, "keep users with at least this many interactions (k-core)", low=1)
    min_item: int = opt(5, "keep items with at least this many interactions (k-core)", low=1)
    min_rating: float | None = opt(None, "drop interactions rated lower than this")
    duplicates: str = opt(
        "last",
        "which interaction to keep if a user has an item more than once: the first, the last, or all (keep); "
        "error refuses such data",
        ("error", "first", "last", "keep"),
    )
    ties: str = opt(
        "hash",
        "order of one user's interactions at the same time: by a seeded hash of the ids, which adds no "
        "pattern (hash), by their order in the file, or by item id",
        ("hash", "file", "id"),
    )
    tie_seed: int = opt(0, "seed of the hash for data.ties=hash")
    split: str = opt(
        "leave_one_out",
        "what tests and validates: each user's last item and the one before it (leave_one_out); the last "
        "`data.rolling` items and as many before them (rolling); or what comes after two points in time, "
        "`data.val_from` and `data.test_from` (time)",
        ("leave_one_out", "rolling", "time"),
    )
    rolling: int = opt(
        5,
        "largest number of events of a user for validation, and again for test, with data.split=rolling or "
        "time",
        low=1,
    )
    val_from: str | None = opt(
        None,
        "data.split=time: training ends before this point; a date as 2015-03-31, or a number in the data's "
        "unit (default: the latest ninth of what precedes data.test_from validates)",
    )
    test_from: str | None = opt(
        None,
        "data.split=time: what is at or after this point tests (default: the latest tenth tests)",
    )


@dataclass
class TextConfig:
    """Vectors of the items' texts: title and attributes."""

    encoder: str = opt(
        "none",
        "model that turns each item's text into a vector, `data['item'].x`: none, minilm (built-in), lm (the "
        "language model of llm.name, without its head), a local folder, or a hub name as owner/name",
    )
    layer: int = opt(
        -1,
        "number of the encoder's lower layers; the output of the last of them is averaged over the text's tokens "
        "(0: all; -1: 20 of smollm2-135m's 30, and all of any other model)",
        low=-1,
    )


@dataclass
class KGConfig:
    """The heterogeneous knowledge graph."""

    relations: list[str] | None = opt(None, "keep only these relations (default: all)")
    exclude: list[str] = opt([], "drop these relations")
    users: bool = opt(True, "add user nodes, their attributes and `rated` edges (training only)")
    combine: bool = opt(
        False,
        "one node for each combination of an item's genres, and of its categories, as published, "
        "instead of one for each value",
    )
    behaviour: bool = opt(
        True, "add the relations `followed_by` and `co_rated`, counted on training data"
    )
    follow_window: int = opt(
        3, "`followed_by` joins an item with this many next items of the same user", low=1
    )
    co_rated_top: int = opt(
        20, "`co_rated` keeps this many of the strongest partners of each item", low=1
    )
    behaviour_min: int = opt(2, "behaviour edges need at least this many users", low=1)
    similar_titles: int = opt(
        10,
        "`similar_title` joins each item with this many items whose titles are most alike (0: none)",
        low=0,
    )
    temporal: bool = opt(
        False, "use only edges that were known strictly before the prediction's time"
    )


@dataclass
class RetrievalConfig:
    """Stage one: LRURec, counts, the graph, and their fusion."""

    k: int = opt(20, "candidates of a prompt", low=1)
    mask_seen: bool = opt(True, "never propose an item of the visible history")
    systems: list[str] | None = opt(
        None,
        "retrievers to fuse: lrurec, popularity, itemitem, graph_itemitem, ease, text, and custom ones as "
        "`package.module:Class` (default: all six, with ease only for up to 5,000 items, of the at most 20,000 "
        "that it takes, and text only where items have texts)",
    )
    kwargs: dict[str, dict[str, Any]] = opt(
        {}, "options of custom retrievers, as {name: {option: value}}"
    )
    hidden: int = opt(64, "LRURec: width", low=1)
    blocks: int = opt(2, "LRURec: number of blocks", low=1)
    dropout: float = opt(0.4, "LRURec: dropout", low=0, high=0.99)
    max_len: int = opt(100, "LRURec: longest window of a history, in items", low=1)
    lr: float = opt(3e-3, "LRURec: largest learning rate", low=0)
    weight_decay: float = opt(0.01, "LRURec: weight decay (not on the recurrence)", low=0)
    batch_size: int = opt(24, "LRURec: windows of a batch", low=1)
    sampled: int = opt(
        -1,
        "LRURec: number of random items that the labels of a step compete with (0: all items; -1: all items "
        "up to 50,000, beyond that 8,192)",
        low=-1,
    )
    epochs: int = opt(
        12, "LRURec: largest number of epochs; the learning rate falls over all of them", low=0
    )
    # The last epochs, with the lowest rates, are the best. Stopping before them costs more than it saves.
    patience: int = opt(
        12, "LRURec: epochs without a better validation NDCG@10 before training stops", low=0
    )
    # A constant is all that the events of training can't teach: no target among them is new.
    new_items: float = opt(
        0.0,
        "added to the fused score of items without training interactions, in nats; more than 0 brings new items "
        "into the lists, and costs known ones",
        low=-100,
        high=100,
    )
    decay: float = opt(
        0.8, "counts: weight of a history item is decay ** (its age in items)", low=0, high=1
    )
    crossfit_window: int = opt(
        10,
        "stage two is trained on this many last training interactions of a user; they are held back from "
        "the stage one that proposes their candidates",
        low=0,
    )
    crossfit_users: float = opt(1.0, "share of the users with such a window", low=0, high=1)
    crossfit_folds: int | None = opt(
        None,
        "folds of the users; each costs one more fit of stage one, which then misses the windows, or all "
        "interactions, of one fold only (default: 2 with windows; 4 with retrieval.crossfit=users, which "
        "needs at least 2)",
        low=1,
    )
    crossfit_lists: int = opt(
        10000,
        "retrieval.crossfit=users: most lists with their target that stage two is trained on; a user with "
        "many positions gives up some first",
        low=1,
    )
    crossfit: str = opt(
        "windows",
        "what the stage one behind stage two's training lists has not seen: the last training interactions "
        "of their users (windows); all interactions of their users, with lists at every training position "
        "from the second on (users); or nothing, for comparison only: it has seen the answers (none)",
        CROSSFIT,
    )


@dataclass
class PathsConfig:
    """Which paths join the history and a candidate."""

    history: int = opt(20, "number of latest history items that paths start from", low=1)
    max_length: int = opt(2, "longest meta-path, in edges", low=1, high=4)
    max_per_pair: int = opt(
        8, "largest number of path instances of a (history item, candidate) pair", low=1
    )
    through_items: bool = opt(False, "allow items as inner nodes of a path")
    relations: list[str] | None = opt(
        None, "relations that paths use (default: all); the others stay in the graph for stage one"
    )
    exclude: list[str] = opt([], "relations that paths do not use")
    search: str = opt(
        "metapaths",
        "all instances of the meta-paths within the limits above (metapaths), or, as published, one shortest "
        "path of any length for each pair (shortest)",
        ("metapaths", "shortest"),
    )


@dataclass
class ScorerConfig:
    """The module that learns which paths matter."""

    name: str = opt(
        "metapath_attention",
        "name of a built-in scorer (`metapath_attention`, `nbfnet`, `graphsage`, `rgcn`, `hgt`, `kgat`, `lightgcn`, "
        "`shortest`, `published`, `reference`) or of an entry point, or a custom one as `package.module:Class`",
    )
    kwargs: dict[str, Any] = opt({}, "further keyword arguments of the scorer's constructor")
    pretrain_epochs: int = opt(
        30,
        "largest number of epochs in which the scorer is trained alone, before the ranker (0: none)",
        low=0,
    )
    pretrain_lr: float = opt(3e-3, "learning rate while the scorer is trained alone", low=0)


@dataclass
class PromptConfig:
    """What the language model reads."""

    verbaliser: str = opt(
        "compact",
        "how paths are worded: short grades beside each candidate (compact); no paths (none); the published "
        "prompts of LlamaRec-LKG-RAG (reference) and LlamaRec (llamarec), which need "
        "llm.readout=letters; or a custom verbaliser as package.module:Class",
    )
    items: str = opt(
        "title",
        "what a prompt says of an item: its title, or its text, which is `title | brand | category`: the title and "
        "the two rarest values of each of its attributes in the graph",
        ("title", "text"),
    )
    history: int = opt(12, "number of latest history titles in the prompt", low=0)
    max_title: int = opt(
        10,
        "tokens after which a title is cut, or a text, whose title is cut first, to half of them at the least",
        low=1,
    )
    max_tokens: int = opt(
        768,
        "largest number of tokens of a prompt; a longer one loses paths first, each candidate for its own title, then "
        "the oldest history",
        low=1,
    )
    paths: int = opt(2, "largest number of worded paths of a candidate", low=0)
    choice: str = opt(
        "salience",
        "which paths of a candidate are worded: the most salient, or, for comparison, random ones",
        ("salience", "random"),
    )
    shuffle: bool = opt(
        False,
        "for comparison only: each candidate gets the words of another candidate of its list",
    )
    decay: float = opt(
        0.8,
        "weight of a path in a bundle's grade is decay ** (age of its history item in items)",
        low=0,
        high=1,
    )
    ratings: bool = opt(False, "show the ratings of history titles, where known")
    order: str = opt(
        "random",
        "order of the candidates in training and evaluation; published means random in training, and the "
        "retriever's order in evaluation",
        ("random", "retriever", "published"),
    )


@dataclass
class LLMConfig:
    """The language model and its adapter."""

    name: str = opt("smollm2-135m", "built-in name, local folder or hub name of a causal LM")
    dtype: str = opt(
        "auto",
        "type of the computation; auto: bfloat16 where it is fast",
        ("auto", "float32", "bfloat16", "float16"),
    )
    layers: int = opt(
        -1,
        "number of lower decoder layers that are kept (0: all; -1: 10 of smollm2-135m's 30, from which scores "
        "are read as well as from all, and all of any other model or for llm.readout=letters)",
        low=-1,
    )
    quantization: str = opt("none", "quantisation of the base weights", ("none", "nf4"))
    readout: str = opt(
        "candidates", "how scores are read from the LM's output", ("candidates", "letters")
    )
    attention: str = opt(
        "auto",
        "implementation of the attention; blocks computes only the parts that llm.readout=candidates uses",
        ("auto", "blocks", "eager", "sdpa"),
    )
    adapter: str = opt(
        "lora",
        "what of the language model learns: LoRA on its frozen weights (lora), all of its weights, in float32 (full), "
        "or all of them below 500 million parameters and LoRA above (auto)",
        ("lora", "full", "auto"),
    )
    lora_r: int = opt(16, "LoRA rank", low=1)
    lora_alpha: int = opt(32, "LoRA alpha", low=1)
    lora_dropout: float = opt(0.0, "LoRA dropout", low=0, high=0.99)
    lora_targets: str = opt(
        "all-linear", "`all-linear` or comma-separated module names, as `q_proj,v_proj`"
    )
    lora_layers: int = opt(-1, "number of upper layers that LoRA adapts (-1: all)", low=-1)
    gate: str = opt(
        "layer",
        "where the hidden states of a worded path are gated by its salience: below the lowest layer with LoRA, and "
        "never below the top layer alone (layer), or at the embeddings",
        ("layer", "embeddings", "off"),
    )
    gradient_checkpointing: bool = opt(False, "take less memory and more time")


@dataclass
class TrainingConfig:
    """The optimisation of stage two."""

    max_examples: int = opt(
        -1,
        "total number of training prompts (-1: the default budget: 96 on a CPU in float32, 400 on a CPU in "
        "bfloat16, every one on a GPU)",
        low=-1,
    )
    negatives: str = opt(
        "retriever",
        "the other candidates of training lists: what a cross-fitted stage one proposes, for the held-back "
        "windows (retriever); or, as published, random items, for every training interaction (uniform)",
        ("retriever", "uniform"),
    )
    fuse: list[str] = opt(
        ["scorer", "prior"], "what is added to the LM's scores: scorer, prior, both or nothing"
    )
    epochs: int = opt(2, "passes over the examples, unless max_examples is reached first", low=0)
    batch_size: int = opt(8, "prompts of an optimiser step, over all processes", low=1)
    batch_tokens: int = opt(
        0,
        "tokens of an optimiser step, over all processes, in place of training.batch_size; 28000 keep one large "
        "GPU busy (0: by prompts)",
        low=0,
    )
    micro_batch: int = opt(
        8, "prompts of a forward pass of one process; fewer take less memory", low=1
    )
    lr: float = opt(3e-4, "learning rate of LoRA, or of all weights with llm.adapter=full", low=0)
    head_lr: float = opt(3e-4, "learning rate of the readout's head and of the fusion", low=0)
    scorer_lr: float = opt(5e-5, "learning rate of the scorer within the ranker", low=0)
    weight_decay: float = opt(0.01, "weight decay", low=0)
    warmup: float = opt(0.06, "share of the steps in which the learning rate rises", low=0, high=1)
    clip: float = opt(1.0, "largest gradient norm (inf: no limit)", low=1e-6, high=math.inf)
    aux_lm: float = opt(1.0, "weight of the loss on the LM's scores alone", low=0)
    probe: int = opt(
        256,
        "prompts on which the readout's head is fitted before everything else is trained (0: none)",
        low=0,
    )
    fused_lm: float = opt(
        0.0,
        "share of the fused loss's gradient that reaches the LM, beside the gradient of the LM's own loss",
        low=0,
        high=1,
    )
    distill: float = opt(
        0.9,
        "share of the scorer's expectation in the targets of the loss on the LM's scores alone",
        low=0,
        high=1,
    )
    residual: bool = opt(
        False,
        "the fused loss adds the LM's scores to those of the scorer and the prior out of fold, with weights that "
        "were fitted before and stay fixed; the scorer is then trained alone only. training.fused_lm says how much "
        "of this loss's gradient reaches the LM",
    )
    wordless: float = opt(
        0.0,
        "share of the training prompts without path words, drawn anew in each epoch; ranking shows them all "
        "(prompt.verbaliser=none leaves them out of both)",
        low=0,
        high=1,
    )
    held_out: float = opt(
        0.0,
        "share of the training lists' users that are held out; the weights with the lowest fused loss on their "
        "lists are kept (0: the last weights)",
        low=0,
        high=0.9,
    )
    check_every: int = opt(
        50, "optimiser steps between looks at the lists of training.held_out", low=1
    )
    patience: int = opt(
        4,
        "looks at the lists of training.held_out without a lower loss before training stops",
        low=1,
    )
    aux_scorer: float = opt(0.5, "weight of the loss on the scorer's scores alone", low=0)
    checkpoint_every: int = opt(25, "optimiser steps between checkpoints", low=1)
    tracker: str = opt(
        "tensorboard",
        "where the run is logged, by Accelerate's trackers: tensorboard (learning curves, in the run's folder), wandb, "
        "mlflow (both: options, curves, tables, report), several as `wandb,mlflow`, or none",
    )


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


@dataclass
class Config:
    """All options of a run."""

    seed: int = opt(0, "seed of every random draw", low=0, high=LARGEST_SEED)
    preset: str | None = opt(
        None,
        "YAML of lkgrag/conf that changes defaults, as `reference`; in a list, as "
        "`amazon-beauty,llama-2-7b`, a later one overrides earlier ones",
    )
    out: str | None = opt(
        None, "the run's folder (default: outputs/<data>-<llm>-<hash>)", path=True
    )
    threads: int = opt(
        -1, "CPU threads of a process (-1: cores / local processes)", low=-1, high=4096
    )
    overwrite: bool = opt(False, "start anew in a folder that holds a run")
    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    kg: KGConfig = field(default_factory=KGConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    scorer: ScorerConfig = field(default_factory=ScorerConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    llm: LLMConfig = field(default_factory=LLMConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    serving: ServingConfig = field(default_factory=ServingConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    nodes: NodesConfig = field(default_factory=NodesConfig)
    cache: CacheConfig = field(default_factory=CacheConfig)
