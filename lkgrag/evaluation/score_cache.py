"""Scores that an interrupted evaluation left: read again instead of asking the language model again."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from lkgrag.config.identity import digest
from lkgrag.errors import LkgragError
from lkgrag.ranker.scoring import Predictions
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator
    from torch import nn

    from lkgrag.data import Queries

log = logging.getLogger(__name__)

_FIELDS = ("terms", "mask", "tokens", "shares")
SECONDS, KEY = "seconds", "key"


@dataclass(frozen=True)
class ScoreCache:
    """Files of scores, one a set of queries, each with the hash of all that its scores depend on.

    Attributes:
        folder: of the files.
        depends: what scores depend on beside weights and queries, as plain values.
    """

    folder: Path
    depends: dict[str, Any]

    def key(self, model: nn.Module, queries: Queries) -> str:
        """A hash of all that scores depend on: options, learned weights, and what is asked."""
        learned = hashlib.sha256()
        for name, parameter in sorted(model.named_parameters()):
            # The fusion's weights are applied to the scores; whatever is frozen, the options name.
            if parameter.requires_grad and not name.startswith("fusion."):
                learned.update(name.encode())
                value = parameter.detach().cpu().contiguous().flatten().view(torch.uint8)
                learned.update(value.numpy().tobytes())
        for name, array in vars(queries).items():
            learned.update(name.encode())
            learned.update(np.ascontiguousarray(array).tobytes())
        return digest({"learned": learned.hexdigest(), **self.depends})

    def load_or_score(
        self,
        name: str,
        model: nn.Module,
        queries: Queries,
        score: Callable[[], Predictions],
        accelerator: Accelerator | None = None,
    ) -> tuple[Predictions, float]:
        """The scores in a file, if they are those of the model and the queries; scored and written otherwise.

        Args:
            name: of the file, without its ending.
            model: that scores.
            queries: that are scored.
            score: scores anew, on all processes together.
            accelerator: of the processes; the first one's file counts.

        Returns:
            The scores, and the seconds that it took to make them.
        """
        path, key = self.folder / f"{name}.safetensors", self.key(model, queries)
        is_first = accelerator is None or accelerator.is_main_process
        stored: list[Any] = [_read(path, key) if is_first else None]
        if accelerator is not None and accelerator.num_processes > 1:
            broadcast_object_list(stored)
        if stored[0] is not None:
            log.info("the scores in %s are taken over", path)
            predictions = Predictions(**{name: stored[0][name] for name in _FIELDS})
            return predictions, float(stored[0][SECONDS])
        predictions, seconds = timed(score)
        if is_first:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors = {name: torch.as_tensor(getattr(predictions, name)) for name in _FIELDS}
            tensors[SECONDS] = torch.tensor(seconds, dtype=torch.float64)
            write_safetensors(path, {**tensors, KEY: _as_tensor(key)})
        return predictions, seconds


def timed(score: Callable[[], Predictions]) -> tuple[Predictions, float]:
    """Scores, and the seconds that it took to make them."""
    start = time.perf_counter()
    predictions = score()
    return predictions, time.perf_counter() - start


def _read(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        tensors = read_safetensors(path)
    except LkgragError as error:
        log.warning("%s; the scores are made again", error)
        return None
    if set(tensors) != {*_FIELDS, SECONDS, KEY} or not torch.equal(tensors[KEY], _as_tensor(key)):
        return None
    return {name: tensors[name].numpy() for name in (*_FIELDS, SECONDS)}


def _as_tensor(key: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(key.encode()), dtype=torch.uint8)
