"""From a GGUF file to a plain model folder."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from lkgrag.errors import AssetError
from lkgrag.utils.quiet import quiet


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file as safetensors and JSON.

    The weights are kept in float32: a dequantised 4-bit weight is a step times a number plus an
    offset, and four in five of SmolLM2's are not representable in bfloat16. The model is loaded in
    whatever type is asked for later.

    transformers refuses to save a model that it read from GGUF (it counts as quantised), so its
    weights are copied into a model of the same configuration without that mark.

    Args:
        gguf: the file.
        folder: where config, weights and tokenizer go.

    Raises:
        AssetError: the file cannot be read.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    try:
        # Its progress bar has no switch.
        with quiet(), contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(**where)
            read = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise AssetError(f"{gguf.name}: cannot be converted ({error})") from error
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    with quiet():
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
