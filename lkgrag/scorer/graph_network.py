"""What the graph neural networks among the scorers share: options, cached vectors of nodes, rated paths.

A subclass gives nodes new vectors by messages over the whole graph (:meth:`GraphNetwork.embed_from`). This happens once
a step in training, and once for all batches in evaluation. :mod:`lkgrag.scorer.graph_evidence` then scores.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lkgrag.scorer.base import PathScorer, PathScores
from lkgrag.scorer.features import PerGraph, tensors_of
from lkgrag.scorer.graph_evidence import AgreementPooling, GraphEvidence
from lkgrag.scorer.graph_nodes import NodeInputs
from lkgrag.scorer.graph_options import NetworkOptions
from lkgrag.scorer.graph_structure import (
    ITEM,
    USER,
    LayerPlan,
    Messages,
    find_messages,
    plan_layers,
)
from lkgrag.scorer.metapath_attention import MetapathAttention

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType, NodeType

    from lkgrag.paths import PathBatch

    #: Computes new vectors of a plan's targets from the number of the layer, the plan and all vectors.
    Layer = Callable[[int, LayerPlan, dict[NodeType, Tensor]], dict[NodeType, Tensor]]

#: Graphs whose vectors are kept in evaluation: those of the training lists.
REMEMBERED = 4
#: Size of the vectors' entries before training, so that products of two vectors do not yet outweigh the counts.
SCALE = 0.3


class GraphNetwork(PathScorer):
    """Base class of graph neural networks that score paths.

    Args:
        metadata: see :class:`PathScorer`.
        num_nodes: see :class:`PathScorer`.
        metapaths: see :class:`PathScorer`; without any, each batch brings its own.
        num_features: width of ``data[type].x`` of each type that has features, as of a text encoder.
        **options: see :class:`NetworkOptions`, or :attr:`options_class` of a subclass.

    Attributes:
        options_class: the options that ``scorer.kwargs`` may hold.

    Raises:
        ConfigError: there is no such option.
        ValueError: an option is out of range.
    """

    options_class: type[NetworkOptions] = NetworkOptions
    takes_features = True

    def __init__(
        self,
        metadata: tuple[list[NodeType], list[EdgeType]],
        num_nodes: dict[NodeType, int],
        metapaths: list[tuple[EdgeType, ...]],
        num_features: dict[NodeType, int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(metadata, num_nodes, metapaths)
        self.options = self.options_class.of(type(self), options)
        hidden, counts = self.options.hidden, self.options.counts
        node_types, edge_types = metadata
        steps = {e for m in self.metapaths for e in m} if self.metapaths else set(edge_types)
        relations = [e for e in edge_types if e in steps]
        ends = {t for e in relations for t in (e[0], e[2])} | {ITEM}
        on_paths = [ITEM, *(t for t in node_types if t in ends and t != ITEM)]
        self.plans = plan_layers(self.choose_edges(edge_types), on_paths, self.options.layers)
        self.used_edges = list(dict.fromkeys(e for plan in self.plans for e in plan.edges))
        types = list(dict.fromkeys([*on_paths, *(t for p in self.plans for t in p.types)]))
        self.inputs = NodeInputs(types, edge_types, num_nodes, num_features or {}, hidden, counts)
        self.evidence = GraphEvidence(relations, on_paths, hidden, self.options.dropout)
        # The default scorer's embeddings are of the meta-paths that it was built for.
        self.open_metapaths = not counts
        self.counted = MetapathAttention(metadata, num_nodes, metapaths) if counts else None
        self.pooling = None if counts else AgreementPooling(self.evidence.kinds_of, len(relations))
        self.norm = nn.LayerNorm(hidden)
        nn.init.constant_(self.norm.weight, SCALE)
        self._messages = PerGraph(self._choose_messages)
        self._kept = KeptVectors()
        self.build_layers()

    def choose_edges(self, edge_types: list[EdgeType]) -> list[EdgeType]:
        """The edge types that may pass messages: all, or all but those of users."""
        return [e for e in edge_types if self.options.users or USER not in (e[0], e[2])]

    @abstractmethod
    def build_layers(self) -> None:
        """Register the layers; :attr:`plans` says what each of them computes."""

    @abstractmethod
    def embed_from(self, x: dict[NodeType, Tensor], data: HeteroData) -> dict[NodeType, Tensor]:
        """Pass messages.

        Args:
            x: vectors of each type before any message, ``[N, hidden]``.
            data: the graph; :meth:`find_messages` gives its edges.

        Returns:
            New vectors of each type; a type that is missing keeps those of before.
        """

    def find_messages(self, data: HeteroData) -> dict[EdgeType, Messages]:
        """The edges of each type that pass messages; found once for each graph."""
        return self._messages(data)

    def run_layers(
        self,
        x: dict[NodeType, Tensor],
        layer: Layer,
    ) -> dict[NodeType, Tensor]:
        """Apply a function for each layer; a type that it leaves out keeps its vectors."""
        for number, plan in enumerate(self.plans):
            if plan.edges:
                x = {**x, **layer(number, plan, x)}
        return x

    def extend(self, num_nodes: dict[NodeType, int]) -> None:
        """New nodes without features get the mean row; see :meth:`PathScorer.extend`."""
        super().extend(num_nodes)
        self.inputs.extend(num_nodes)
        self._kept.clear()

    def forward(self, data: HeteroData, paths: PathBatch) -> PathScores:
        """Score the paths of a batch of prompts; see :meth:`PathScorer.forward`."""
        if not len(paths):
            zeros = paths.prior.new_zeros(paths.prior.shape)
            return PathScores(paths.weight.new_zeros(0), zeros)
        agreement, match = self.evidence(self.embed(data), paths)
        if self.counted is not None:
            salience, score = self.counted.score(data, paths, agreement)
        else:
            assert self.pooling is not None
            salience, score = self.pooling(agreement, paths)
        has_paths = torch.zeros(score.numel(), device=score.device).index_fill(0, paths.slot, 1.0)
        return PathScores(salience, score + match * has_paths.view_as(score))

    def embed(self, data: HeteroData) -> dict[NodeType, Tensor]:
        """Vectors of the nodes on paths after all layers, by type.

        In evaluation without gradients they are kept until the graph, a parameter or the device changes.
        """
        if self.training or torch.is_grad_enabled():
            self._kept.clear()
            return self._embed(data)
        key = _key_of(self, data)
        if key is None:
            return self._embed(data)
        return self._kept(key, lambda: self._embed(data))

    def _embed(self, data: HeteroData) -> dict[NodeType, Tensor]:
        x = self.inputs(data)
        new = {**x, **self.embed_from(x, data)}
        return {t: self.norm(new[t]) for t in self.evidence.types}

    def _choose_messages(self, data: HeteroData) -> dict[EdgeType, Messages]:
        return {e: find_messages(data, e, self.options.neighbours) for e in self.used_edges}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> GraphNetwork:
        """Move or convert all state; vectors of before do not count any more."""
        self._kept.clear()
        return super()._apply(fn, recurse)


class KeptVectors:
    """Vectors of nodes in evaluation, of the latest parameters only."""

    def __init__(self) -> None:
        self._values: list[tuple[tuple[Any, ...], dict[NodeType, Tensor]]] = []

    def clear(self) -> None:
        """Forget all."""
        self._values = []

    def __call__(
        self, key: tuple[Any, ...], compute: Callable[[], dict[NodeType, Tensor]]
    ) -> dict[NodeType, Tensor]:
        """The vectors that were computed under an equal key, or new ones.

        Args:
            key: of the state, then of the graph.
            compute: computes them.
        """
        values = self._values
        for known, vectors in values:
            if known == key:
                return vectors
        vectors = compute()
        same_state = [v for v in values if v[0][0] == key[0]]
        self._values = [(key, vectors), *same_state][:REMEMBERED]
        return vectors

    def __deepcopy__(self, memo: dict[int, object]) -> KeptVectors:
        """Copy without the values: a copy of a module computes them again."""
        return KeptVectors()

    def __getstate__(self) -> dict[str, Any]:
        """The state without the values, for the same reason."""
        return {"_values": []}


class _Same:
    """A tensor as it is now: equal to itself until it is changed in place."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.version = tensor, tensor._version

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Same)
            and self.tensor is other.tensor
            and self.version == other.version
        )

    __hash__ = None  # type: ignore[assignment]


def _key_of(scorer: GraphNetwork, data: HeteroData) -> tuple[Any, ...] | None:
    """All that vectors of nodes depend on; None where changes cannot be seen, as in inference mode."""
    state = [*scorer.parameters(), *scorer.buffers()]
    graph = tensors_of(data)
    graph += [s.x for s in data.node_stores if isinstance(s.get("x"), Tensor)]
    if any(t.is_inference() for t in (*state, *graph)):
        return None
    return [_Same(t) for t in state], [_Same(t) for t in graph]
