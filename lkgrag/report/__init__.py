"""The report of a run: a self-contained page, and its pictures as PNG and SVG.

Names are imported when they are asked for: the command's ``--help`` does not wait for matplotlib.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lkgrag.report.page import PICTURES, recommendation_page, write_report
    from lkgrag.report.run_data import prompt_tables
    from lkgrag.utils.layout import PAGE, PROMPTS, SALIENCE

__all__ = [
    "PAGE",
    "PICTURES",
    "PROMPTS",
    "SALIENCE",
    "prompt_tables",
    "recommendation_page",
    "write_report",
]

_MODULES = {
    "PAGE": "lkgrag.utils.layout",
    "PICTURES": "lkgrag.report.page",
    "PROMPTS": "lkgrag.utils.layout",
    "SALIENCE": "lkgrag.utils.layout",
    "prompt_tables": "lkgrag.report.run_data",
    "recommendation_page": "lkgrag.report.page",
    "write_report": "lkgrag.report.page",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
