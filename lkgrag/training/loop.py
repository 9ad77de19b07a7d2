"""The training loop of the ranker: the same batches on one process or many, resumable at any step."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lkgrag.ranker.batch import RankerBatch
from lkgrag.training.batches import cut_by_fold, draw_wordless, find_epochs, share
from lkgrag.training.objective import build_optimizer, losses, rate, total_loss, zero_loss
from lkgrag.training.planning import plan
from lkgrag.training.sharding import (
    align,
    average_gradients,
    choose_shards,
    is_sharded,
    trainable_parameters,
)
from lkgrag.training.stopping import HELD_OUT, EarlyStopping
from lkgrag.utils.repeatable import summed_in_order

if TYPE_CHECKING:
    from accelerate import Accelerator
    from numpy.typing import NDArray

    from lkgrag.config import TrainingConfig
    from lkgrag.data import Queries
    from lkgrag.paths import ExamplePaths
    from lkgrag.prompt.order import CandidateOrder
    from lkgrag.ranker.batch import RankerOutput
    from lkgrag.ranker.model import RankerModel
    from lkgrag.training.checkpoint import Checkpoint
    from lkgrag.training.residual import FixedTerms

log = logging.getLogger(__name__)

Curve = list[dict[str, float]]
#: Steps over which a line of the log averages.
TAIL = 25


def _format_means(rows: Curve) -> str:
    """The mean losses and weights of some steps, for the log."""
    keys = ("loss", "loss_lm", "loss_scorer", "a", "b")
    return ", ".join(f"{k} {np.mean([r[k] for r in rows]):.3f}" for k in keys)


class Trainer:
    """Trains a ranker on lists whose target is among the candidates.

    Args:
        model: not yet prepared by Accelerate.
        graphs: the graphs of the examples and their paths (cross-fitted: without what they predict).
        queries: the examples; every ``target`` is a candidate slot.
        config: of the training; a negative ``max_examples`` means no limit.
        order: of the candidates; batches and dropout use its seed, too.
        accelerator: places the model and synchronises processes.
        checkpoint: the checkpoint to go on from and to write; None writes none.

    Attributes:
        batches: indices of the examples of each step.
        held_out: int64, indices of the examples that are held out.
        stopping: keeps the best weights so far.

    Raises:
        ValueError: a target is no candidate.
    """

    def __init__(
        self,
        model: RankerModel,
        graphs: ExamplePaths,
        queries: Queries,
        config: TrainingConfig,
        order: CandidateOrder,
        accelerator: Accelerator,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        if len(queries) and int(queries.target.min()) < 0:
            raise ValueError("every training list must hold its target")
        self.model, self.queries = model, queries
        self.graphs = graphs.to(accelerator.device)
        self.config, self.order, self.accelerator = config, order, accelerator
        # Batches are composed here: a launcher's accumulation steps would only divide the loss.
        accelerator.gradient_accumulation_steps = 1
        self.checkpoint, self.seed = checkpoint, order.seed
        self.batches, self.held_out = plan(model.prompter, graphs, queries, config, order.seed)
        self._epochs = find_epochs(self.batches, len(queries) - len(self.held_out))
        self.stopping = EarlyStopping(config.check_every, config.patience)
        self._fixed: FixedTerms | None = None
        self._is_sharded = False
        self._begun = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start, with those of earlier attempts up to their last checkpoint."""
        return time.perf_counter() - self._begun

    @property
    def has_checkpoint(self) -> bool:
        """Whether :meth:`fit` goes on from a checkpoint."""
        return self.checkpoint is not None and self.checkpoint.exists()

    def fit(
        self,
        progress: Callable[[int, int], None] | None = None,
        fixed: FixedTerms | None = None,
    ) -> Curve:
        """Train the model in place.

        Args:
            progress: called with (steps done, steps in all).
            fixed: terms that the language model is to add to, in place of the ranker's own scorer and fusion,
                which must be frozen.

        Returns:
            The learning curve, one row a step.

        Raises:
            RunError: the checkpoint is broken, or belongs to another model, data or options.
            ConfigError: the model is to be sharded, but there is no language model.
        """
        accelerator, stopping = self.accelerator, self.stopping
        self._fixed = fixed
        optimizer = build_optimizer(self.model, self.config)
        first, curve = self._resume(optimizer)
        self._is_sharded = is_sharded(accelerator)
        if self._is_sharded:
            choose_shards(accelerator, self.model)
        model, optimizer = accelerator.prepare(self.model, optimizer)
        if self._is_sharded:
            align(trainable_parameters(model))
        self._set_training(model)
        steps = len(self.batches)
        for step in range(first, steps):
            if stopping.is_over(curve):
                log.info("stopping after step %d: no lower loss on held-out users", step)
                break
            if progress is not None:
                progress(step, steps)
            factor = rate(step, steps, self.config.warmup)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            row = self._step(model, optimizer, step)
            curve.append({"step": step + 1, "lr": factor, **row})
            if len(self.held_out) and stopping.is_due(step + 1, steps):
                curve[-1][HELD_OUT] = self._check(model)
                stopping.offer(self.model, curve)
            if accelerator.trackers:
                accelerator.log({f"train/{k}": v for k, v in curve[-1].items()}, step=step + 1)
            is_last = step + 1 == steps or stopping.is_over(curve)
            if is_last or (step + 1) % self.config.checkpoint_every == 0:
                self._save(optimizer, step + 1, curve)
                log.info("step %d of %d: %s", step + 1, steps, _format_means(curve[-TAIL:]))
        if progress is not None:
            progress(steps, steps)
        stopping.restore(self.model)
        model.eval()
        return curve

    def _set_training(self, model: torch.nn.Module) -> None:
        """Put the model into training mode, but not a scorer that only chooses words."""
        model.train()
        if self._fixed is not None:
            self.model.scorer.eval()

    @torch.no_grad()
    def _check(self, model: torch.nn.Module) -> float:
        """The mean fused loss on the held-out lists, in nats, with all path words as in ranking."""
        accelerator, size = self.accelerator, self.config.micro_batch
        model.eval()
        total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
        whole = cut_by_fold(
            self.graphs.folds_of(self.queries)[self.held_out], size * accelerator.num_processes
        )
        for places in whole:
            batch = self.held_out[places]
            process = (accelerator.process_index, accelerator.num_processes)
            for index in share(batch, *process, size):
                parts, _ = self._losses(model, index, batch, None)
                total += parts["fused"].double()
        self._set_training(model)
        return float(accelerator.reduce(total, "sum")) / len(self.held_out)

    def _step(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int
    ) -> dict[str, float]:
        """Take one optimiser step over a batch, in micro-batches; return the step's row of the curve."""
        accelerator = self.accelerator
        batch = self.batches[step]
        epoch = self._epochs[step]
        micro_batches = share(
            batch, accelerator.process_index, accelerator.num_processes, self.config.micro_batch
        )
        sums = torch.zeros(3, device=accelerator.device)
        # Dropout and sampling depend on the step and the process, not on what ran before.
        seed = (self.seed * 1_000_003 + step) * 64 + accelerator.process_index
        torch.manual_seed(seed % 2**64)
        for number, index in enumerate(micro_batches):
            is_final = number == len(micro_batches) - 1
            # Gradients are exchanged once a step, with the last micro-batch.
            context = nullcontext if is_final else accelerator.no_sync
            with context(model):
                loss, values = self._forward(model, index, batch, epoch)
                with summed_in_order(accelerator.device):
                    accelerator.backward(loss)
                sums += values
        if self._is_sharded:
            average_gradients(trainable_parameters(model))
        sums = accelerator.reduce(sums, "sum")
        norm = accelerator.clip_grad_norm_(model.parameters(), self.config.clip)
        optimizer.step()
        optimizer.zero_grad()
        fused, lm, scorer = (sums / len(batch)).tolist()
        fusion = accelerator.unwrap_model(model).fusion
        return {
            "loss": fused,
            "loss_lm": lm,
            "loss_scorer": scorer,
            "gradient_norm": float(norm) if norm is not None else math.nan,
            "a": float(fusion.a.detach()),
            "b": float(fusion.b.detach()),
        }

    def _forward(
        self, model: torch.nn.Module, index: NDArray[np.int64], batch: NDArray[np.int64], epoch: int
    ) -> tuple[Tensor, Tensor]:
        """The loss of one micro-batch, scaled so that the batch's gradient is the mean over its prompts.

        Returns:
            The loss, and the sums of the three cross-entropies ``[3]``: fused, LM, scorer.
        """
        parts, values = self._losses(model, index, batch, epoch)
        # DistributedDataParallel averages over processes; this scale turns that into a sum over prompts.
        scale = self.accelerator.num_processes / len(batch)
        loss = total_loss(parts, self.config) * scale + zero_loss(trainable_parameters(model))
        return loss, values

    def _losses(
        self,
        model: torch.nn.Module,
        index: NDArray[np.int64],
        batch: NDArray[np.int64],
        epoch: int | None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The sums of the losses of one micro-batch, as :func:`losses` and as :meth:`_forward` give them.

        Args:
            model: perhaps wrapped.
            index: the micro-batch's prompts; may be empty.
            batch: of which it is a part.
            epoch: of training; None for prompts as ranking makes them.
        """
        device, config = self.accelerator.device, self.config
        weight = 1.0
        if len(index) == 0:
            # A process without a prompt must still take part in the exchange of gradients.
            index, weight = batch[:1], 0.0
        queries = self.queries[index]
        slots = self.order(index, queries.candidate_items.shape[1], -1 if epoch is None else epoch)
        graph = self.graphs.graph_of(queries)
        ranked = RankerBatch.of(graph, queries, slots, device, config.fused_lm)
        if epoch is not None and config.wordless > 0:
            drawn = draw_wordless(index, config.wordless, self.seed, epoch)
            ranked.wordless = torch.as_tensor(drawn, device=device)
        out: RankerOutput = model(ranked)
        if self._fixed is not None:
            out = self._fixed.put_into(out, index, ranked.paths.candidate_mask, config.fused_lm)
        target = torch.as_tensor(queries.target, device=device)
        parts = losses(
            out,
            target,
            ranked.paths.candidate_mask,
            torch.full((len(index),), weight, device=device),
            config.distill,
        )
        return parts, torch.stack([parts["fused"], parts["lm"], parts["scorer"]]).detach()

    def _resume(self, optimizer: torch.optim.Optimizer) -> tuple[int, Curve]:
        """Restore the checkpoint, if there is one; return the next step and the curve so far."""
        if self.checkpoint is None:
            return 0, []
        state = self.checkpoint.load(self.model, optimizer)
        if state is None:
            return 0, []
        self._begun -= float(state.get("seconds", 0.0))
        self.stopping.best = self.checkpoint.load_best()
        log.info("resuming the training at step %d of %d", state["step"], len(self.batches))
        return int(state["step"]), list(state["curve"])

    def _save(self, optimizer: torch.optim.Optimizer, step: int, curve: Curve) -> None:
        if self.checkpoint is None or not self.accelerator.is_main_process:
            return
        # Accelerate wraps the optimiser.
        inner = getattr(optimizer, "optimizer", optimizer)
        state = {"step": step, "curve": curve, "seconds": self.seconds}
        self.checkpoint.save(self.model, inner, state, self.stopping.best)
