"""The options, with their types, defaults, meanings and ranges: one dataclass for each section.

A value comes from one of four places. In rising order of precedence these are the defaults below,
``preset=NAME`` (a YAML file of ``lkgrag/conf``), ``config=FILE``, and ``section.key=value`` words. This module
imports neither torch nor PyYAML, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lkgrag.config.sections.data import LM_ENCODER, NO_ENCODER, DataConfig, KGConfig, TextConfig
from lkgrag.config.sections.option import opt
from lkgrag.config.sections.ranking import (
    NO_LLM,
    PUBLISHED,
    LLMConfig,
    PathsConfig,
    PromptConfig,
    ScorerConfig,
)
from lkgrag.config.sections.retrieval import CROSSFIT, DEFAULT_FOLDS, RetrievalConfig
from lkgrag.config.sections.running import (
    ENGINES,
    INDEXES,
    SERVING,
    SHARED,
    CacheConfig,
    EngineConfig,
    EvaluationConfig,
    NodesConfig,
    ServingConfig,
)
from lkgrag.config.sections.training import TERMS, TRACKERS, TrainingConfig, tracker_names

__all__ = [
    "CROSSFIT",
    "DEFAULT_FOLDS",
    "ENGINES",
    "INDEXES",
    "LARGEST_SEED",
    "LM_ENCODER",
    "NO_ENCODER",
    "NO_LLM",
    "PUBLISHED",
    "SERVING",
    "SHARED",
    "TERMS",
    "TRACKERS",
    "CacheConfig",
    "Config",
    "DataConfig",
    "EngineConfig",
    "EvaluationConfig",
    "KGConfig",
    "LLMConfig",
    "NodesConfig",
    "PathsConfig",
    "PromptConfig",
    "RetrievalConfig",
    "ScorerConfig",
    "ServingConfig",
    "TextConfig",
    "TrainingConfig",
    "opt",
    "tracker_names",
]

#: torch takes no larger seed than this.
LARGEST_SEED = 2**63 - 1


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
