"""The order in which candidates stand in a prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def candidate_order(
    ids: NDArray[np.int64], num_candidates: int, policy: str, seed: int, epoch: int
) -> NDArray[np.int64]:
    """The order in which the candidates stand in each prompt.

    Args:
        ids: a number that identifies each prompt, ``[B]``.
        num_candidates: ``C``.
        policy: ``random`` (a permutation drawn from (seed, epoch, id)), ``retriever``, or
            ``published`` (random in training, the retriever's in evaluation).
        seed: of the run.
        epoch: of training; -1 in evaluation.

    Returns:
        int64 ``[B, C]``: the slot that stands at each place.
    """
    if policy == "retriever" or (policy == "published" and epoch < 0):
        return np.tile(np.arange(num_candidates), (len(ids), 1))
    rows = [
        np.random.default_rng([seed, epoch + 1, int(i), 0x02DE]).permutation(num_candidates)
        for i in ids
    ]
    return np.asarray(rows, np.int64).reshape(len(ids), num_candidates)


@dataclass(frozen=True)
class CandidateOrder:
    """The rule by which a run orders the candidates of its prompts.

    Attributes:
        policy: ``random``, ``retriever`` or ``published``, as of ``prompt.order``.
        seed: of the run.
    """

    policy: str
    seed: int

    def __call__(
        self, ids: NDArray[np.int64], num_candidates: int, epoch: int = -1
    ) -> NDArray[np.int64]:
        """The slot that stands at each place of each prompt.

        Args:
            ids: a number that identifies each prompt, ``[B]``.
            num_candidates: ``C``.
            epoch: of training; -1 in evaluation.

        Returns:
            int64 ``[B, C]``.
        """
        return candidate_order(ids, num_candidates, self.policy, self.seed, epoch)
