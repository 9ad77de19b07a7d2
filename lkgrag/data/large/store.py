"""A folder of interactions: ids, sequences, and what is known of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from lkgrag.data.cleaning.attributes import attributes, links_of, triples_of
from lkgrag.data.cleaning.texts import Spellings
from lkgrag.data.interactions import Interactions
from lkgrag.data.tables import Tables
from lkgrag.errors import DataError, RunError
from lkgrag.utils.files import read_json
from lkgrag.utils.parts import read_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Written last, so that a folder with it is complete.
META = "store.json"
VERSION = 1


@dataclass(frozen=True)
class Store:
    """Interactions in files, made by :func:`make_store`.

    Attributes:
        folder: that holds them: ``users.parquet`` and ``items.parquet`` (``id``, and ``n``, the number of
            interactions; a row's place is the index), and ``sequences/part-*.parquet`` (``user position item``
            int32, ``rating`` float32, ``time`` float64, by user, then position; a user is in one part).
        meta: what ``store.json`` says.
    """

    folder: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Store:
        """Open a folder.

        Raises:
            RunError: it holds no store, an unfinished one, or one of another version.
        """
        path = Path(folder)
        if not (path / META).is_file():
            raise RunError(
                f"{path}: holds no finished store; run lkgrag.count again, and it goes on"
            )
        meta = read_json(path / META)
        if not isinstance(meta, dict) or meta.get("version") != VERSION:
            raise RunError(
                f"{path / META}: of another version; make the store anew with overwrite=true"
            )
        missing = [p for p in meta["parts"] if not (path / "sequences" / p).is_file()]
        if missing:
            raise RunError(
                f"{path / 'sequences' / missing[0]}: missing; make the store anew with overwrite=true"
            )
        return cls(path, meta)

    @property
    def num_users(self) -> int:
        """Number of users."""
        return int(self.meta["stats"]["users"])

    @property
    def num_items(self) -> int:
        """Number of items."""
        return int(self.meta["stats"]["items"])

    def __len__(self) -> int:
        """Number of interactions."""
        return int(self.meta["stats"]["interactions"])

    @property
    def is_once(self) -> bool:
        """Whether no user has an item more than once."""
        return bool(self.meta["is_once"])

    @property
    def parts(self) -> list[Path]:
        """The files of the sequences, in the order of the users."""
        return [self.folder / "sequences" / name for name in self.meta["parts"]]

    def need_times(self, option: str) -> None:
        """Refuse an option that compares the times of different users where they cannot be compared.

        Raises:
            DataError: times are mere positions in each user's history, or none is known.
        """
        if not self.meta["dated"]:
            raise DataError(
                f"{option} compares the times of different users, but those of {self.folder} are positions in each "
                f"user's history (nearly all begin at 0 or 1); leave {option} out"
            )
        if self.meta["unknown_times"] == len(self):
            raise DataError(
                f"{option} needs times, but no interaction has one; leave it out, or name the column of times by "
                "data.columns={time: ...}"
            )

    def counts(self, kind: str) -> NDArray[np.int64]:
        """Interactions of each ``user`` or ``item``, int64."""
        column = read_part(self.folder / f"{kind}s.parquet", ["n"])["n"]
        counts: NDArray[np.int64] = column.to_numpy()
        return counts

    def read(self) -> Interactions:
        """Read everything into memory, as :meth:`Interactions.from_tables` gives it, without attributes and dropped ids."""
        ids = {
            kind: read_part(self.folder / f"{kind}s.parquet", ["id"])["id"].to_pylist()
            for kind in ("user", "item")
        }
        tables = [read_part(path) for path in self.parts]
        rows = pa.concat_tables(tables)
        indptr = np.zeros(self.num_users + 1, np.int64)
        np.cumsum(self.counts("user"), out=indptr[1:])
        none, spellings = Tables(interactions=pd.DataFrame()), Spellings()
        return Interactions(
            user_ids=ids["user"],
            item_ids=ids["item"],
            indptr=indptr,
            item=rows["item"].to_numpy().astype(np.int64),
            rating=rows["rating"].to_numpy(),
            time=rows["time"].to_numpy(),
            items=attributes(None, "item", pd.Index(ids["item"]), spellings, with_title=True),
            users=attributes(None, "user", pd.Index(ids["user"]), spellings),
            triples=triples_of(none, spellings),
            links=links_of(none, pd.Index(ids["item"]), spellings),
            stats=dict(self.meta["stats"]),
        )
