"""Scores of training lists by scorers that were not trained on them.

What learns beside the scorer (a language model that is to add to it, or weights of both) must not read scores
that were fitted on its own labels: they are better than those of serving, and it would learn to trust them too
much. So the users are split, and each part is scored by a scorer that was trained on the others (stacking,
Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.scorer.base import check_finite, score_paths
from lkgrag.training.pretraining import BATCH, ExampleLists, pretrain_parts, tell_users_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import ScorerConfig
    from lkgrag.scorer.base import PathScorer


@dataclass(frozen=True)
class OutOfFoldScores:
    """Scores of ``B`` lists, in the order of their parts.

    Attributes:
        scorer: float32 ``[B, C]``, of the path scorer; 0 in padding.
        prior: float32 ``[B, C]``, log-softmax of the retriever's scores; ``-inf`` in padding.
        a: float32 ``[B]``, weight of the scorer that was learned with it.
        b: float32 ``[B]``, weight of the prior that was learned with it.
    """

    scorer: NDArray[np.float32]
    prior: NDArray[np.float32]
    a: NDArray[np.float32]
    b: NDArray[np.float32]


def out_of_fold_scores(
    make: Callable[[], PathScorer],
    lists: Sequence[ExampleLists],
    config: ScorerConfig,
    seed: int = 0,
    folds: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> OutOfFoldScores:
    """Score training lists, each by a scorer that has seen no list of its user.

    Candidates, priors and paths of cross-fitted lists are without their answers already. This makes the scorer's
    parameters so, too. It takes ``folds`` trainings of the scorer.

    Args:
        make: builds an untrained scorer on the device of the paths.
        lists: the examples, in one part for each graph of theirs; parts hold at least one list, and all
            have equally many candidate slots ``C``.
        config: ``pretrain_epochs`` and ``pretrain_lr``.
        seed: of the folds and of all trainings.
        folds: parts of the users.
        progress: called with (folds done, folds).

    Raises:
        ConfigError: a loss or a score is not finite.
        ValueError: there are fewer than two folds, or fewer than two users.
    """
    user = tell_users_apart(np.concatenate([x.paths.user.cpu().numpy() for x in lists]))
    users = np.unique(user)
    if folds < 2 or len(users) < 2:
        raise ValueError(
            f"scores out of fold need two folds of users, got {folds} and {len(users)} users"
        )
    count = min(folds, len(users))
    order = np.random.default_rng([seed, 0x00F]).permutation(len(users))
    fold = (order % count)[np.searchsorted(users, user)]
    scorer = np.zeros((len(user), lists[0].paths.num_candidates), np.float32)
    a, b = np.ones(len(user), np.float32), np.ones(len(user), np.float32)
    for number in range(count):
        if progress is not None:
            progress(number, count)
        model = make()
        result = pretrain_parts(model, _pick(lists, fold != number), config, seed)
        mine = fold == number
        scorer[mine] = np.concatenate([_score(model, part) for part in _pick(lists, mine)])
        a[mine], b[mine] = result.a, result.b
    if progress is not None:
        progress(count, count)
    prior = np.concatenate([x.paths.prior.cpu().numpy() for x in lists])
    return OutOfFoldScores(scorer, prior, a, b)


def _pick(lists: Sequence[ExampleLists], keep: NDArray[np.bool_]) -> list[ExampleLists]:
    """The lists where ``keep`` is true, bool ``[B]``, in their parts; parts without any are left out."""
    picked, start = [], 0
    for data, paths, target in lists:
        index = np.flatnonzero(keep[start : start + len(target)])
        start += len(target)
        if len(index):
            chosen = paths.prompts(torch.as_tensor(index, device=paths.sample.device))
            picked.append(ExampleLists(data, chosen, target[index]))
    return picked


@torch.no_grad()
def _score(scorer: PathScorer, part: ExampleLists) -> NDArray[np.float32]:
    """The scorer's scores, float32 ``[B, C]``, 0 in padding."""
    rows = []
    for index in torch.arange(len(part.target), device=part.paths.sample.device).split(BATCH):
        paths = part.paths.prompts(index)
        scores = score_paths(scorer, part.data, paths)
        check_finite(scorer, scores, paths)
        rows.append(scores.candidate.float().masked_fill(~paths.candidate_mask, 0.0).cpu())
    return torch.cat(rows).numpy()
