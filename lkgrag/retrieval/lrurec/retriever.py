"""LRURec as a retriever, and its training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

#: Tokens of a batch when scoring.
SCORE_TOKENS = 16_384


class LRURecRetriever(Retriever):
    """A trained LRURec.

    Args:
        model: the network.
        max_len: latest items of a history that it reads.
    """

    name = "lrurec"

    def __init__(self, model: LRURec, max_len: int) -> None:
        self.model = model
        self.max_len = max_len
        self.num_items = model.num_items

    @torch.no_grad()
    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logits of all items after the latest ``max_len``; the item bias for an empty history."""
        self.model.eval()
        device = self.model.bias.device
        latest = [np.asarray(h, np.int64)[-self.max_len :] for h in histories]
        out = np.empty((len(latest), self.num_items), np.float32)
        lengths = np.array([len(h) for h in latest], np.int64)
        # Histories of like length together, so that little is padded.
        order = np.argsort(lengths, kind="stable")
        step = max(1, SCORE_TOKENS // max(1, self.max_len))
        for start in range(0, len(order), step):
            rows = order[start : start + step]
            items = pad([latest[r] for r in rows], self.num_items).to(device)
            if items.shape[0] == 0:
                out[rows] = self.model.bias.cpu().numpy()
                continue
            states = self.model.encode(items)
            last = torch.from_numpy(lengths[rows]).to(device) - 1
            state = states[last.clamp(min=0), torch.arange(len(rows), device=device)]
            logits = self.model.logits(state)
            logits[last < 0] = self.model.bias
            out[rows] = logits.cpu().numpy()
        return out

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``lrurec.safetensors`` and ``lrurec.json``."""
        model = self.model
        write_safetensors(Path(folder) / "lrurec.safetensors", model.state_dict())
        shape = {
            "num_items": model.num_items,
            "width": model.norm.normalized_shape[0],
            "blocks": len(model.layers),
            "dropout": model.dropout.p,
        }
        write_json(Path(folder) / "lrurec.json", {"model": shape, "max_len": self.max_len})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> LRURecRetriever:
        """Read a saved model.

        Raises:
            LkgragError: a file is missing or broken.
        """
        meta = read_json(Path(folder) / "lrurec.json")
        model = LRURec(**meta["model"])
        model.load_state_dict(read_safetensors(Path(folder) / "lrurec.safetensors"))
        return cls(model.eval(), meta["max_len"])


def pad(sequences: list[NDArray[np.int64]], padding: int) -> Tensor:
    """Stack sequences, time first, padding at the end: int64 ``[T, B]``."""
    length = max((len(s) for s in sequences), default=0)
    out = np.full((len(sequences), length), padding, np.int64)
    for row, sequence in enumerate(sequences):
        out[row, : len(sequence)] = sequence
    return torch.from_numpy(out.T.copy())
