"""Stored scores, so that an interrupted evaluation goes on without the language model's work so far."""

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
from lkgrag.utils.files import read_safetensors, tensor_bytes, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from accelerate import Accelerator
    from numpy.typing import NDArray
    from torch import nn

    from lkgrag.data import Queries

log = logging.getLogger(__name__)

_FIELDS = ("terms", "mask", "tokens", "shares")
SECONDS, KEY = "seconds", "key"


@dataclass(frozen=True)
class ScoreCache:
    """Files of scores, one for each set of queries, with a hash of all that the scores depend on.

    Attributes:
        folder: folder of the files.
        depends: plain values that scores depend on, beside weights and queries.
    """

    folder: Path
    depends: dict[str, Any]

    def key(self, model: nn.Module, queries: Queries) -> str:
        """A hash of all that scores depend on: options, trained weights and queries."""
        learned = hashlib.sha256()
        for name, parameter in sorted(model.named_parameters()):
            # Scores come before the fusion's weights, and the options name all that is frozen.
            if parameter.requires_grad and not name.startswith("fusion."):
                learned.update(name.encode())
                learned.update(tensor_bytes(parameter))
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
        """Read the scores of a model for queries, or compute and write them if the file holds others.

        Args:
            name: of the file, without its suffix.
            model: the model that scores.
            queries: the queries to score.
            score: computes the scores, on all processes together.
            accelerator: of the processes; the file of the first one counts.

        Returns:
            The scores, and the seconds that their computation took.
        """
        path, key = self.folder / f"{name}.safetensors", self.key(model, queries)
        is_first = accelerator is None or accelerator.is_main_process
        stored = _read(path, key) if is_first else None
        if accelerator is not None and accelerator.num_processes > 1:
            message = [stored]
            broadcast_object_list(message)
            stored = message[0]
        if stored is not None:
            log.info("the scores in %s are taken over", path)
            predictions = Predictions(**{name: stored[name] for name in _FIELDS})
            return predictions, float(stored[SECONDS])
        predictions, seconds = measure_time(score)
        if is_first:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensors = {name: torch.as_tensor(getattr(predictions, name)) for name in _FIELDS}
            tensors[SECONDS] = torch.tensor(seconds, dtype=torch.float64)
            write_safetensors(path, {**tensors, KEY: _as_tensor(key)}, has_sum=True)
        return predictions, seconds


def measure_time(score: Callable[[], Predictions]) -> tuple[Predictions, float]:
    """Compute scores; return them with the seconds that it took."""
    start = time.perf_counter()
    predictions = score()
    return predictions, time.perf_counter() - start


def _read(path: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """The arrays of a file by name; None if it is missing, broken, or has another key."""
    if not path.exists():
        return None
    try:
        tensors = read_safetensors(path)
    except LkgragError as error:
        log.warning("%s; the scores are computed again", error)
        return None
    if set(tensors) != {*_FIELDS, SECONDS, KEY} or not torch.equal(tensors[KEY], _as_tensor(key)):
        return None
    return {name: tensors[name].numpy() for name in (*_FIELDS, SECONDS)}


def _as_tensor(key: str) -> torch.Tensor:
    """A key as uint8 ``[N]``, which safetensors can store."""
    return torch.frombuffer(bytearray(key.encode()), dtype=torch.uint8)
