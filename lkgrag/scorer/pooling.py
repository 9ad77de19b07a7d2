r"""Path instances rated and pooled, the part of :mod:`lkgrag.scorer.metapath_attention` that sees every path.

For training there are torch operations. For serving one compiled loop does the same in one pass, because
a few hundred paths take torch longer to set up than to rate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.utils import softmax

from lkgrag.scorer.features import sum_by
from lkgrag.utils.jit import JIT, compiled

if TYPE_CHECKING:
    from lkgrag.paths import PathBatch

#: Features of an instance: log weight, degrees of both ends, age, log age, rating, whether it is rated.
FEATURES = 7
#: Energies are cut here, so that no sum of exponentials overflows.
HIGHEST = 30.0
#: The smallest weight of a path whose logarithm is taken.
LOWEST = 1e-9


class InstanceTerms(NamedTuple):
    """What instances are rated with, ``M`` meta-paths and ``K`` heads.

    Attributes:
        weights: ``[M, K, FEATURES]``, of the features.
        bias: ``[B, M, K]``.
        logs: ``[B, C, M, K]``, logarithms of the attention over meta-paths.
        source: ``[M, I]``, degrees of the history items.
        target: ``[M, I]``, degrees of the candidates.
        deviation: ``[B, H]``, of the ratings.
        is_rated: bool ``[B, H]``.
    """

    weights: Tensor
    bias: Tensor
    logs: Tensor
    source: Tensor
    target: Tensor
    deviation: Tensor
    is_rated: Tensor


class PooledPaths(NamedTuple):
    """The instances of a batch, pooled; a slot is a candidate of a prompt.

    Attributes:
        salience: ``[P]``.
        counts: ``[B, C, M, K]``, sums of the exponentials of energies.
        features: ``[B * C, FEATURES]``, means by the attention over a slot's instances.
        kinds: ``[B * C, M]``, the attention that falls on each meta-path.
    """

    salience: Tensor
    counts: Tensor
    features: Tensor
    kinds: Tensor


def pool_paths(terms: InstanceTerms, paths: PathBatch, extra: Tensor | None = None) -> PooledPaths:
    """Rate and pool the instances; differentiable where gradients are recorded.

    Args:
        terms: what the instances are rated with.
        paths: the instances.
        extra: added to the energy of each instance, ``[P]``; nothing by default.
    """
    if extra is None and JIT and not torch.is_grad_enabled() and paths.weight.device.type == "cpu":
        # In mixed precision some of the terms are of another type.
        numbers = (*terms[:-1], paths.weight)
        if all(values.dtype == torch.float32 for values in numbers):
            return _pool_compiled(terms, paths)
    return _pool_by_torch(terms, paths, extra)


def _pool_by_torch(
    terms: InstanceTerms, paths: PathBatch, extra: Tensor | None = None
) -> PooledPaths:
    """Pool by operations on all instances at once."""
    num_prompts, num_candidates, num, heads = terms.logs.shape
    size = num_prompts * num_candidates
    x = instance_features((terms.source, terms.target), (terms.deviation, terms.is_rated), paths)
    weights = terms.weights.index_select(0, paths.metapath)
    place = paths.sample * num + paths.metapath
    energy = (weights * x[:, None]).sum(2) + terms.bias.view(-1, heads).index_select(0, place)
    if extra is not None:
        energy = energy + extra[:, None]
    cell = paths.slot * num + paths.metapath
    parts = energy + terms.logs.view(-1, heads).index_select(0, cell)
    salience = parts.logsumexp(1)
    counts = sum_by(energy.clamp(max=HIGHEST).exp(), cell, size * num)
    attention = softmax(salience, paths.slot, num_nodes=size)
    return PooledPaths(
        salience,
        counts.view_as(terms.logs),
        sum_by(attention[:, None] * x, paths.slot, size),
        sum_by(attention, cell, size * num).view(size, num),
    )


def instance_features(
    degrees: tuple[Tensor, Tensor], rating: tuple[Tensor, Tensor], paths: PathBatch
) -> Tensor:
    """Collect the features of each instance, ``[P, FEATURES]``.

    Args:
        degrees: of history items and of candidates, each ``[M, I]``.
        rating: deviations and whether a rating is known, each ``[B, H]``.
        paths: the instances.
    """
    source, target = degrees
    deviation, is_rated = rating
    row = paths.metapath * source.shape[1]
    end = paths.candidate_items.flatten()[paths.slot]
    place = paths.sample * paths.history_items.shape[1] + paths.history
    age = paths.history_age.clamp(min=0).flatten()[place].to(paths.weight)
    columns = [
        paths.weight.clamp(min=LOWEST).log(),
        source.flatten()[row + paths.nodes[:, 0]],
        target.flatten()[row + end],
        age,
        age.log1p(),
        deviation.flatten()[place],
        is_rated.flatten()[place].to(deviation),
    ]
    return torch.stack(columns, dim=1)


def _pool_compiled(terms: InstanceTerms, paths: PathBatch) -> PooledPaths:
    """Pool by one loop over the instances, which are sorted by slot."""
    num_prompts, num_candidates, num, heads = terms.logs.shape
    size = num_prompts * num_candidates
    salience = np.empty(len(paths), np.float32)
    counts = np.zeros((size, num, heads), np.float32)
    features = np.zeros((size, FEATURES), np.float32)
    kinds = np.zeros((size, num), np.float32)
    # Once an item, not once a path.
    age = paths.history_age.clamp(min=0).to(torch.float32)
    prompts = (paths.candidate_items, age, age.log1p())
    columns = (
        *(paths.sample, paths.candidate, paths.history),
        *(paths.metapath, paths.nodes, paths.weight),
    )
    arrays = (tuple(x.contiguous().numpy() for x in part) for part in (terms, prompts, columns))
    _pool(*arrays, (salience, counts, features, kinds))
    pooled = PooledPaths(*map(torch.from_numpy, (salience, counts, features, kinds)))
    return pooled._replace(counts=pooled.counts.view(terms.logs.shape))


@compiled(cache=True, nogil=True)
def _pool(terms, prompts, columns, out):  # type: ignore[no-untyped-def]
    """Fill the arrays of ``out``, all but the first of which are 0; see :class:`PooledPaths`."""
    weights, bias, logs, source, target, deviation, is_rated = terms
    candidate_items, age, log_age = prompts
    sample, candidate, history, metapath, nodes, weight = columns
    salience, counts, features, kinds = out
    num_paths, num_candidates, heads = len(sample), logs.shape[1], weights.shape[1]
    x, shares = np.empty((num_paths, FEATURES), np.float32), np.empty(num_paths, np.float32)
    parts = np.empty(heads, np.float32)
    first = 0
    while first < num_paths:
        b, c = sample[first], candidate[first]
        slot, end = b * num_candidates + c, candidate_items[b, c]
        last, peak = first, np.float32(-np.inf)
        while last < num_paths and sample[last] == b and candidate[last] == c:
            m, h = metapath[last], history[last]
            mine = x[last]
            mine[0] = math.log(max(weight[last], np.float32(LOWEST)))
            mine[1], mine[2] = source[m, nodes[last, 0]], target[m, end]
            mine[3], mine[4] = age[b, h], log_age[b, h]
            mine[5], mine[6] = deviation[b, h], np.float32(is_rated[b, h])
            top = np.float32(-np.inf)
            for k in range(heads):
                energy = np.float32(0.0)
                for f in range(FEATURES):
                    energy += weights[m, k, f] * mine[f]
                energy += bias[b, m, k]
                counts[slot, m, k] += math.exp(min(energy, np.float32(HIGHEST)))
                parts[k] = energy + logs[b, c, m, k]
                top = max(top, parts[k])
            total = np.float32(0.0)
            for k in range(heads):
                total += math.exp(parts[k] - top)
            salience[last] = top + math.log(total)
            peak = max(peak, salience[last])
            last += 1
        total = np.float32(0.0)
        for p in range(first, last):
            shares[p] = math.exp(salience[p] - peak)
            total += shares[p]
        for p in range(first, last):
            attention = shares[p] / total
            kinds[slot, metapath[p]] += attention
            for f in range(FEATURES):
                features[slot, f] += attention * x[p, f]
        first = last
