"""What readouts share: which hidden states are read, and which models they can read."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lkgrag.errors import ModelError


def at(hidden: Tensor, read: Tensor) -> Tensor:
    """Hidden states of the tokens at which the slots are read.

    Args:
        hidden: ``[B, T, D]``.
        read: int64 ``[B, C]``; -1 gives the first token, whose value is not used.

    Returns:
        ``[B, C, D]``, float32.
    """
    index = read.clamp(min=0)[:, :, None].expand(-1, -1, hidden.shape[-1])
    return hidden.gather(1, index).float()


def refuse_sliding_windows(model_config: Any) -> None:
    """Stop where a layer does not attend to the whole prompt.

    Raises:
        ModelError: a layer has sliding-window, chunked or linear attention.
    """
    kinds = getattr(model_config, "layer_types", None)
    other = sorted({k for k in kinds or () if k != "full_attention"})
    window = getattr(model_config, "sliding_window", None)
    if kinds is None and window and getattr(model_config, "use_sliding_window", True):
        other = ["sliding_attention"]
    if other:
        raise ModelError(
            f"llm.readout=candidates needs full attention in every layer, but this "
            f"{model_config.model_type} model has {', '.join(other)}; set llm.readout=letters"
        )
