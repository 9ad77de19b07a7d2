"""A base model in 4 bits: NormalFloat with double quantisation (QLoRA, arXiv 2305.14314)."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from torch import nn

from lkgrag.errors import ModelError
from lkgrag.utils.quiet import quiet

#: Side of the square that is quantised to see whether bitsandbytes works.
TRIAL = 64


def four_bit_options(dtype: torch.dtype, device: torch.device, sharded: bool) -> dict[str, Any]:
    """The arguments of :meth:`from_pretrained` for a model in 4 bits.

    The whole model goes to the device of this process. ``device_map="auto"`` would spread the copy of every
    process over all devices.

    Args:
        dtype: that products are computed in.
        device: of this process.
        sharded: whether FSDP will cut the weights among processes. They are then stored in the type that
            products are computed in, since only floating-point tensors can be cut.

    Raises:
        ModelError: bitsandbytes is missing or cannot run on the device.
    """
    refuse_four_bit(device)
    # Heavy: importing this room must stay quick.
    from transformers import BitsAndBytesConfig

    storage = {"bnb_4bit_quant_storage": dtype} if sharded else {}
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            **storage,
        ),
        "device_map": {"": own_device(device)},
    }


def own_device(device: torch.device) -> int | str:
    """A device as a value of a device map: the index of a GPU, or another device's name."""
    if device.type != "cuda":
        return str(device)
    return torch.cuda.current_device() if device.index is None else device.index


def refuse_four_bit(device: torch.device) -> None:
    """Quantise a small matrix and back, to see that it works here.

    Raises:
        ModelError: bitsandbytes is missing or cannot run on the device.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "llm.quantization=nf4 needs the package bitsandbytes: pip install bitsandbytes, or set "
            "llm.quantization=none"
        )
    try:
        with quiet():
            # Heavy, and needed for models in 4 bits only.
            from bitsandbytes.functional import dequantize_4bit, quantize_4bit

            value = torch.ones(TRIAL, TRIAL, device=device)
            back = dequantize_4bit(*quantize_4bit(value, quant_type="nf4"))
        if torch.allclose(back.float(), value):
            return
        reason = "a matrix of ones comes back changed"
    except Exception as error:  # a missing library, a device without kernels: many kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
    raise ModelError(
        f"llm.quantization=nf4: bitsandbytes cannot run on {device} here ({reason}); set "
        "llm.quantization=none"
    )


def keep_trainable(model: nn.Module) -> None:
    """Keep bitsandbytes from packing weights on a CPU for inference.

    On CPUs with AVX-512-BF16 its layers do so for good at the first forward pass without gradients, and the
    packed product passes no gradient on. A model that made such a pass before its training, as for the
    readout's probe, would silently not learn.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
