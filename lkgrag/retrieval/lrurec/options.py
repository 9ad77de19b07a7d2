"""The options of LRURec, the part of ``RetrievalConfig`` that it takes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lkgrag.config import RetrievalConfig


@dataclass(frozen=True)
class LRURecOptions:
    """Options of network and training; each has the name and the meaning of ``retrieval.*``.

    Attributes:
        hidden: width.
        blocks: number of blocks.
        dropout: share of units that are dropped in training.
        max_len: longest window of a history, in items.
        lr: largest learning rate.
        weight_decay: of all weights but those of the recurrence.
        batch_size: windows a batch.
        sampled: random items that a step's labels compete with; 0 for all, -1 to decide by the catalogue.
        epochs: most epochs, over which the learning rate falls.
        mask_seen: validation ranks leave the history out.
        patience: epochs without a better validation NDCG@10 after which training stops.
    """

    hidden: int
    blocks: int
    dropout: float
    max_len: int
    lr: float
    weight_decay: float
    batch_size: int
    sampled: int
    epochs: int
    mask_seen: bool
    patience: int

    @classmethod
    def of(cls, config: RetrievalConfig) -> LRURecOptions:
        """The options that a configuration gives."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})
