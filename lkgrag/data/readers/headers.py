"""Headers that the wrong reader gets: which reader it was, why, and what it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.columns import where
from lkgrag.data.usual_names import USUAL, plain
from lkgrag.errors import DataError, short

if TYPE_CHECKING:
    from lkgrag.data.tables import Tables

#: Cells of the first row that must be usual names of columns.
ENOUGH = 2


def refuse_header(tables: Tables, why: str) -> None:
    """Refuse interactions whose first row is a header, which a reader of files without one takes for values.

    Args:
        tables: what was read.
        why: which reader was chosen, and why, as a sentence.

    Raises:
        DataError: naming the file, the header and the columns that the reader takes in its place.
    """
    events = tables.interactions
    if not isinstance(events, pd.DataFrame) or not len(events):
        return
    usual = {word for words in USUAL["interactions"].values() for word in words}
    cells = [str(cell).strip() for cell in events.iloc[0].tolist()]
    if sum(plain(cell) in usual for cell in cells) < ENOUGH:
        return
    columns = ", ".join(map(str, events.columns))
    raise DataError(
        f"{tables.source}: {where(events, 0)} is a header ({short(', '.join(cells))}), but this layout has none: "
        f"its columns are {columns}, in this order; delete the line, or name a reader of files with a header. {why}"
    )
