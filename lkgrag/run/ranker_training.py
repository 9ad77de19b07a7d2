"""The training of a run's ranker: its budget of prompts, the probe of the head, then everything together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lkgrag.prompt.order import CandidateOrder
from lkgrag.run.ranker_stages import score_out_of_fold
from lkgrag.training.checkpoint import Checkpoint
from lkgrag.training.loop import Trainer
from lkgrag.training.probe import probe_head
from lkgrag.training.residual import FixedTerms
from lkgrag.utils.progress import bar, forecast

if TYPE_CHECKING:
    from lkgrag.data import Queries
    from lkgrag.paths import ExamplePaths
    from lkgrag.ranker.model import RankerModel
    from lkgrag.run.context import RunContext
    from lkgrag.run.display import StageDisplay
    from lkgrag.run.stages import Stages

#: How to do without the language model.
SKIP_LLM = "llm.name=none skips this"
#: Folder below the run's, for the checkpoint of its training and the scores of its evaluation.
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RankerTraining:
    """The record of the ranker's training; the trained weights are in the model.

    Attributes:
        curve: one row a step; empty without training.
        seconds: seconds that it took.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def train_ranker(
    stages: Stages,
    context: RunContext,
    model: RankerModel,
    graphs: ExamplePaths,
    examples: Queries,
) -> RankerTraining:
    """Train the ranker in place, within its budget of prompts.

    Args:
        stages: of the run.
        context: how the run is carried out.
        model: the untrained ranker.
        graphs: the graphs of the examples and their paths.
        examples: the training examples.
    """
    if model.lm is None or not len(examples):
        return RankerTraining()
    config, accelerator = stages.config, context.accelerator
    training = dataclasses.replace(config.training, max_examples=context.budget.training)
    trainer = Trainer(
        model,
        graphs,
        examples,
        training,
        CandidateOrder(config.prompt.order, config.seed),
        accelerator,
        Checkpoint(context.folder / CHECKPOINTS, stages.keys.training(context.budget.training)),
    )
    if training.probe > 0 and not trainer.has_checkpoint:
        prompts = training.probe
        if config.training.max_examples > 0:
            # Whoever asks for few prompts wants a short run; the default budget leaves the probe whole.
            prompts = min(prompts, config.training.max_examples)
        _probe_head(trainer, prompts, config.evaluation.batch_size, context.display)
    context.tracking.start_training()
    fixed = None
    if training.residual:
        fixed = FixedTerms.of(score_out_of_fold(stages, graphs, examples), training.fuse)
    may_stop = len(trainer.held_out) > 0
    with bar("train the ranker, steps", context.is_main, may_end_early=may_stop) as update:
        curve = trainer.fit(forecast(update, "steps", SKIP_LLM), fixed)
    context.tracking.log_training(curve)
    context.display.show_training(
        curve, examples, sum(len(b) for b in trainer.batches[: len(curve)])
    )
    return RankerTraining(curve, trainer.seconds)


def _probe_head(trainer: Trainer, prompts: int, batch_size: int, show: StageDisplay) -> None:
    """Fit the readout's head on some prompts, before the whole ranker trains.

    Args:
        trainer: of the ranker.
        prompts: most prompts.
        batch_size: prompts a forward pass.
        show: prints the result.
    """
    with bar("probe the language model", trainer.accelerator.is_main_process) as update:
        correlation = probe_head(
            trainer.model,
            trainer.graphs,
            trainer.queries,
            prompts,
            batch_size,
            trainer.seed,
            forecast(update, "prompts", SKIP_LLM),
        )
    if correlation is not None:
        show.say(
            f"readout probed: correlation with the scorer {correlation:.2f} on held-out prompts"
        )
