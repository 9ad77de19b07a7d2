"""Saving and loading of a scorer's state as a file of tensors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lkgrag.errors import ConfigError
from lkgrag.scorer.base import option_of
from lkgrag.utils.failures import LONGEST_CAUSE, shorten
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from lkgrag.scorer.base import PathScorer


def save_scorer(path: str | os.PathLike[str], scorer: PathScorer) -> None:
    """Write the state as safetensors, atomically.

    Raises:
        ConfigError: the state holds something other than dense tensors.
        LkgragError: the file cannot be written.
    """
    state = scorer.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.layout != torch.strided:
            kind = type(value).__name__ if not isinstance(value, Tensor) else "sparse tensor"
            raise ConfigError(
                f"{option_of(scorer)}: its state holds '{name}', a {kind}, but only dense tensors can be "
                "saved; use tensors, or make it an argument of the constructor"
            )
    write_safetensors(path, state)


def load_scorer(path: str | os.PathLike[str], scorer: PathScorer) -> None:
    """Load a saved state into a scorer.

    Raises:
        ConfigError: the state does not fit the scorer's class.
        LkgragError: the file is missing or broken.
    """
    state = read_safetensors(path)
    try:
        scorer.load_state_dict(state)
    except RuntimeError as error:
        cause = shorten(str(error), LONGEST_CAUSE)
        raise ConfigError(
            f"{option_of(scorer)}: {path} does not fit a new scorer of this class ({cause}); its constructor "
            "must register all parameters and buffers; if the class has changed, train again"
        ) from error
