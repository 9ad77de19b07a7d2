"""A ranker without its users: no id, history, interaction or attribute of a person is left in it.

It ranks for any raw history as before. What people chose together stays as sums over people, because the retrievers
are made of it: counts of items and of pairs of items, and the weights that were learned.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch_geometric.data import HeteroData

from lkgrag.config.public import public_config
from lkgrag.data.dropped import Dropped
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg.names import Names
from lkgrag.paths import graph_paths
from lkgrag.ranker.model import RankerModel
from lkgrag.scorer.base import option_of
from lkgrag.scorer.resolver import new_scorer
from lkgrag.serving.known import KnownData
from lkgrag.serving.users import UserTable

if TYPE_CHECKING:
    import os

    from torch_geometric.typing import EdgeType

    from lkgrag.paths import GraphPaths
    from lkgrag.scorer import PathScorer
    from lkgrag.serving.context import Context
    from lkgrag.serving.users import History

USER, ITEM = "user", "item"
#: How to share a ranker that cannot be shared without its users.
WAY_OUT = "or share the histories, too, by histories=True"
#: Share of the users whose ids a type of nodes may have as names; one with more stands for the users.
MOST = 0.9


class WithheldUsers(UserTable):
    """The users of a ranker that was shared without histories: it knows none."""

    def __len__(self) -> int:
        """None."""
        return 0

    def __iter__(self) -> Iterator[str]:
        """Nothing."""
        return iter(())

    def find(self, user: str) -> int:
        """See :meth:`UserTable.find`."""
        return -1

    def rows(self, start: int, stop: int) -> list[tuple[str, History]]:
        """See :meth:`UserTable.rows`."""
        return []

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write nothing."""

    def refuse_unknown(self) -> None:
        """See :meth:`UserTable.refuse_unknown`."""
        raise DataError(
            "users: this ranker was shared without its users' histories, so it knows no user; give history=[<items>], "
            "oldest first, or get the ranker with histories from its owner"
        )


def without_users(model: RankerModel, context: Context) -> tuple[RankerModel, Context]:
    """A ranker without users, histories and interactions; the given one stays as it is.

    Args:
        model: of the ranker.
        context: of the ranker.

    Raises:
        ConfigError: a custom part may hold users, and cannot be had without them.
        LkgragError: a file of the data is missing or broken.
    """
    if isinstance(context.users, WithheldUsers):
        return model, context
    _refuse_hidden_users(context)
    graph = graph_paths(forget_users(context.data), context.config.paths)
    scorer = _without_user_rows(model.scorer, context, graph)
    known = None if context.known is None else KnownData(items=context.known.read_items())
    shared = replace(
        context,
        graph=graph,
        users=WithheldUsers(),
        dropped=Dropped({}, context.dropped.items, context.dropped.titles),
        known=known,
        config=public_config(context.config),
    )
    return RankerModel(model.lm, scorer, model.prompter, model.fusion).eval(), shared


def forget_users(data: HeteroData) -> HeteroData:
    """A graph in which one nameless node stands for all users.

    All types of nodes and edges stay, and all other nodes keep their indices, so that paths between items are the
    same. Items keep their number of edges to users, which scorers read as popularity, but not whose they are. Edges from
    users to values, such as their towns, go, with the names of what only users lead to. Ratings and times go.

    Args:
        data: a graph of :func:`~lkgrag.kg.build_kg`.
    """
    out = HeteroData()
    for name in ("merged", "left_out", "temporal", "follow_window", "custom"):
        if name in data:
            out[name] = copy.copy(data[name])
    for node_type in data.node_types:
        for name, value in data[node_type].items():
            out[node_type][name] = value
        if node_type == USER:
            out[node_type].name = Names([""])
            out[node_type].num_nodes = 1
            if "x" in out[node_type]:
                del out[node_type]["x"]
        elif node_type != ITEM:
            _forget_names(data, out, node_type)
    for edge_type in data.edge_types:
        _forget_edges(data, out, edge_type)
    return out


def _forget_edges(data: HeteroData, out: HeteroData, edge_type: EdgeType) -> None:
    """Put edges of a type on a graph, without users in them."""
    ends = (edge_type[0], edge_type[2])
    index = data[edge_type].edge_index
    if USER in ends and ITEM in ends:
        side = ends.index(ITEM)
        pair = [torch.zeros_like(index[0]), torch.zeros_like(index[0])]
        # Sorted, because the order of the edges is that of the users.
        pair[side] = index[side].sort().values
        out[edge_type].edge_index = torch.stack(pair)
    else:
        out[edge_type].edge_index = index[:, :0] if USER in ends else index
    for name, value in data[edge_type].items():
        if name == "edge_index":
            continue
        if USER in ends:
            value = value[: out[edge_type].num_edges]
        if USER in ends or name == "time":
            # An edge whose time is NaN always stood, as it does for whoever asks now.
            value = torch.full_like(value, torch.nan)
        out[edge_type][name] = value


def _forget_names(data: HeteroData, out: HeteroData, node_type: str) -> None:
    """Leave out the names of values that users have and nothing else has, such as their towns."""
    number = int(data[node_type].num_nodes or 0)
    of_users, of_others = (
        torch.zeros(number, dtype=torch.bool),
        torch.zeros(number, dtype=torch.bool),
    )
    for edge_type in data.edge_types:
        for side in (0, 2):
            if edge_type[side] == node_type:
                ends = data[edge_type].edge_index[side // 2].cpu()
                (of_users if edge_type[2 - side] == USER else of_others)[ends] = True
    hidden = of_users & ~of_others
    if bool(hidden.any()):
        names = zip(data[node_type].name, hidden.tolist(), strict=True)
        out[node_type].name = Names("" if is_hidden else name for name, is_hidden in names)


def _refuse_hidden_users(context: Context) -> None:
    """Refuse parts that may hold users without saying so.

    Raises:
        ConfigError: naming the part, and what to do.
    """
    for name, option in context.retriever.custom.items():
        system = type(context.retriever.systems[name])
        if system.holds_histories is not False:
            what = (
                "says that it holds histories" if system.holds_histories else "may hold histories"
            )
            raise ConfigError(
                f"retrieval.systems={option}: what this retriever saves {what}; if no user is in it, say so by "
                f"holds_histories = False in the class, {WAY_OUT}"
            )
    users = set(context.users)
    for node_type in context.data.node_types:
        if node_type in (ITEM, USER) or not users:
            continue
        names = set(context.data[node_type].name)
        same = len(users & names)
        if same >= MOST * len(users) and 2 * same >= len(names):
            raise ConfigError(
                f"the nodes '{node_type}' of the graph have the ids of {same} of {len(users)} users as names, so they "
                f"are people; train without their relation (kg.exclude), {WAY_OUT}"
            )


def _without_user_rows(scorer: PathScorer, context: Context, graph: GraphPaths) -> PathScorer:
    """The scorer for a graph without users; of a table with a row for each user, their mean is left.

    Raises:
        ConfigError: a parameter depends on the users in another way.
    """
    config, users = context.config, len(context.users)
    new = new_scorer(config.scorer, config.paths.search, graph, config.seed)
    state, fresh = scorer.state_dict(), new.state_dict()
    for name, value in fresh.items():
        known = state.get(name)
        if known is None or known.shape == value.shape:
            continue
        is_table = known.dim() > 0 and len(known) == users and known.shape[1:] == value.shape[1:]
        if not (is_table and len(value) <= 1 and known.is_floating_point()):
            raise ConfigError(
                f"{option_of(scorer)}: '{name}' has the shape {list(known.shape)}, but {list(value.shape)} for a graph "
                f"without users: give the class a table with a row for each user, which may be one row, {WAY_OUT}"
            )
        # What unknown users have.
        state[name] = known.mean(0, keepdim=True)[: len(value)]
    new.load_state_dict(state)
    return new.to(next(iter(state.values())).device if state else "cpu").eval()
