"""The configuration: what there is to set, where values come from, and what they identify.

:mod:`~lkgrag.config.schema` declares every option, a dataclass a room. :func:`load_config` merges defaults,
presets, files and ``key=value`` words. Neither torch nor OmegaConf is imported until it is called, so that
``--help`` is instant.
"""

from typing import TYPE_CHECKING, Any

from lkgrag.config.schema import (
    LARGEST_SEED,
    NO_LLM,
    PUBLISHED,
    TERMS,
    CacheConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    KGConfig,
    LLMConfig,
    PathsConfig,
    PromptConfig,
    RetrievalConfig,
    ScorerConfig,
    TrainingConfig,
    opt,
)

if TYPE_CHECKING:
    from lkgrag.config.loading import load_config, presets

__all__ = [
    "LARGEST_SEED",
    "NO_LLM",
    "PUBLISHED",
    "TERMS",
    "CacheConfig",
    "Config",
    "DataConfig",
    "EvaluationConfig",
    "KGConfig",
    "LLMConfig",
    "PathsConfig",
    "PromptConfig",
    "RetrievalConfig",
    "ScorerConfig",
    "TrainingConfig",
    "load_config",
    "opt",
    "presets",
]


def __getattr__(name: str) -> Any:
    """``load_config`` and ``presets`` are imported when asked for: OmegaConf would slow ``--help``."""
    if name in ("load_config", "presets"):
        import lkgrag.config.loading

        return getattr(lkgrag.config.loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
