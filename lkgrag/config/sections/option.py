"""How an option is declared."""

from __future__ import annotations

from dataclasses import field
from typing import Any


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
