"""The data that a ranker is made of, kept with it so that it can be updated; read when they are asked for.

A ranker that is shared without histories keeps the items alone, so that lists can be filtered by their attributes.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.stored import (
    has_interactions,
    load_interactions,
    load_items,
    save_interactions,
    save_items,
)
from lkgrag.errors import RunError

if TYPE_CHECKING:
    import pandas as pd

    from lkgrag.data.interactions import Interactions


@dataclass(frozen=True)
class KnownData:
    """All interactions that a ranker knows, in memory or in a folder.

    Attributes:
        interactions: in memory; None while they are in a folder.
        folder: of the files; None for those in memory.
        items: in memory, the attributes of the items alone; None where the interactions hold them.
    """

    interactions: Interactions | None = None
    folder: Path | None = None
    items: pd.DataFrame | None = None

    @property
    def is_whole(self) -> bool:
        """Whether there are interactions, not only items."""
        if self.interactions is not None:
            return True
        return self.folder is not None and has_interactions(self.folder)

    def read(self) -> Interactions:
        """The interactions.

        Raises:
            LkgragError: a file is missing or broken.
        """
        if self.interactions is not None:
            return self.interactions
        if self.folder is None:
            raise RunError("this ranker has no data to add to; train again")
        return load_interactions(self.folder)

    def read_items(self) -> pd.DataFrame:
        """The attributes of the items alone, as of :attr:`lkgrag.data.Interactions.items`.

        Raises:
            LkgragError: as :meth:`read`.
        """
        if self.items is not None:
            return self.items
        if self.interactions is None and self.folder is not None:
            return load_items(self.folder)
        return self.read().items

    def save(self, folder: Path) -> None:
        """Write them.

        Raises:
            LkgragError: the folder cannot be written, or a file is missing or broken.
        """
        if self.items is not None:
            save_items(self.items, folder)
        elif self.interactions is None and self.folder is not None:
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        else:
            save_interactions(self.read(), folder)

    def __getstate__(self) -> dict[str, object]:
        """The interactions themselves: a copy elsewhere does not have the folder."""
        if not self.is_whole:
            return {"interactions": None, "folder": None, "items": self.read_items()}
        return {"interactions": self.read(), "folder": None, "items": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Take over what :meth:`__getstate__` gave."""
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def __deepcopy__(self, memo: object) -> KnownData:
        """Itself: nothing changes it."""
        return self
