"""The configuration: the options, where their values come from, and what they identify.

:mod:`~lkgrag.config.schema` declares every option, with one dataclass for each room. :func:`load_config`
merges defaults, presets, files and ``key=value`` words. OmegaConf is imported only when it is called, and
torch never, so that ``--help`` answers at once.
"""

from typing import TYPE_CHECKING, Any

from lkgrag.config.schema import (
    DEFAULT_FOLDS,
    LARGEST_SEED,
    LM_ENCODER,
    NO_ENCODER,
    NO_LLM,
    PUBLISHED,
    TERMS,
    CacheConfig,
    Config,
    DataConfig,
    EngineConfig,
    EvaluationConfig,
    KGConfig,
    LLMConfig,
    NodesConfig,
    PathsConfig,
    PromptConfig,
    RetrievalConfig,
    ScorerConfig,
    TextConfig,
    TrainingConfig,
    opt,
)

if TYPE_CHECKING:
    from lkgrag.config.loading import load_config, presets

__all__ = [
    "DEFAULT_FOLDS",
    "LARGEST_SEED",
    "LM_ENCODER",
    "NO_ENCODER",
    "NO_LLM",
    "PUBLISHED",
    "TERMS",
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
    "TextConfig",
    "TrainingConfig",
    "load_config",
    "opt",
    "presets",
]


def __getattr__(name: str) -> Any:
    """Import ``load_config`` and ``presets`` on first use, because PyYAML would slow ``--help``."""
    if name in ("load_config", "presets"):
        # Only here: --help is printed without PyYAML.
        import lkgrag.config.loading

        return getattr(lkgrag.config.loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
