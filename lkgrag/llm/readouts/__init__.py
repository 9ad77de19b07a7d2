"""Readouts: how the scores of a prompt's candidates are read off a language model's hidden states.

:mod:`~lkgrag.llm.readouts.base` is the contract, and each readout is one class in one file. A readout
says which models it can read, which layout a prompt must have, and which tokens attend to which.
:mod:`~lkgrag.llm.readouts.resolver` finds them by the word of ``llm.readout``.
"""

from lkgrag.llm.readouts.base import Attention, Readout, at
from lkgrag.llm.readouts.linear import LinearReadout
from lkgrag.llm.readouts.resolver import resolve_readout

__all__ = ["Attention", "LinearReadout", "Readout", "at", "resolve_readout"]
