"""A shop's log of lines as ``2026-01-31 ann bought mug``, and a list of what it sells."""

import pandas as pd

from lkgrag.data import Tables
from lkgrag.data.readers import Reader, read_lines, read_separated
from lkgrag.errors import DataError


class ShopLog(Reader):
    """``<data.name>.log``, and optional ``goods.csv`` with the columns item, title and kind."""

    name = "shop-log"

    def files(self, folder, config):
        """The log, which must be there, and the goods."""
        return [folder / f"{config.name}.log", folder / "goods.csv"]

    def read(self, folder, config):
        """Read what was bought, in the order of the log."""
        log, goods = self.files(folder, config)
        rows = []
        for number, line in enumerate(read_lines(log), start=1):
            words = line.split()
            if len(words) != 4:
                raise DataError(f"{log}: line {number}: {len(words)} words where there should be 4")
            day, user, verb, item = words
            if verb == "bought":
                rows.append({"line": number, "user": user, "item": item, "day": day})
        if not rows:
            raise DataError(f"{log}: nothing was bought")
        events = pd.DataFrame(rows).set_index("line")
        days = pd.to_datetime(events.pop("day"), errors="coerce")
        if days.isna().any():
            raise DataError(f"{log}: line {days.isna().idxmax()}: the day is no date as 2026-01-31")
        events["time"] = (days - pd.Timestamp(0)).dt.total_seconds()
        items = None
        if goods.is_file():
            items = read_separated(goods, need=("item", "title", "kind"))
        return Tables(interactions=events, items=items, source=str(log))
