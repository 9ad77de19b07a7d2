"""Training: the scorer alone first, then the whole ranker with Accelerate.

The room holds batches, objective, loop, checkpoints and sharding.
"""

from lkgrag.training.checkpoint import Checkpoint
from lkgrag.training.loop import Trainer
from lkgrag.training.pretraining import Pretraining, pretrain
from lkgrag.training.probe import probe_head

__all__ = ["Checkpoint", "Pretraining", "Trainer", "pretrain", "probe_head"]
