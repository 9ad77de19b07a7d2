"""Options of what stage two is made of: paths, scorer, prompt and language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lkgrag.config.sections.option import opt

#: Values of ``prompt.verbaliser`` that are the complete prompts of published methods.
PUBLISHED = ("reference", "llamarec")
#: The value of ``llm.name`` for a run without a language model.
NO_LLM = "none"


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
