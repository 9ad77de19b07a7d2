"""lkgrag: recommendation ranking with a language model and the paths of a knowledge graph."""

import importlib
from typing import TYPE_CHECKING, Any

from lkgrag.utils.moved import install

__version__ = "0.1.0"

if TYPE_CHECKING:
    from lkgrag.config.loading import load_config
    from lkgrag.data.interactions import Interactions
    from lkgrag.run.fitting import fit
    from lkgrag.run.pipeline import train
    from lkgrag.run.reevaluate import evaluate
    from lkgrag.serving.ranker import Ranker

install()

__all__ = ["Interactions", "Ranker", "__version__", "evaluate", "fit", "load_config", "train"]

#: Public names and their modules, which are imported on first use, so that ``--help`` needs no torch.
_LAZY = {
    "Interactions": "lkgrag.data.interactions",
    "Ranker": "lkgrag.serving.ranker",
    "fit": "lkgrag.run.fitting",
    "load_config": "lkgrag.config.loading",
}
#: Commands that are also functions: ``lkgrag.train(config)`` does what ``python -m lkgrag.train`` does.
_COMMANDS = ("evaluate", "train")


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _COMMANDS:
        return importlib.import_module(f"lkgrag.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
