"""Rankings as files and on the terminal: text, JSON, HTML, CSV and Parquet."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
from rich.console import Console

from lkgrag.utils.files import atomic, nan_to_none

if TYPE_CHECKING:
    from lkgrag.serving.recommendation import Recommendations


def write_rankings(results: Recommendations, form: str, out: str | None) -> None:
    """Write rankings to a file, or to the terminal.

    Args:
        results: the rankings.
        form: ``text``, ``json``, ``html``, ``csv`` or ``parquet``; the last one needs a file.
        out: the file; None for stdout.

    Raises:
        LkgragError: the file cannot be written.
    """
    if form == "parquet" and out is not None:
        with atomic(Path(out)) as tmp:
            pq.write_table(results.to_frame("arrow"), tmp)
        return
    encoding = "utf-8" if out is not None else sys.stdout.encoding or "utf-8"
    text = _format(results, form, encoding)
    if out is not None:
        with atomic(Path(out)) as tmp, open(tmp, "w", encoding="utf-8") as file:
            if text is None:
                to = Console(file=file, width=80, highlight=False, emoji=False, color_system=None)
                results.show(to)
            else:
                file.write(text)
    elif text is None:
        results.show()
    else:
        # The console would fit the text to the width of the terminal.
        sys.stdout.write(text)
        sys.stdout.flush()


def _format(results: Recommendations, form: str, encoding: str) -> str | None:
    """Give the whole text of the HTML and JSON formats; None for the format that a console prints.

    Characters that the encoding lacks are escaped, as each format allows.
    """
    if form == "html":
        # Only here: the other formats do not wait for the libraries that draw.
        from lkgrag.report import recommendation_page

        page = recommendation_page(results)
        return page.encode(encoding, "xmlcharrefreplace").decode(encoding)
    if form == "csv":
        table = results.to_frame().to_csv(index=False, lineterminator="\n")
        return str(table).encode(encoding, "replace").decode(encoding)
    if form == "json":
        values = nan_to_none([r.to_dict() for r in results])
        ascii_only = encoding.lower().replace("-", "") != "utf8"
        return json.dumps(values, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"
    return None
