"""LoRA merged into the base model, which is dequantised first where it is in 4 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lkgrag.errors import ModelError
from lkgrag.llm.lora import base_model, has_adapter
from lkgrag.utils.quiet import quiet

#: transformers writes weights that only their owner may read; an export is for others too.
READABLE = 0o644
#: The options that name a base in 4 bits.
QUANTISED = ("quantization_config", "_pre_quantization_dtype")


@torch.no_grad()
def merge(model: Any, dtype: torch.dtype) -> Any:
    """The base model with LoRA's products added to its weights; ``model`` is used up.

    The sum is made in float32 from the weights that the model computed with, and rounded once. A base in 4
    bits is dequantised. Into the original weights the adapter would not fit, since it has learned to make up
    for the rounding: scores would differ by .08, not by .002.

    Args:
        model: a causal language model with an adapter.
        dtype: of the merged weights.

    Raises:
        ModelError: there is no adapter.
    """
    if not has_adapter(model):
        raise ModelError("there is no adapter to merge: the ranker was exported already")
    products = _products(model)
    tied = _head_is_tied(base_model(model))
    with quiet():
        base = model.unload()
        if getattr(base, "hf_quantizer", None) is not None:
            base = base.dequantize()
            base.hf_quantizer = None
    for name in QUANTISED:
        if hasattr(base.config, name):
            delattr(base.config, name)
    for flag in ("is_quantized", "is_loaded_in_4bit", "quantization_method"):
        if flag in vars(base):
            delattr(base, flag)
    _untie(base, products, tied)
    for name, product in products.items():
        layer = base.get_submodule(name)
        layer.weight.copy_((layer.weight.float() + product.to(layer.weight.device)).to(dtype))
    return base.to(dtype)


def _products(model: Any) -> dict[str, Tensor]:
    """``scale * B A`` of each adapted layer by its name in the base, float32."""
    # Heavy: importing this room must stay quick.
    from peft.tuners.lora.layer import LoraLayer

    layers: dict[str, Any] = {
        name: module
        for name, module in base_model(model).named_modules()
        if isinstance(module, LoraLayer)
    }
    return {n: m.get_delta_weight(m.active_adapters[0]).float() for n, m in layers.items()}


def _head_is_tied(base: Any) -> bool:
    head, embedding = base.get_output_embeddings(), base.get_input_embeddings()
    head = head.get_base_layer() if hasattr(head, "get_base_layer") else head
    return head is not None and head.weight is embedding.weight


def _untie(base: Any, products: dict[str, Tensor], tied: bool) -> None:
    """Give an adapted head its own weights; the embeddings were not adapted with it."""
    head = base.get_output_embeddings()
    if not tied or not any(base.get_submodule(name) is head for name in products):
        return
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    base.config.get_text_config().tie_word_embeddings = False
    base.config.tie_word_embeddings = False


def write_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model and its tokenizer as a plain folder of transformers."""
    # The name of this package's attention would mean nothing to a reader of the folder.
    model.set_attn_implementation("eager")
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for path in folder.glob("*.safetensors"):
        path.chmod(READABLE)
