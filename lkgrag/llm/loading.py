"""Loading a causal language model and its tokenizer: where from, in which type, on which device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lkgrag.data.assets.fetching import is_offline
from lkgrag.data.assets.models import explain_failure, load_tokenizer, locate
from lkgrag.errors import ModelError
from lkgrag.llm.four_bit import four_bit_options, keep_trainable
from lkgrag.llm.full import count_weights, is_full
from lkgrag.llm.lora import backbone, decoder_layers
from lkgrag.utils.device import is_fsdp_asked
from lkgrag.utils.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lkgrag.config import LLMConfig

#: Layers that ``llm.layers=-1`` keeps of a built-in model. A linear probe of the tenth of SmolLM2-135M's
#: thirty layers reads the evidence as well as one of the last (docs/experiments.md).
DEFAULT_LAYERS = {"smollm2-135m": 10}


def load_llm(
    config: LLMConfig, device: torch.device | str = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the model that ``llm.name`` names: a built-in one, a local folder, or one of the hub.

    The model is frozen and in evaluation mode. Its weights are in float32 if all of them are to learn. bitsandbytes is imported for ``nf4`` only.

    Args:
        config: name, type, quantisation.
        device: where the model goes.

    Raises:
        ModelError: the model is unknown or incomplete, or cannot be loaded with these options.
        AssetError: a built-in model could not be fetched.
    """
    device = torch.device(device)
    where = locate(config.name)
    tokenizer = load_tokenizer(where)
    model = _load_model(where, config, device)
    keep_layers(model, count_layers(config, len(decoder_layers(model))))
    model.requires_grad_(False)
    model.eval()
    return model, tokenizer


def count_layers(config: LLMConfig, layers: int) -> int:
    """Number of decoder layers that ``llm.layers`` keeps of a model.

    Args:
        config: of the language model.
        layers: that the model has.

    Raises:
        ModelError: the option asks for more layers than there are.
    """
    if config.layers > layers:
        raise ModelError(
            f"llm.layers={config.layers}: the model has {layers} layers; set a smaller number, or 0 for all"
        )
    if config.layers > 0:
        return config.layers
    # The letters' logits need the last layers, whose output the model's own head reads.
    is_cut = config.layers < 0 and config.readout != "letters"
    return min(layers, DEFAULT_LAYERS.get(config.name, layers)) if is_cut else layers


def keep_layers(model: PreTrainedModel, count: int) -> None:
    """Cut a model above its lower ``count`` decoder layers, in place; its last norm stays."""
    decoder = backbone(model)
    layers = decoder_layers(model)
    if count == len(layers):
        return
    decoder.layers = layers[:count]
    text = model.config.get_text_config()
    text.num_hidden_layers = count
    kinds = getattr(text, "layer_types", None)
    if kinds is not None:
        text.layer_types = list(kinds)[:count]


def bf16_is_fast(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than float32: recent GPUs, CPUs with AMX, AMD's from Zen 4.

    Intel's AVX-512-BF16 multiplies it at half of float32's rate. Intel's processors need AMX, which virtual
    machines often hide.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", None)
        # Older torch tells less.
        can = (
            capabilities()
            if capabilities
            else {"avx512_bf16": torch.cpu._is_avx512_bf16_supported()}
        )
        wide = can.get("avx512_bf16") and not str(can.get("cpu_name", "")).startswith("Intel")
        return bool(can.get("amx_bf16") or wide)
    return False


def compute_dtype(config: LLMConfig, device: torch.device) -> torch.dtype:
    """The type that the model computes in: ``llm.dtype``, or the fastest of the device.

    Raises:
        ModelError: float16 on a CPU.
    """
    if config.dtype == "auto":
        return torch.bfloat16 if bf16_is_fast(device) else torch.float32
    if config.dtype == "float16" and device.type == "cpu":
        raise ModelError("llm.dtype=float16 needs a GPU; use bfloat16, float32 or auto on a CPU")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
        config.dtype
    ]


def count_kept_parameters(config: LLMConfig, where: str) -> int:
    """Count the parameters of the layers that are kept; no weight is loaded.

    Args:
        config: ``llm.layers``.
        where: folder or hub name.

    Raises:
        ModelError: the model is unknown, or has fewer layers than asked for.
    """
    # Heavy: importing this room must stay quick.
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with quiet(), torch.device("meta"):
            shape = AutoConfig.from_pretrained(where, local_files_only=is_offline())
            model = AutoModelForCausalLM.from_config(shape)
    except Exception as error:  # of many kinds, as in loading
        raise explain_failure(where, "model", error) from error
    keep_layers(model, count_layers(config, len(decoder_layers(model))))
    return count_weights(model)


def is_trained_whole(config: LLMConfig, where: str) -> bool:
    """Whether all weights of a model that is not loaded yet are to learn; see :func:`is_full`."""
    if config.adapter != "auto" or config.quantization == "nf4":
        return is_full(config, 0)
    return is_full(config, count_kept_parameters(config, where))


def _load_model(where: str, config: LLMConfig, device: torch.device) -> PreTrainedModel:
    # Heavy, as above.
    from transformers import AutoModelForCausalLM

    dtype = compute_dtype(config, device)
    if is_trained_whole(config, where):
        dtype = torch.float32
    options: dict[str, Any] = {"dtype": dtype, "attn_implementation": "eager"}
    options["local_files_only"] = is_offline()
    four_bit = config.quantization == "nf4"
    if four_bit:
        options |= four_bit_options(dtype, device, is_fsdp_asked())
    try:
        with quiet():
            model = AutoModelForCausalLM.from_pretrained(where, **options)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"llm.name={where} does not fit on {device}; set llm.quantization=nf4 or a smaller model"
        ) from error
    except Exception as error:  # as above
        raise explain_failure(where, "model", error) from error
    if four_bit:
        keep_trainable(model)
    else:
        model.to(device)  # type: ignore[arg-type]
    return model
