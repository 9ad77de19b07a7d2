"""The budget of a run: how many prompts the language model is trained on and ranks, by the kind of device.

The numbers depend on the kind of device alone, never on a clock, so a run gives the same figures on every machine of
a kind. The run prints them, and ``metrics.json`` holds them under ``budget``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from lkgrag.config import NO_LLM
from lkgrag.llm.loading import compute_dtype

if TYPE_CHECKING:
    from lkgrag.config import Config, EvaluationConfig, TrainingConfig

#: No limit.
ALL = -1


@dataclass(frozen=True)
class Budget:
    """Most prompts of a run's language model; -1 is no limit.

    Attributes:
        device: the kind of device, in words.
        training: prompts of the training.
        ranking: prompts that are ranked for each split.
    """

    device: str
    training: int
    ranking: int

    def __str__(self) -> str:
        """The budget as a line for the terminal."""
        training, ranking = (
            f"{n:,} prompts" if n >= 0 else "every prompt" for n in (self.training, self.ranking)
        )
        return (
            f"budget on this device ({self.device}): {training} of training (training.max_examples), "
            f"{ranking} of each split to rank (evaluation.max_events)"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def apply(
        self, training: TrainingConfig, evaluation: EvaluationConfig
    ) -> tuple[TrainingConfig, EvaluationConfig]:
        """The options with this budget's numbers in place of the options that ask for the default."""
        return (
            replace(training, max_examples=self.training),
            replace(evaluation, max_events=self.ranking),
        )


#: Measured on SmolLM2-135M's default layers and two cores: a training prompt takes .65 s in float32 on AVX2, a
#: ranked one .33 s. In bfloat16 on AVX-512 both take a third or less of that.
DEFAULTS = {
    budget.device: budget
    for budget in (
        Budget("CPU, float32", training=96, ranking=200),
        Budget("CPU, bfloat16", training=400, ranking=400),
        Budget("GPU", training=ALL, ranking=ALL),
    )
}


def choose_budget(config: Config, device: torch.device) -> Budget:
    """The budget of a run: what the options ask for, and the device's default where they leave it open.

    Args:
        config: of the run.
        device: on which the language model computes.

    Raises:
        ModelError: the dtype does not fit the device.
    """
    kind = "GPU"
    if device.type != "cuda":
        has_lm = config.llm.name != NO_LLM
        is_narrow = has_lm and compute_dtype(config.llm, device) is torch.bfloat16
        kind = "CPU, bfloat16" if is_narrow else "CPU, float32"
    budget = DEFAULTS[kind]
    if config.training.max_examples >= 0:
        budget = replace(budget, training=config.training.max_examples)
    if config.evaluation.max_events != 0:
        budget = replace(budget, ranking=config.evaluation.max_events)
    return budget
