"""The trial of a custom scorer, which finds what is wrong with it before minutes of training do."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import torch
from torch.nn.parameter import is_lazy

from lkgrag.errors import ConfigError
from lkgrag.scorer.base import check_finite, option_of, score_paths
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.repeatable import summed_in_order

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.paths import PathBatch
    from lkgrag.scorer.base import PathScorer, PathScores

    #: Values of a graph by store and name, each with the number of its changes in place.
    Contents = dict[tuple[object, str], tuple[object, int]]

log = logging.getLogger(__name__)

#: Parameters that a warning names.
NAMED = 3
#: How far repeated scores of the same paths may differ, because a GPU adds in any order.
TOLERANCE = 1e-3


def try_out(
    make: Callable[[], PathScorer],
    data: HeteroData,
    paths: PathBatch,
    file: str | os.PathLike[str],
) -> list[str]:
    """Score, compute gradients, save and load, with scorers that are not used afterwards.

    Args:
        make: builds a scorer.
        data: the graph.
        paths: of a few prompts.
        file: where a state is saved.

    Returns:
        Names of the parameters that no score of these prompts depends on.

    Raises:
        ConfigError: a run with such a scorer would fail; the message names its class.
    """
    scorer = make().eval()
    for name, tensor in [*scorer.named_parameters(), *scorer.named_buffers()]:
        if is_lazy(tensor):
            raise ConfigError(
                f"{option_of(scorer)}: '{name}' has no size before the first batch; "
                "give it a size in the constructor"
            )
        if tensor.is_meta:
            raise ConfigError(
                f"{option_of(scorer)}: '{name}' is on the device meta, so it has no values; build it on the CPU"
            )
    graph, batch = _contents(data), _versions(paths)
    with torch.random.fork_rng(devices=[]):
        scores = score_paths(scorer, data, paths)
        if batch != _versions(paths):
            raise ConfigError(
                f"{option_of(scorer)}: its forward() changes the paths; work on a copy, as "
                "paths.weight.log() and not paths.weight.log_()"
            )
        check_finite(scorer, scores, paths)
        _check_repeats(scorer, scores, score_paths(scorer, data, paths), paths)
        idle = _check_gradients(scorer, scores)
    if not _is_same(graph, _contents(data)):
        raise ConfigError(f"{option_of(scorer)}: its forward() changes the graph; work on a copy")
    save_scorer(file, scorer)
    load_scorer(file, make())
    return idle


def _check_repeats(
    scorer: PathScorer, first: PathScores, second: PathScores, paths: PathBatch
) -> None:
    """Refuse scores that depend on chance, because a run could then be neither repeated nor continued."""
    mask = paths.candidate_mask
    for a, b in (
        (first.salience, second.salience),
        (first.candidate[mask], second.candidate[mask]),
    ):
        if not torch.allclose(a.double(), b.double(), TOLERANCE, TOLERANCE):
            raise ConfigError(
                f"{option_of(scorer)}: its forward() gives other scores when it is called again; draw random "
                "numbers, and change buffers, only if self.training is true"
            )


def _check_gradients(scorer: PathScorer, scores: PathScores) -> list[str]:
    """Refuse gradients that AdamW does not take; the names of parameters that get none."""
    loss = scores.salience.sum() + scores.candidate.sum()

    def tell(error: BaseException) -> str:
        return (
            f"{option_of(scorer)}: the gradient of its scores cannot be computed ({type(error).__name__}: {error}); "
            "change no tensor in place in forward(), and see to the backward() of own functions"
        )

    if loss.requires_grad:
        with guard_custom_code(tell), summed_in_order(loss.device):
            loss.backward()
    for name, parameter in scorer.named_parameters():
        if parameter.grad is not None and parameter.grad.layout != torch.strided:
            raise ConfigError(
                f"{option_of(scorer)}: '{name}' has a sparse gradient, which AdamW does not take; "
                "leave sparse=True out"
            )
    return [n for n, p in scorer.named_parameters() if p.requires_grad and p.grad is None]


def warn_of_idle_parts(
    scorer: PathScorer, data: HeteroData, paths: PathBatch, idle: Collection[str]
) -> None:
    """Say, in one warning, what of a custom scorer cannot learn or has not learned.

    Args:
        scorer: trained.
        data: the graph.
        paths: of a few prompts.
        idle: names of parameters that got no gradient.
    """
    if not idle:
        return
    with torch.no_grad():
        scores = score_paths(scorer, data, paths)
    kinds = [str(x.dtype).removeprefix("torch.") for x in scores if not x.is_floating_point()]
    names = ", ".join(f"'{name}'" for name in list(idle)[:NAMED])
    names += f" and {len(idle) - NAMED} more" if len(idle) > NAMED else ""
    if kinds:
        log.warning(
            "%s: its scores are %s, through which nothing is learned: return floats. Never trained: %s",
            option_of(scorer),
            kinds[0],
            names,
        )
        return
    log.warning(
        "%s: no gradient ever reached %s: the scores do not depend on it, or detach() or item() cuts it off; "
        "requires_grad_(False) says that it shall not learn",
        option_of(scorer),
        names,
    )


def _versions(paths: PathBatch) -> list[tuple[int, int]]:
    """List the tensors of a batch, and how often each was changed in place."""
    return [(id(v), v._version) for v in vars(paths).values() if isinstance(v, torch.Tensor)]


def _contents(data: HeteroData) -> Contents:
    """List all values of a graph, and how often each was changed in place, which only tensors count."""
    return {
        (store._key, name): (value, getattr(value, "_version", 0))
        for store in data.stores
        for name, value in store.items()
    }


def _is_same(a: Contents, b: Contents) -> bool:
    return a.keys() == b.keys() and all(
        value is b[key][0] and version == b[key][1] for key, (value, version) in a.items()
    )
