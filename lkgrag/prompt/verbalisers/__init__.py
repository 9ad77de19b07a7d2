"""Verbalisers: bundles of paths in words, as they stand behind a candidate's title in a prompt.

:mod:`~lkgrag.prompt.verbalisers.base` is the contract, and each wording is one class in one file.
:mod:`lkgrag.prompt.resolver` finds them by the word of ``prompt.verbaliser``.
"""

from lkgrag.prompt.verbalisers.base import Verbaliser
from lkgrag.prompt.verbalisers.compact import Compact
from lkgrag.prompt.verbalisers.silent import Silent

__all__ = ["Compact", "Silent", "Verbaliser"]
