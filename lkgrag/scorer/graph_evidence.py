r"""How graph neural networks score: paths by the agreement of their nodes, candidates by that of the history.

Let :math:`z` be the nodes' vectors after the network, and let instance :math:`p` lead along meta-path :math:`m` from
history item :math:`h` over inner nodes :math:`v` to candidate :math:`c`:

.. math::
    a_p &= \tfrac{1}{\sqrt d} \left( (z_h \circ k_m) \cdot z_c + \textstyle\sum_v W u \cdot z_v \right)
        && \text{agreement of its ends, and the user's interest in inner nodes} \\
    g(c) &= w \cdot [y_c \circ z_c, u \circ z_c, z_c]

:math:`u` pools the history by recency, :math:`y_c` by attention of the candidate too. :math:`k_m` is linear in the mean
of the embeddings of the meta-path's relations. The default scorer adds :math:`a_p` to the energy of the instance, and
:math:`g(c)` is added to its score of the candidate. So a network differs from the default scorer by its vectors alone.
Without the default's counts, :class:`AgreementPooling` takes its place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lkgrag.scorer.base import PathScores
from lkgrag.scorer.features import rating_deviation, sum_by
from lkgrag.scorer.graph_structure import ITEM
from lkgrag.scorer.metapath_attention import HALF_LIVES
from lkgrag.scorer.pooling import HIGHEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch
    from lkgrag.paths.batch import MetaPath


class Kinds(NamedTuple):
    """Meta-paths as tensors, ``M`` of them over ``R`` relations.

    Attributes:
        member: float32 ``[M, R]``, share of each relation in a meta-path.
        first, last: int64 ``[M]``, index of the first and of the last relation.
        edges: float32 ``[M]``, number of edges beyond the first.
        inner: int64 ``[M, L - 2]``, index of the node type at each inner place; -1 beyond the end.
    """

    member: Tensor
    first: Tensor
    last: Tensor
    edges: Tensor
    inner: Tensor


class KindsOf:
    """Describes the meta-paths of a batch; those of the last one are kept.

    Args:
        relations: edge types that have an embedding.
        types: node types.
    """

    def __init__(self, relations: Sequence[EdgeType], types: Sequence[NodeType]) -> None:
        self._relations = {e: row for row, e in enumerate(relations)}
        self._types = {t: row for row, t in enumerate(types)}
        self._last: tuple[list[MetaPath], torch.device, Kinds] | None = None

    def __call__(self, metapaths: Sequence[MetaPath], device: torch.device) -> Kinds:
        """The meta-paths as tensors on a device."""
        wanted = [tuple(m) for m in metapaths]
        last = self._last
        if last is not None and last[1] == device and last[0] == wanted:
            return last[2]
        # Training may need them, too, which it could not take from the inference mode.
        with torch.inference_mode(False):
            kinds = self._tensors(wanted, device)
        self._last = (wanted, device, kinds)
        return kinds

    def _tensors(self, wanted: list[MetaPath], device: torch.device) -> Kinds:
        places = max((len(m) - 1 for m in wanted), default=0)
        member = torch.zeros(len(wanted), len(self._relations))
        ends = torch.zeros(2, len(wanted), dtype=torch.int64)
        inner = torch.full((len(wanted), places), -1, dtype=torch.int64)
        for row, metapath in enumerate(wanted):
            index = [self._relations[e] for e in metapath]
            for relation in index:
                member[row, relation] += 1.0 / len(index)
            ends[0, row], ends[1, row] = index[0], index[-1]
            for place, edge_type in enumerate(metapath[:-1]):
                inner[row, place] = self._types[edge_type[2]]
        edges = torch.tensor([len(m) - 1.0 for m in wanted])
        return Kinds(*(x.to(device) for x in (member, ends[0], ends[1], edges, inner)))

    def __deepcopy__(self, memo: dict[int, object]) -> KindsOf:
        """Copy without what is kept."""
        return KindsOf(list(self._relations), list(self._types))


class GraphEvidence(nn.Module):
    """What vectors of nodes say of paths and candidates.

    Args:
        relations: edge types that paths may follow.
        types: node types that may lie on paths, items among them.
        hidden: width of the vectors.
        dropout: rate for vectors of users and items, in training.
    """

    def __init__(
        self, relations: Sequence[EdgeType], types: Sequence[NodeType], hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.hidden, self.dropout = hidden, dropout
        self.types = list(types)
        self.kinds_of = KindsOf(relations, types)
        has_inner = len(self.types) > 1
        self.relation = nn.Parameter(0.3 * torch.randn(max(1, len(relations)), hidden))
        self.recency = nn.Parameter(torch.tensor(math.log(2) / HALF_LIVES[-1]))
        self.rating = nn.Parameter(0.1 * torch.randn(hidden))
        self.user = nn.Linear(hidden, hidden)
        self.end = nn.Linear(hidden, hidden)
        self.interest = nn.Linear(hidden, hidden, bias=False) if has_inner else None
        self.attend = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(3 * hidden, 1, bias=False)
        with torch.no_grad():
            # The agreement of a path's ends is their product before training.
            self.end.bias.fill_(1.0)
            for layer in (self.end, self.out):
                layer.weight.mul_(0.1)

    def forward(self, nodes: dict[NodeType, Tensor], paths: PathBatch) -> tuple[Tensor, Tensor]:
        """Rate a batch with at least one path.

        Args:
            nodes: vectors of each type, float32 ``[N, hidden]``.
            paths: the batch.

        Returns:
            The agreement of each path ``[P]``, and of each candidate with the history ``[B, C]``.
        """
        kinds = self.kinds_of(paths.metapaths, paths.sample.device)
        items = nodes[ITEM]
        chosen = self._drop(F.embedding(paths.history_items.clamp(min=0), items))
        candidate = self._drop(F.embedding(paths.candidate_items.clamp(min=0), items))
        seen = chosen + rating_deviation(paths)[0][..., None] * self.rating
        user, context = self._pool_history(seen, candidate, paths)
        agreement = self._agreement(chosen, candidate, kinds.member @ self.relation, paths)
        if self.interest is not None:
            agreement = agreement + self._inner(nodes, user, kinds, paths)
        one = user[:, None].expand_as(candidate)
        match = self.out(torch.cat([context * candidate, one * candidate, candidate], 2))
        return agreement, match.squeeze(2)

    def _drop(self, vectors: Tensor) -> Tensor:
        return F.dropout(vectors, self.dropout, self.training)

    def _pool_history(
        self, seen: Tensor, candidate: Tensor, paths: PathBatch
    ) -> tuple[Tensor, Tensor]:
        """The user ``[B, hidden]``, and the history as each candidate attends to it ``[B, C, hidden]``."""
        is_filled = paths.history_items >= 0
        decay = -self.recency * paths.history_age.clamp(min=0)
        weight = decay.exp() * is_filled
        weight = weight / weight.sum(1, keepdim=True).clamp(min=1e-9)
        user = torch.tanh(self.user((weight[..., None] * seen).sum(1)))
        logits = self.attend(candidate) @ seen.mT / math.sqrt(self.hidden) + decay[:, None]
        logits = logits.masked_fill(~is_filled[:, None], torch.finfo(logits.dtype).min)
        # An empty history attends to nothing.
        share = logits.softmax(2) * is_filled[:, None]
        return user, share @ seen

    def _agreement(
        self, chosen: Tensor, candidate: Tensor, kind: Tensor, paths: PathBatch
    ) -> Tensor:
        """How well the ends of each path agree, ``[P]``; computed once for each pair and meta-path."""
        num, (_, num_history, _), num_candidates = len(kind), chosen.shape, candidate.shape[1]
        left = chosen[:, :, None] * self.end(kind) / math.sqrt(self.hidden)
        table = left.flatten(1, 2) @ candidate.mT
        row = (paths.sample * num_history + paths.history) * num + paths.metapath
        return table.flatten().index_select(0, row * num_candidates + paths.candidate)

    def _inner(
        self, nodes: dict[NodeType, Tensor], user: Tensor, kinds: Kinds, paths: PathBatch
    ) -> Tensor:
        """The user's interest in the inner nodes of each path, summed, ``[P]``."""
        out = torch.zeros(len(paths), device=user.device)
        places = kinds.inner.shape[1]
        if not places or self.interest is None:
            return out
        table = torch.cat([nodes[t] for t in self.types])
        sizes = torch.tensor([len(nodes[t]) for t in self.types], device=user.device)
        start = sizes.cumsum(0) - sizes
        wish = self.interest(user) / math.sqrt(self.hidden)
        for place in range(places):
            kind = kinds.inner[:, place][paths.metapath]
            row = torch.where(kind >= 0)[0]
            node = start[kind[row]] + paths.nodes[row, place + 1]
            # Each node once, since prompts of a batch share many.
            some, index = node.unique(return_inverse=True)
            values = wish @ table[some].T
            out = out.index_add(0, row, values.flatten()[paths.sample[row] * len(some) + index])
        return out


class AgreementPooling(nn.Module):
    r"""Pools paths by their agreement alone: :math:`\sum_m \beta_m \log(1 + \sum_{p \in (c, m)} e^{a_p + b_m})`.

    Args:
        kinds_of: describes meta-paths by their relations.
        relations: number of relations.
    """

    def __init__(self, kinds_of: KindsOf, relations: int) -> None:
        super().__init__()
        self.kinds_of = kinds_of
        self.bias = nn.Parameter(torch.zeros(max(1, relations)))
        # The softplus of it is 1.
        self.strength = nn.Parameter(torch.full((max(1, relations),), math.log(math.e - 1)))

    def forward(self, agreement: Tensor, paths: PathBatch) -> PathScores:
        """Saliences and scores of candidates from the agreement of each path, ``[P]``."""
        member = self.kinds_of(paths.metapaths, agreement.device).member
        bias = member @ self.bias
        strength = F.softplus(member @ self.strength).clamp(min=1e-9)
        energy = (agreement + bias.index_select(0, paths.metapath)).clamp(max=HIGHEST)
        num, size = len(member), paths.candidate_items.numel()
        total = sum_by(energy.exp(), paths.slot * num + paths.metapath, size * num)
        score = (total.view(*paths.candidate_items.shape, num).log1p() * strength).sum(2)
        return PathScores(energy + strength.log().index_select(0, paths.metapath), score)
