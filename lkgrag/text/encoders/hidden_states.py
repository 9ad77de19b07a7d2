"""Vectors of texts by the hidden states of a transformer, averaged over the text's tokens.

The average is that of Sentence-BERT (Reimers and Gurevych, EMNLP 2019), for any layer of any model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from lkgrag.errors import ModelError
from lkgrag.text.encoders.tokens import TextTokens
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Tokens of a batch, with padding, by the kind of device.
BUDGET = {"cpu": 2048, "cuda": 32768}


class HiddenStateEncoder:
    """Averages the output of one layer over the tokens of a text.

    A lone start token, which causal models have, is left out of the average: its state is the same for every
    text. ``[CLS]`` and ``[SEP]`` count, as in the training of sentence encoders.

    Args:
        name: what the option calls the model.
        model: without a head; of a model with encoder and decoder only the encoder is used. Layers above the
            wanted one are cut off in place.
        tokenizer: of the model.
        layer: number of lower layers to use; 0 for all, with the norm after the last one.

    Raises:
        ModelError: the model has too few layers, or gives no hidden states for tokens.
    """

    def __init__(
        self, name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layer: int = 0
    ) -> None:
        self.name = name
        if getattr(model.config, "is_encoder_decoder", False):
            model = model.get_encoder()
        self._model = model.requires_grad_(False).eval()
        # Kept keys and values would only take memory.
        self._model.config.use_cache = False
        self._states: Tensor | None = None
        if layer:
            self._cut(layer)
        self._tokens = TextTokens(tokenizer, self._window())
        self._vocabulary = getattr(model.get_input_embeddings(), "num_embeddings", 1 << 62)
        # Some configurations have -1, or a token that the model lacks.
        pads = (getattr(model.config, "pad_token_id", None), tokenizer.pad_token_id, 0)
        self._pad = next(p for p in pads if isinstance(p, int) and 0 <= p < self._vocabulary)
        self.dim = self._try_out()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts; equal ones are encoded once.

        Args:
            texts: any strings; what is beyond 256 tokens is cut.

        Returns:
            float32 ``[len(texts), dim]`` in the order of the texts; zero for a text without tokens.

        Raises:
            ModelError: the tokenizer does not belong to the model, or a vector is not finite.
        """
        distinct = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        vectors = np.zeros((len(distinct), self.dim), np.float32)
        rows = self._tokens.rows(list(distinct))
        self._check_ids(rows)
        batches = list(self._batches(rows))
        done, total = 0, sum(map(len, batches))
        # A single batch, such as a request, takes no time to speak of.
        with bar("encode texts", show=len(batches) > 1) as update:
            for chosen in batches:
                vectors[chosen] = self._means([rows[n] for n in chosen]).float().cpu().numpy()
                done += len(chosen)
                update(done, total)
        if not np.isfinite(vectors).all():
            raise ModelError(
                f"text.encoder={self.name}: the model gives vectors that are not finite; choose another one"
            )
        return vectors[[distinct[text] for text in texts]]

    def _batches(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """Numbers of the rows of each batch. The longest come first, so that too little memory shows at once."""
        budget = BUDGET.get(self._model.device.type, BUDGET["cpu"])
        order = sorted((n for n, row in enumerate(rows) if row), key=lambda n: -len(rows[n]))
        start = 0
        while start < len(order):
            size = max(1, budget // len(rows[order[start]]))
            yield order[start : start + size]
            start += size

    @torch.inference_mode()
    def _means(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The mean states ``[len(rows), dim]`` of a batch."""
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self._pad)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        states = self._forward(ids, mask)
        counted = mask.to(states.dtype)
        if self._tokens.before and not self._tokens.after:
            counted[:, : len(self._tokens.before)] = 0
        return (states * counted[..., None]).sum(1) / counted.sum(1, keepdim=True)

    def _forward(self, ids: Tensor, mask: Tensor) -> Any:
        """The states ``[B, L, dim]`` that are averaged."""
        out = self._model(input_ids=ids, attention_mask=mask)
        if self._states is None:
            return out.last_hidden_state
        states, self._states = self._states, None
        return states

    def _cut(self, count: int) -> None:
        """Keep the lower ``count`` layers, and remember the output of the last one of them."""
        total = getattr(self._model.config.get_text_config(), "num_hidden_layers", None)
        places = [
            (parent, name)
            for parent in self._model.modules()
            for name, child in parent.named_children()
            if isinstance(child, nn.ModuleList) and len(child) == total
        ]
        if not places:
            raise ModelError(
                f"text.encoder={self.name}: {type(self._model).__name__} has no list of layers; set text.layer=0"
            )
        (parent, name), *_ = places
        layers = getattr(parent, name)
        if count > len(layers):
            raise ModelError(
                f"text.layer={count}: {self.name} has {len(layers)} layers; set a smaller number, or 0 for all"
            )
        if count == len(layers):
            return
        setattr(parent, name, layers[:count])
        layers[count - 1].register_forward_hook(self._remember)

    def _remember(self, module: nn.Module, inputs: object, output: Any) -> None:
        self._states = output[0] if isinstance(output, tuple) else output

    def _window(self) -> int:
        """Positions of the model; without a limit, more than any text takes."""
        window = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        return window if isinstance(window, int) and window > 0 else 1 << 30

    def _try_out(self) -> int:
        """Encode a word, and return the length of its vector."""
        rows = [row for row in self._tokens.rows(["a"]) if row]
        try:
            self._check_ids(rows)
            means = self._means(rows)
            if means.ndim != 2 or means.shape[0] != 1:
                raise ValueError(f"states of shape {tuple(means.shape)}")
        except ModelError:
            raise
        except Exception as error:  # a model of another kind may raise anything
            raise ModelError(
                f"text.encoder={self.name}: {type(self._model).__name__} gives no hidden states for tokens of a "
                "text; choose a text encoder or a language model"
            ) from error
        return int(means.shape[1])

    def _check_ids(self, rows: Sequence[Sequence[int]]) -> None:
        """Refuse a tokenizer with more tokens than the model."""
        largest = max((max(row) for row in rows if row), default=0)
        if largest >= self._vocabulary:
            raise ModelError(
                f"text.encoder={self.name}: the tokenizer gives token {largest}, but the model has only "
                f"{self._vocabulary}; take the tokenizer of the model"
            )
