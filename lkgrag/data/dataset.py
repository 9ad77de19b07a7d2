"""The data of a run: the sequences, their split, and the key that identifies them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lkgrag.config import DataConfig
from lkgrag.config.identity import to_dict
from lkgrag.data.interactions import Interactions
from lkgrag.data.memory import check_same, content_digest
from lkgrag.data.readers import read_tables
from lkgrag.data.splits import Split, make_split
from lkgrag.errors import DataError

log = logging.getLogger(__name__)


@dataclass
class Dataset:
    """The data of a run.

    Attributes:
        interactions: the sequences.
        split: what trains, validates and tests.
        key: the options of the data and a hash of the files; every later stage depends on both.
    """

    interactions: Interactions
    split: Split
    key: dict[str, Any]

    @classmethod
    def load(
        cls,
        config: DataConfig,
        interactions: Interactions | None = None,
        needs_time: bool = False,
    ) -> Dataset:
        """Read, filter, order and split the interactions.

        Args:
            config: of the data.
            interactions: data in memory in place of files; they are only split.
            needs_time: whether the graph compares points in time, as with ``kg.temporal``.

        Raises:
            DataError: a file is missing or broken, or too little data is left. Or an option needs points in
                time, but the times are mere positions, or no time is known.
            AssetError: the data set could not be fetched.
        """
        if interactions is not None:
            check_same(config, interactions)
            sha = content_digest(interactions)
        else:
            tables, sha = read_tables(config)
            interactions = Interactions.from_tables(tables, config)
        for option, needs in {
            "kg.temporal=true": needs_time,
            "data.split=time": config.split == "time",
        }.items():
            if needs and not interactions.dated:
                raise DataError(
                    f"{option} compares the times of different users, but the times of "
                    f"data.name={config.name} are positions in each user's history (nearly all begin at 0 "
                    f"or 1); leave {option} out"
                )
        if needs_time:
            _check_times(interactions)
        options = {k: v for k, v in to_dict(config).items() if k != "root"}
        return cls(interactions, make_split(interactions, config), {"data": options, "files": sha})

    def without_test(self) -> Dataset:
        """The same data before the test: from each user's first test event on, no interaction is left.

        Users, items and the validation events stay what they are. The key says what is missing, so that no stage of
        these data is taken for one of the whole.

        Returns:
            Data whose split has no test event.
        """
        interactions, split = self.interactions, self.split
        end = np.diff(interactions.indptr)
        np.minimum.at(end, split.test.user, split.test.position)
        nothing = split.test[:0]
        key = {**self.key, "test": "left out"}
        return Dataset(interactions.first(end), replace(split, test=nothing), key)


def _check_times(interactions: Interactions) -> None:
    """Refuse ``kg.temporal`` if no time is known, and warn if some times are unknown.

    Raises:
        DataError: no interaction has a time.
    """
    unknown = int(np.isnan(interactions.time).sum())
    if unknown == len(interactions):
        raise DataError(
            "kg.temporal=true hides edges from earlier predictions, but no interaction has a time; leave it "
            "out, or name the column of times by data.columns={time: ...}"
        )
    if unknown:
        log.warning(
            "kg.temporal=true: %d of %d interactions have no time; edges that come from them are never "
            "hidden, and predictions of them use all edges",
            unknown,
            len(interactions),
        )
