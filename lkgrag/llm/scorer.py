"""LMScorer: a language model that scores the candidates of a prompt in one forward pass."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lkgrag.errors import ConfigError, LkgragError, ModelError
from lkgrag.llm import gates
from lkgrag.llm.attention import choose_attention, dense_mask
from lkgrag.llm.block_attention import NAME as BLOCKS
from lkgrag.llm.block_attention import BlockLayout
from lkgrag.llm.full import count_weights, is_full, load_weights, save_weights, unfreeze
from lkgrag.llm.loading import compute_dtype
from lkgrag.llm.lora import (
    add_lora,
    backbone,
    decoder_layers,
    gated_layer,
    has_adapter,
    load_adapter,
    save_adapter,
)
from lkgrag.llm.readouts.base import Attention
from lkgrag.llm.readouts.resolver import build_readout, resolve_readout
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.files import read_safetensors, write_safetensors
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lkgrag.config import LLMConfig
    from lkgrag.prompt import TokenBatch

HEAD_FILE = "readout.safetensors"


class LMScorer(nn.Module):
    """Scores candidates from the hidden states of a language model with LoRA, or with all its weights trained.

    Args:
        model: a frozen causal language model, from :func:`~lkgrag.llm.loading.load_llm`.
        config: readout, LoRA, gates, attention.
        seed: of the initial weights of LoRA and of the readout.
        adapter: False for a model that was exported; then only the readout can learn.

    Attributes:
        attention: the implementation in use.
        is_full: whether all weights learn, in float32; products are in the type of ``llm.dtype`` nevertheless.
        dtype: of the products.
        readout: of ``llm.readout``.

    Raises:
        ConfigError: there is no such readout, or its class cannot be built.
        ModelError: the readout, the adapter's targets or the attention do not fit the model.
    """

    def __init__(
        self, model: PreTrainedModel, config: LLMConfig, seed: int = 0, adapter: bool = True
    ) -> None:
        super().__init__()
        resolve_readout(config.readout).check(model.config.get_text_config())
        refuse_fixed_positions(model)
        readout = build_readout(model, config, seed)
        self.config = config
        self.attention = choose_attention(config.attention, model, readout.attention)
        model.set_attn_implementation(self.attention)
        self.model: nn.Module = model
        self.is_full = adapter and is_full(config, count_weights(model))
        if self.is_full:
            unfreeze(model)
        elif adapter:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                self.model = add_lora(model, config)
        if config.gradient_checkpointing:
            checkpoint_layers(model)
        if config.gate != "off":
            layers = decoder_layers(self.model)
            gates.install(layers[gated_layer(self.model) if config.gate == "layer" else 0])
        embedding: Any = model.get_input_embeddings().weight
        self.dtype: torch.dtype = (
            compute_dtype(config, embedding.device) if self.is_full else embedding.dtype
        )
        self.readout = readout.to(embedding.device)

    def forward(self, tokens: TokenBatch, salience_of_bundle: Tensor | None = None) -> Tensor:
        """Score the candidates of ``B`` prompts.

        Args:
            tokens: the prompts.
            salience_of_bundle: ``[num_bundles]``, of the worded bundles; their gates give it a
                gradient and change no score.

        Returns:
            ``[B, C]``, float32; 0 for an empty slot.

        Raises:
            ConfigError: a custom readout fails, or the readout returns another shape.
        """
        hidden = self.hidden(tokens, salience_of_bundle)

        def tell(error: BaseException) -> str:
            label = f"llm.readout={self.config.readout}: its forward()"
            return f"{label} fails ({type(error).__name__}: {error}); --debug shows where"

        with guard_custom_code(tell) if is_custom(type(self.readout)) else nullcontext():
            scores = self.readout(hidden, tokens)
        if scores.shape != tokens.read.shape:
            raise ConfigError(
                f"llm.readout={self.config.readout}: its scores must have shape "
                f"{list(tokens.read.shape)}, got {list(scores.shape)}"
            )
        return scores.masked_fill(tokens.read < 0, 0.0)

    def hidden(self, tokens: TokenBatch, salience_of_bundle: Tensor | None = None) -> Tensor:
        """Last hidden states ``[B, T, D]``; the language model's own head is not called."""
        extra: dict[str, Any] = {}
        ids, position, bundle = tokens.input_ids, tokens.position_ids, tokens.bundle
        layout = None
        if self.attention == BLOCKS:
            layout = extra["layout"] = BlockLayout.of(tokens.block, self.dtype)
            ids, position, bundle = (layout.pack(x) for x in (ids, position, bundle))
        elif self.readout.attention is Attention.CAUSAL:
            # The text is padded on the right, where no token looks. Without a mask of the padding attention
            # is plainly causal, for which torch has faster kernels. Positions that start again in the
            # padding would be taken for a second text in the same row, and masked.
            place = torch.arange(tokens.block.shape[1], device=tokens.block.device)
            position = torch.where(tokens.block >= 0, position, place)
        else:
            extra["attention_mask"] = dense_mask(tokens.block, self.dtype)
        salience = salience_of_bundle
        if self.config.gate != "off" and salience is not None and salience.requires_grad:
            extra[gates.ARGUMENT] = (salience, bundle)
        # Weights that learn are in float32, where small steps are not lost.
        mixed = self.is_full and self.dtype != torch.float32
        with torch.autocast(ids.device.type, dtype=self.dtype, enabled=mixed):
            out = backbone(self.model)(
                input_ids=ids, position_ids=position, use_cache=False, **extra
            )
        hidden: Tensor = out.last_hidden_state
        return hidden if layout is None else layout.unpack(hidden)

    def save(self, folder: Path) -> None:
        """Write what was learned: the adapter in peft's format, or all weights, and the readout's state."""
        if has_adapter(self.model):
            save_adapter(self.model, folder)
        if self.is_full:
            save_weights(self.model, folder)
        weights = self.readout.state_dict()
        if weights:
            write_safetensors(folder / HEAD_FILE, weights)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote, bit for bit.

        Raises:
            ModelError: a file is missing, broken, or of another model or other options.
        """
        if has_adapter(self.model):
            load_adapter(self.model, folder)
        if self.is_full:
            load_weights(self.model, folder)
        if not self.readout.state_dict():
            return
        try:
            self.readout.load_state_dict(read_safetensors(folder / HEAD_FILE))
        except RuntimeError as error:
            raise ModelError(f"{folder / HEAD_FILE}: the head of another model") from error
        except LkgragError as error:
            raise ModelError(str(error)) from error


def refuse_fixed_positions(model: PreTrainedModel) -> None:
    """Stop where a model cannot be told the positions of its tokens.

    Raises:
        ModelError: its forward pass takes no ``position_ids``.
    """
    if "position_ids" not in inspect.signature(backbone(model).forward).parameters:
        raise ModelError(
            f"llm.name: a {model.config.model_type} model takes no position_ids; use a causal language "
            "model of the Llama kind"
        )


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Keep one activation a layer and compute the rest again in the backward pass."""
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
    # Needed by the reentrant kind only; it would send the backward pass down to the embeddings.
    model.disable_input_require_grads()
