"""Verbalisers: bundles of paths in words.

A custom one derives from :class:`Verbaliser` and is named by ``prompt.verbaliser`` as
``package.module:Class``, or by its name after :func:`register_verbaliser`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.config import PUBLISHED
from lkgrag.errors import ConfigError, nearest
from lkgrag.prompt.verbalisers.base import Verbaliser
from lkgrag.prompt.verbalisers.compact import Compact
from lkgrag.prompt.verbalisers.silent import Silent
from lkgrag.utils.plugins import imported

if TYPE_CHECKING:
    pass


_VERBALISERS: dict[str, type[Verbaliser]] = {"compact": Compact, "none": Silent}


def register_verbaliser(name: str, verbaliser: type[Verbaliser]) -> None:
    """Make a verbaliser known by a name of ``prompt.verbaliser``, in this process."""
    _VERBALISERS[name] = verbaliser


def resolve_verbaliser(name: str) -> type[Verbaliser]:
    """The class that ``prompt.verbaliser`` means, where it is no published prompt.

    Args:
        name: a registered name, or ``package.module:Class``.

    Raises:
        ConfigError: no such verbaliser, it cannot be imported, or it is none.
    """
    if name in _VERBALISERS:
        return _VERBALISERS[name]
    if ":" in name:
        return imported(name, "prompt.verbaliser", Verbaliser)
    known = [*_VERBALISERS, *PUBLISHED]
    raise ConfigError(
        f"prompt.verbaliser={name}: no such verbaliser.{nearest(name, known)} "
        f"There are: {', '.join(known)}; write your own as package.module:Class"
    )
