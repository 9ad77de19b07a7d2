"""The contract of a readout: hidden states of a language model to one score a candidate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from lkgrag.errors import ModelError
from lkgrag.prompt.layout import PromptLayout

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from lkgrag.config import LLMConfig
    from lkgrag.prompt import TokenBatch


class Attention(Enum):
    """Which tokens of a prompt a token attends to."""

    #: All before it, as in any text.
    CAUSAL = "causal"
    #: Those before it that all candidates share, and those of its own candidate.
    BLOCKS = "blocks"


class Readout(nn.Module, ABC):
    """Reads a score of each candidate off the last hidden states.

    Its parameters and buffers are saved beside the adapter; they are registered in the constructor, with
    their sizes. The language model is not among them: a module that needs it keeps it out of sight of
    ``nn.Module``, as :class:`~lkgrag.llm.readouts.letters.LetterReadout` does.

    Args:
        model: the causal language model, before LoRA is put on it.
        config: of the language model.
        seed: of the initial weights. The global generators must be left alone.

    Attributes:
        layout: that prompts must have.
        attention: that the prompts' tokens must have.

    Raises:
        ModelError: the model cannot be read so.
    """

    layout: ClassVar[PromptLayout]
    attention: ClassVar[Attention]

    def __init__(self, model: PreTrainedModel, config: LLMConfig, seed: int) -> None:
        super().__init__()

    @classmethod
    def check(cls, model_config: PretrainedConfig) -> None:
        """Refuse a model that cannot be read, before anything is built.

        Args:
            model_config: of the text part of the model.

        Raises:
            ModelError: by default, where :attr:`attention` has blocks and a layer does not attend to the whole
                prompt.
        """
        if cls.attention is Attention.BLOCKS:
            refuse_sliding_windows(model_config, f"{cls.__module__}:{cls.__qualname__}")

    @abstractmethod
    def forward(self, hidden: Tensor, tokens: TokenBatch) -> Tensor:
        """Score the candidates of ``B`` prompts.

        Args:
            hidden: last hidden states, ``[B, T, D]``, in the model's type.
            tokens: the prompts; ``tokens.read`` says at which token each slot is read.

        Returns:
            ``[B, C]``, float32; the value of an empty slot is not used.
        """


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


def refuse_sliding_windows(model_config: PretrainedConfig, readout: str) -> None:
    """Stop where a layer does not attend to the whole prompt.

    Args:
        model_config: of the text part of the model.
        readout: the word of ``llm.readout``, for the message.

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
            f"llm.readout={readout} needs full attention in every layer, but this "
            f"{model_config.model_type} model has {', '.join(other)}; set llm.readout=letters"
        )
