"""The retriever ``text``: cosines of the items' and the user's vectors, both learned from words."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import DataError, LkgragError
from lkgrag.retrieval.base import BuiltInRetriever
from lkgrag.retrieval.text.network import Features, TextTowers, latest_items
from lkgrag.retrieval.text.training import train_towers
from lkgrag.text import Words, item_texts
from lkgrag.text.whitening import Whitening
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions

FILE, VOCABULARY = "text.safetensors", "text.json"


class TextRetriever(BuiltInRetriever):
    """Scores items by what their texts say, given the texts of the history.

    Args:
        towers: trained, in evaluation mode, on the CPU.
        words: the vocabulary.
        whitening: of the encoder's vectors; None without an encoder.
        vectors: float32 ``[I, WIDTH]``, of the catalogue's items.
    """

    name = "text"

    def __init__(
        self,
        towers: TextTowers,
        words: Words,
        whitening: Whitening | None,
        vectors: NDArray[np.float32],
    ) -> None:
        self.towers, self.words, self.whitening, self.vectors = towers, words, whitening, vectors
        self.num_items = len(vectors)

    @classmethod
    def is_default(cls, interactions: Interactions) -> bool:
        """Where items have texts that differ."""
        return len({text for text in item_texts(interactions.items) if text}) > 1

    @classmethod
    def check_data(cls, interactions: Interactions) -> None:
        """Refuse items without texts.

        Raises:
            DataError: no item has a title or an attribute, or all have the same.
        """
        if not cls.is_default(interactions):
            raise DataError(
                "retrieval.systems: text needs items whose titles or attributes differ, and there are none; "
                "leave it out, or give the items titles (a .item file, or items=)"
            )

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> TextRetriever:
        """Learn words and towers from the training interactions.

        Args:
            interactions: training interactions; their items' titles and attributes are the texts.
            data: ``data["item"].x``, where there is one, has the encoder's vectors of the items.
            device: to train on (default: the CPU).
            seed: of the training.
        """
        texts = item_texts(interactions.items)
        encoded = None if data is None else data["item"].get("x")
        return cls.learn(interactions, texts, encoded, device, seed)

    @classmethod
    def learn(
        cls,
        interactions: Interactions,
        texts: Sequence[str],
        encoded: torch.Tensor | None,
        device: torch.device | None = None,
        seed: int = 0,
    ) -> TextRetriever:
        """Learn from any texts and vectors of the items, as :meth:`fit` does from their own.

        Args:
            interactions: training interactions.
            texts: one for each item.
            encoded: float32 ``[I, D]``, vectors of the texts; None for none.
            device: to train on (default: the CPU).
            seed: of the training.
        """
        whitening = None if encoded is None else Whitening.fit(encoded.cpu())
        words = Words.of(texts)
        features = _features(words, whitening, texts, encoded)
        towers = train_towers(
            interactions, features, len(words), seed, device or torch.device("cpu")
        )
        with torch.no_grad():
            vectors = towers.items(features).numpy()
        return cls(towers, words, whitening, vectors)

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> TextRetriever:
        """Vectors of all items from their texts as they are now; words and towers stay as they were learned."""
        x = data["item"].get("x")
        texts = item_texts(interactions.items)
        vectors = self.embed_texts(texts, None if x is None else x.cpu().numpy())
        return TextRetriever(self.towers, self.words, self.whitening, vectors)

    def embed_texts(
        self, texts: Sequence[str], encoded: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Vectors of any texts among those of the items, float32 ``[N, WIDTH]`` of length 1.

        Args:
            texts: as of :func:`lkgrag.text.item_texts`.
            encoded: float32 ``[N, D]``, the encoder's vectors of the texts; needed if there is an encoder.
        """
        vectors = None if encoded is None else torch.from_numpy(encoded)
        with torch.no_grad():
            return self.towers.items(_features(self.words, self.whitening, texts, vectors)).numpy()

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Scaled cosines of items and users; 0 for an empty history."""
        with torch.inference_mode():
            return (torch.from_numpy(self.encode(histories)) @ self._items.T).numpy()

    def encode(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Scaled vectors of histories, whose inner products with :attr:`vectors` are the scores.

        Args:
            histories: ``B`` arrays of item indices, oldest first.

        Returns:
            float32 ``[B, WIDTH]``; 0 for an empty history.
        """
        latest = torch.from_numpy(latest_items(histories))
        with torch.inference_mode():
            users = self.towers.users(self._items, latest) * self.towers.scale.exp()
            users[(latest < 0).all(1)] = 0.0
            return users.numpy()

    @cached_property
    def _items(self) -> torch.Tensor:
        return torch.from_numpy(self.vectors)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``text.safetensors`` and ``text.json``."""
        tensors = dict(self.towers.state_dict())
        tensors |= {"vectors": self._items, "idf": torch.from_numpy(self.words.idf)}
        if self.whitening is not None:
            tensors |= {f"whitening.{k}": v for k, v in self.whitening.tensors().items()}
        write_safetensors(Path(folder) / FILE, tensors)
        write_json(Path(folder) / VOCABULARY, {"terms": self.words.terms})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> TextRetriever:
        """Read towers, vocabulary and vectors.

        Raises:
            LkgragError: a file is missing or broken.
        """
        path = Path(folder) / FILE
        tensors = read_safetensors(path)
        terms = read_json(Path(folder) / VOCABULARY)["terms"]
        try:
            vectors, idf = tensors.pop("vectors").numpy(), tensors.pop("idf").numpy()
            names = [name for name in tensors if name.startswith("whitening.")]
            parts = {name.removeprefix("whitening."): tensors.pop(name) for name in names}
            towers = TextTowers(len(tensors["words"]), len(tensors["encoded"]))
            towers.load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise LkgragError(f"{path}: no text towers ({error}); train again") from error
        whitening = Whitening.from_tensors(parts) if parts else None
        return cls(towers.eval(), Words(terms, idf), whitening, vectors)


def _features(
    words: Words,
    whitening: Whitening | None,
    texts: Sequence[str],
    encoded: torch.Tensor | None,
) -> Features:
    """What the towers read of texts."""
    rows = words.rows(texts)
    if whitening is None or encoded is None:
        return Features.of(rows, None)
    return Features.of(rows, whitening.apply(encoded.cpu()).numpy())
