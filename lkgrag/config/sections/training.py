"""Options of stage two's training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lkgrag.config.sections.option import opt

#: Words of ``training.fuse``: the scores that are fused with those of the LM.
TERMS = ("scorer", "prior")
#: Words of ``training.tracker`` beside ``none``.
TRACKERS = ("tensorboard", "wandb", "mlflow")


def tracker_names(option: str) -> list[str]:
    """The words of ``training.tracker``, each once; empty for ``none``."""
    words = [word.strip() for word in option.split(",")]
    return [] if words == ["none"] else list(dict.fromkeys(words))


@dataclass
class TrainingConfig:
    """The optimisation of stage two."""

    max_examples: int = opt(
        -1,
        "total number of training prompts (-1: the default budget: 96 on a CPU in float32, 400 on a CPU in "
        "bfloat16, every one on a GPU)",
        low=-1,
    )
    negatives: str = opt(
        "retriever",
        "the other candidates of training lists: what a cross-fitted stage one proposes, for the held-back "
        "windows (retriever); or, as published, random items, for every training interaction (uniform)",
        ("retriever", "uniform"),
    )
    fuse: list[str] = opt(
        ["scorer", "prior"], "what is added to the LM's scores: scorer, prior, both or nothing"
    )
    epochs: int = opt(2, "passes over the examples, unless max_examples is reached first", low=0)
    batch_size: int = opt(8, "prompts of an optimiser step, over all processes", low=1)
    batch_tokens: int = opt(
        0,
        "tokens of an optimiser step, over all processes, in place of training.batch_size; 28000 keep one large "
        "GPU busy (0: by prompts)",
        low=0,
    )
    micro_batch: int = opt(
        8, "prompts of a forward pass of one process; fewer take less memory", low=1
    )
    lr: float = opt(3e-4, "learning rate of LoRA, or of all weights with llm.adapter=full", low=0)
    head_lr: float = opt(3e-4, "learning rate of the readout's head and of the fusion", low=0)
    scorer_lr: float = opt(5e-5, "learning rate of the scorer within the ranker", low=0)
    weight_decay: float = opt(0.01, "weight decay", low=0)
    warmup: float = opt(0.06, "share of the steps in which the learning rate rises", low=0, high=1)
    clip: float = opt(1.0, "largest gradient norm (inf: no limit)", low=1e-6, high=math.inf)
    aux_lm: float = opt(1.0, "weight of the loss on the LM's scores alone", low=0)
    probe: int = opt(
        256,
        "prompts on which the readout's head is fitted before everything else is trained (0: none)",
        low=0,
    )
    fused_lm: float = opt(
        0.0,
        "share of the fused loss's gradient that reaches the LM, beside the gradient of the LM's own loss",
        low=0,
        high=1,
    )
    distill: float = opt(
        0.9,
        "share of the scorer's expectation in the targets of the loss on the LM's scores alone",
        low=0,
        high=1,
    )
    residual: bool = opt(
        False,
        "the fused loss adds the LM's scores to those of the scorer and the prior out of fold, with weights that "
        "were fitted before and stay fixed; the scorer is then trained alone only. training.fused_lm says how much "
        "of this loss's gradient reaches the LM",
    )
    wordless: float = opt(
        0.0,
        "share of the training prompts without path words, drawn anew in each epoch; ranking shows them all "
        "(prompt.verbaliser=none leaves them out of both)",
        low=0,
        high=1,
    )
    held_out: float = opt(
        0.0,
        "share of the training lists' users that are held out; the weights with the lowest fused loss on their "
        "lists are kept (0: the last weights)",
        low=0,
        high=0.9,
    )
    check_every: int = opt(
        50, "optimiser steps between looks at the lists of training.held_out", low=1
    )
    patience: int = opt(
        4,
        "looks at the lists of training.held_out without a lower loss before training stops",
        low=1,
    )
    aux_scorer: float = opt(0.5, "weight of the loss on the scorer's scores alone", low=0)
    checkpoint_every: int = opt(25, "optimiser steps between checkpoints", low=1)
    tracker: str = opt(
        "tensorboard",
        "where the run is logged, by Accelerate's trackers: tensorboard (learning curves, in the run's folder), wandb, "
        "mlflow (both: options, curves, tables, report), several as `wandb,mlflow`, or none",
    )
