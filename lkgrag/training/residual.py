r"""The terms that a language model is to add to, fixed beforehand: :math:`a \cdot scorer(c) + b \cdot prior(c)`.

A language model that is fused with scores which were fitted on the same lists learns to repair their overfit. So
each list has the scores and the weights of a scorer that has seen no list of its user, without a gradient. What
the language model then learns from the fused loss is what they leave open (their residual).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.ranker.fusion import centre

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.ranker.batch import RankerOutput
    from lkgrag.training.out_of_fold import OutOfFoldScores


@dataclass(frozen=True)
class FixedTerms:
    """The fixed terms of ``N`` training lists, in the order of their slots.

    Attributes:
        scorer: float32 ``[N, C]``, the scorer's scores out of fold; 0 in padding.
        total: float32 ``[N, C]``, the weighted sum of scorer and prior; 0 in padding.
    """

    scorer: NDArray[np.float32]
    total: NDArray[np.float32]

    @classmethod
    def of(cls, found: OutOfFoldScores, terms: Sequence[str]) -> FixedTerms:
        """Weigh scores by the weights that were learned with them.

        Args:
            found: of the lists.
            terms: those of ``scorer`` and ``prior`` that count, as of ``training.fuse``.
        """
        prior = np.where(np.isfinite(found.prior), found.prior, 0.0)
        a = found.a * ("scorer" in terms)
        b = found.b * ("prior" in terms)
        return cls(
            found.scorer, (a[:, None] * found.scorer + b[:, None] * prior).astype(np.float32)
        )

    def put_into(
        self, output: RankerOutput, index: NDArray[np.int64], mask: Tensor, lm_share: float
    ) -> RankerOutput:
        """The output with the fixed terms in place of the ranker's own.

        Args:
            output: of the ranker, ``B`` lists.
            index: int64 ``[B]``, the lists.
            mask: bool ``[B, C]``, the filled slots.
            lm_share: share of the fused score's gradient that reaches the language model, 0 to 1.
        """
        scorer, total = (
            torch.as_tensor(value[index], device=mask.device) for value in (self.scorer, self.total)
        )
        lm = torch.lerp(output.lm.detach(), output.lm, lm_share)
        scores = (lm + total).masked_fill(~mask, -torch.inf)
        return output._replace(scores=scores, scorer=centre(scorer, mask))
