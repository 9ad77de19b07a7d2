"""What a language model asks of the machine, before it is loaded: memory for its weights, and fast products."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lkgrag.errors import ModelError
from lkgrag.llm.full import TRAINED
from lkgrag.llm.loading import (
    bf16_is_fast,
    compute_dtype,
    count_kept_parameters,
    is_trained_whole,
)
from lkgrag.utils.launcher import count_local_processes
from lkgrag.utils.memory import free_memory

if TYPE_CHECKING:
    from lkgrag.config import LLMConfig

log = logging.getLogger(__name__)
GIB = 2**30
#: Bytes of a parameter in 4 bits, with the constants of its block.
FOUR_BIT = 0.6
#: Rows, columns and inner size of the product that is timed: a feed-forward layer of a small model.
PRODUCT = (256, 1536, 576)
#: How often it is timed; the fastest counts.
TIMES = 3
#: Least factor of bfloat16 over float32 that a warning tells.
SLOW = 1.2


def warn_of_slow_bf16(config: LLMConfig, device: torch.device) -> None:
    """Warn of ``llm.dtype=bfloat16`` on a CPU that multiplies it slower than float32, with the measured factor."""
    if config.dtype != "bfloat16" or device.type != "cpu" or bf16_is_fast(device):
        return
    factor = _time_product(torch.bfloat16) / _time_product(torch.float32)
    if factor >= SLOW:
        log.warning(
            "bfloat16 products are %.1f times slower than float32 on this processor; leave llm.dtype=auto",
            factor,
        )


def _time_product(dtype: torch.dtype) -> float:
    """Seconds of a product of two matrices on the CPU."""
    rows, columns, inner = PRODUCT
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    seconds = []
    # The first product only prepares the library.
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def refuse_without_memory(config: LLMConfig, where: str, device: torch.device) -> None:
    """Refuse a language model that needs more memory than there is: for its weights, or to train all of them.

    A model of the hub that is not on this disk yet is not checked.

    Args:
        config: type and quantisation.
        where: folder or hub name.
        device: where the model goes. Processes on one CPU share its memory.

    Raises:
        ModelError: naming both amounts and what to do.
    """
    folder = _find_folder(where)
    parameters = None if folder is None else count_parameters(folder)
    free = _free_on(device)
    if parameters is None or free is None:
        return
    whole = is_trained_whole(config, where)
    dtype = torch.float32 if whole else compute_dtype(config, device)
    is_four_bit = config.quantization == "nf4"
    needed = parameters * (FOUR_BIT if is_four_bit else dtype.itemsize)
    if whole:
        # Layers that are cut off are loaded, but do not learn.
        needed = max(needed, TRAINED * count_kept_parameters(config, where))
    copies = count_local_processes() if device.type == "cpu" else 1
    if needed * copies <= free:
        return
    kind = "4 bits" if is_four_bit else str(dtype).removeprefix("torch.")
    ways = [] if is_four_bit else ["llm.quantization=nf4"]
    if whole:
        kind += " with gradients and moments"
        ways = ["llm.adapter=lora"]
    elif not is_four_bit and dtype == torch.float32:
        ways.append("llm.dtype=bfloat16")
    if copies > 1:
        ways.append("fewer processes")
    raise ModelError(
        f"llm.name={config.name}: its weights need {needed * copies / GIB:.2f} GiB in {kind}"
        + (f" for {copies} processes" if copies > 1 else "")
        + f", but only {free / GIB:.2f} GiB are free on {device}; set {', '.join(ways)}"
        + (", " if ways else "")
        + "a smaller model, or llm.name=none"
    )


def _free_on(device: torch.device) -> int | None:
    """Bytes that are free on a device; None if it does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory() if device.type == "cpu" else None


def _find_folder(where: str) -> Path | None:
    """The folder of a model on this disk, also of one of the hub that was fetched before."""
    if Path(where).is_dir():
        return Path(where)
    # Heavy: importing this room must stay quick.
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(where, "config.json")
    return Path(file).parent if isinstance(file, str) else None


def count_parameters(folder: Path) -> int | None:
    """Count the parameters in a model's safetensors files, from their headers; None if there are none.

    Args:
        folder: of the model; an index, where there is one, names the files.
    """
    try:
        index = folder / "model.safetensors.index.json"
        if index.is_file():
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        else:
            names = {"model.safetensors"}
        return sum(_count_in_file(folder / name) for name in names)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Loading says what is wrong with the files; weights in another format are not counted.
        return None


def _count_in_file(path: Path) -> int:
    """Number of parameters that a safetensors file holds, from its header."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(min(size, 2**28)))
    shapes = (entry["shape"] for name, entry in header.items() if name != "__metadata__")
    return sum(int(torch.Size(shape).numel()) for shape in shapes)
