"""Scores that an interrupted evaluation left: read again instead of asking the language model again."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate.utils import broadcast_object_list

from lkgrag.config.identity import computed, digest
from lkgrag.errors import LkgragError
from lkgrag.ranker.scoring import Predictions
from lkgrag.run.keys import code_of_others
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from accelerate import Accelerator

    from lkgrag.config import Config
    from lkgrag.data import Queries
    from lkgrag.ranker.model import Ranker

log = logging.getLogger(__name__)

_FIELDS = ("terms", "mask", "tokens", "shares")
SECONDS, KEY = "seconds", "key"


def scores_key(config: Config, ranker: Ranker, queries: Queries) -> str:
    """A hash of all that scores depend on: options, learned weights, what is asked.

    Of ``evaluation`` only the size of a batch, which rounding knows; how many events are read is part of
    what is asked, and the rest comes after the scores.
    """
    found = hashlib.sha256()
    for name, parameter in sorted(ranker.named_parameters()):
        # The fusion's weights are applied to the scores; whatever is frozen, the options name.
        if parameter.requires_grad and not name.startswith("fusion."):
            found.update(name.encode())
            value = parameter.detach().cpu().contiguous().flatten().view(torch.uint8)
            found.update(value.numpy().tobytes())
    for name, array in vars(queries).items():
        found.update(name.encode())
        found.update(np.ascontiguousarray(array).tobytes())
    sections = ("data", "kg", "retrieval", "paths", "scorer", "prompt", "llm")
    said = computed(config)
    options = {name: said[name] for name in sections}
    known = {"seed": config.seed, "batch_size": config.evaluation.batch_size}
    # Code that was edited computes something else, whatever its name.
    return digest({"learned": found.hexdigest(), **known, **options, **code_of_others(config)})


def kept(
    path: Path | None,
    key: str,
    make: Callable[[], Predictions],
    accelerator: Accelerator | None,
) -> tuple[Predictions, float]:
    """The scores in a file, if they are those of the key; made and written otherwise.

    Args:
        path: of the file; None keeps none.
        key: of :func:`scores_key`.
        make: scores anew, on all processes together.
        accelerator: of the processes; the first one's file counts.

    Returns:
        The scores, and the seconds that it took to make them.
    """
    first = accelerator is None or accelerator.is_main_process
    found: list[Any] = [_read(path, key) if first and path is not None else None]
    if path is not None and accelerator is not None and accelerator.num_processes > 1:
        broadcast_object_list(found)
    if found[0] is not None:
        log.info("the scores in %s are taken over", path)
        return Predictions(**{name: found[0][name] for name in _FIELDS}), float(found[0][SECONDS])
    start = time.perf_counter()
    made = make()
    seconds = time.perf_counter() - start
    if first and path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {name: torch.as_tensor(getattr(made, name)) for name in _FIELDS}
        tensors[SECONDS] = torch.tensor(seconds, dtype=torch.float64)
        write_safetensors(path, {**tensors, KEY: _as_tensor(key)})
    return made, seconds


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
