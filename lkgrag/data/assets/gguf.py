"""Conversion of a GGUF file to a plain model folder."""

from __future__ import annotations

from pathlib import Path

from lkgrag.errors import AssetError
from lkgrag.utils.console import swallow_stderr
from lkgrag.utils.quiet import quiet


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as safetensors and JSON.

    The weights are stored in float32. A dequantised 4-bit weight is a step times a number plus an offset, and
    bfloat16 cannot represent four in five of SmolLM2's weights. A run can still load them in another type.

    transformers marks a model that it reads from GGUF as quantised, and does not save such a model. So the
    weights are copied into a model of the same configuration without that mark.

    Args:
        gguf: the file.
        folder: where config, weights and tokenizer go.

    Raises:
        AssetError: the file cannot be read.
    """
    # Only here: fetching data sets does not wait for transformers.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        # The progress bar of this conversion cannot be switched off.
        with quiet(), swallow_stderr():
            tokenizer = AutoTokenizer.from_pretrained(**where)
            quantised = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise AssetError(f"{gguf.name}: cannot be converted ({error})") from error
    config = quantised.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(quantised.state_dict())
    with quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
