"""Which engine counts behaviour: arrays in memory, or queries from a size on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lkgrag.kg.large.edge_files import read_edges, write_followed, write_met
from lkgrag.kg.large.histories import Histories
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.utils.duck import open_duck
from lkgrag.utils.duck_limits import is_installed
from lkgrag.utils.steps import Alone

if TYPE_CHECKING:
    from lkgrag.config import EngineConfig, KGConfig
    from lkgrag.kg.base import Edges, RelationSource, Training

#: Training interactions from which on ``engine.name=auto`` takes queries.
FROM = 5_000_000


def is_by_queries(source: RelationSource, training: Training, engine: EngineConfig | None) -> bool:
    """Whether queries count a relation.

    Args:
        source: of the relation; only those of this package are counted by queries.
        training: the training interactions.
        engine: None for arrays in memory.
    """
    if engine is None or engine.name == "memory" or type(source) not in (FollowedBy, CoRated):
        return False
    return engine.name == "duckdb" or (len(training.user) >= FROM and is_installed())


def count_edges(
    source: RelationSource, training: Training, config: KGConfig, engine: EngineConfig
) -> Edges:
    """The edges of a relation, counted by queries: the same as :meth:`~lkgrag.kg.RelationSource.edges` gives.

    Raises:
        LkgragError: DuckDB is not installed, the limit of memory is too small, or the disk is full.
    """
    with open_duck(engine, torch.get_num_threads()) as duck:
        histories = Histories.of(duck, training)
        with tempfile.TemporaryDirectory(dir=duck.temp) as name:
            folder = Path(name)
            if isinstance(source, FollowedBy):
                files = write_followed(Alone(duck), histories, config, folder / source.name)
            else:
                files = write_met(Alone(duck), histories, config, folder / source.name, folder)
            return read_edges(files, config.temporal)
