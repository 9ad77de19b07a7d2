"""LoRA by peft: which weights are adapted, and the adapter's files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from lkgrag.errors import ModelError, nearest
from lkgrag.llm.fused_lora import fuse_lora
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.quiet import quiet

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from lkgrag.config import LLMConfig

#: Every linear layer of the decoder layers.
ALL = "all-linear"


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The decoder layers of a causal language model, bare or with an adapter.

    Raises:
        ModelError: there is no list of layers where models of the Llama kind have it.
    """
    layers = getattr(backbone(model), "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(
            f"llm.name: {type(base_model(model)).__name__} has no list of decoder layers; use a causal "
            "language model of the Llama kind"
        )
    return layers


def base_model(model: nn.Module) -> Any:
    """The causal language model itself, without peft's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]


def has_adapter(model: nn.Module) -> bool:
    """Whether a model has peft's wrapper around it."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def backbone(model: nn.Module) -> Any:
    """The model without its head: tokens in, hidden states out."""
    return base_model(model).get_decoder()


def add_lora(model: PreTrainedModel, config: LLMConfig) -> PeftModel:
    """Put LoRA on a model; only LoRA's weights learn, in float32.

    Args:
        model: the base, which is frozen and changed in place.
        config: rank, alpha, dropout, targets, upper layers.

    Raises:
        ModelError: a target names no module; the message names the nearest ones.
    """
    with quiet():
        # Heavy: importing this room must stay quick.
        from peft import LoraConfig, get_peft_model

    count = len(decoder_layers(model))
    upper = None
    if config.lora_layers >= 0:
        upper = list(range(max(0, count - config.lora_layers), count))
    if upper == []:
        raise ModelError("llm.lora_layers=0 leaves nothing to train; set -1 for all layers")
    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=_targets(model, config.lora_targets),
        layers_to_transform=upper,
        task_type="CAUSAL_LM",
    )
    try:
        with quiet():
            adapted = get_peft_model(model, lora)
    except ValueError as error:
        raise ModelError(f"llm.lora_targets={config.lora_targets}: {_first_line(error)}") from error
    fuse_lora(adapted)
    return adapted


def _targets(model: nn.Module, names: str) -> list[str]:
    """Names of the modules to adapt: all linear ones of the decoder layers, or those of the option."""
    inside = sorted(
        {n.rpartition(".")[2] for n, m in decoder_layers(model).named_modules() if _linear(m)}
    )
    if names.strip() == ALL:
        # Spelled out, since peft restricts layers only where the targets are names.
        return inside
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    linear = sorted({n.rpartition(".")[2] for n, m in model.named_modules() if _linear(m)})
    for name in wanted:
        if name not in linear:
            raise ModelError(
                f"llm.lora_targets={names}: no layer {name!r}.{nearest(name, linear)} There are: "
                f"{ALL}, {', '.join(linear)}"
            )
    if not wanted:
        raise ModelError(f"llm.lora_targets is empty: set {ALL} or names of {', '.join(linear)}")
    return wanted


def _linear(module: nn.Module) -> bool:
    """Linear layers, 4-bit ones too."""
    return isinstance(module, nn.Linear)


def lowest_adapted(model: nn.Module) -> int:
    """Index of the lowest decoder layer that has an adapter; 0 without adapters."""
    for index, layer in enumerate(decoder_layers(model)):
        if any("lora_" in name for name, _ in layer.named_parameters()):
            return index
    return 0


def gated_layer(model: nn.Module) -> int:
    """Index of the decoder layer whose input ``llm.gate=layer`` gates: the lowest adapted one, but not the top one.

    Other tokens see the top layer's input only through its norm, which takes away the scale: the gradient of a
    gate there is that of the norm's epsilon. A model of one layer has no lower one.
    """
    return max(0, min(lowest_adapted(model), len(decoder_layers(model)) - 2))


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter in peft's own format: ``adapter_model.safetensors``, ``adapter_config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    # Only these: by default peft would collect the whole model's state to pick them from.
    weights = {name: p for name, p in model.named_parameters() if "lora_" in name}
    with quiet():
        model.save_pretrained(str(folder), state_dict=weights, save_embedding_layers=False)
    # peft's model card says nothing about this adapter.
    (folder / "README.md").unlink(missing_ok=True)


def name_base(folder: Path, name: str) -> None:
    """Say in an adapter's files whose it is; peft writes the folder that the base model was read from.

    Args:
        folder: of :func:`save_adapter`.
        name: of the base model: a name of the Hub, or a folder.
    """
    path = folder / "adapter_config.json"
    if path.exists():
        write_json(path, {**read_json(path), "base_model_name_or_path": name})


def load_adapter(model: Any, folder: Path) -> None:
    """Read weights written by :func:`save_adapter` into a model with the same adapter.

    Raises:
        ModelError: the file is missing, broken, or of another adapter.
    """
    # Heavy, as above.
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    path = folder / "adapter_model.safetensors"
    try:
        weights = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: no readable adapter ({_first_line(error)})") from error
    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    wrong = [
        name
        for name in {*weights, *expected}
        if name not in weights
        or name not in expected
        or weights[name].shape != expected[name].shape
    ]
    if wrong:
        raise ModelError(
            f"{path}: an adapter for another model or other llm.lora_* options "
            f"({len(wrong)} weights differ, as {sorted(wrong)[0]})"
        )
    set_peft_model_state_dict(model, weights)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
