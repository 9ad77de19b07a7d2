"""Rankings as HTML for notebooks: no script, no style sheet and nothing fetched, readable on white and on black."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from lkgrag.data.cleaning.texts import clean
from lkgrag.utils.text import fit, one_line, shown_title, two_places

if TYPE_CHECKING:
    from lkgrag.serving.ranked import RankedItem, Ranking

#: Columns of a title, of a worded path, and of a title of the history.
TITLE, WORDS, PAST = 80, 280, 38
#: Rankings that are shown, history items, and items whose paths are open.
RANKINGS, LATEST, OPEN = 10, 5, 3
#: Widest bar of a path, in em.
BAR = 4.0

# Notebooks drop style sheets and colour tables in their own way, so each element says its style, and text keeps the
# notebook's colour.
_PLAIN = "background:transparent;color:inherit;border:0;"
_CELL = f"{_PLAIN}padding:.15em .6em;vertical-align:top;"
_LINE = "border-top:1px solid rgba(128,128,128,.35);"
_FADED = "opacity:.7"


def html_of(rankings: Sequence[Ranking]) -> str:
    """The first rankings, one below the other, and how many more there are."""
    parts = [_ranking(ranking) for ranking in rankings[:RANKINGS]]
    more = len(rankings) - RANKINGS
    if more > 0:
        words = f"and {more:,} more rankings; to_frame() has all of them"
        parts.append(f'<div style="{_FADED}">{words}</div>')
    return "\n".join(parts)


def _text(text: str, columns: int) -> str:
    """Any text in one line, cut, as HTML."""
    return escape(clean(fit(one_line(text), columns)))


def _title(text: str, columns: int = TITLE) -> str:
    return _text(shown_title(text), columns)


def _ranking(ranking: Ranking) -> str:
    who = "a history" if ranking.user is None else f"user {_text(ranking.user, TITLE)}"
    lines = [
        '<div style="overflow-x:auto;margin:.5em 0;color:inherit">',
        f"<div><b>{who}</b></div>",
        f'<div style="{_FADED}">{_history(ranking)}</div>',
    ]
    if ranking.request is not None:
        lines.append(f'<div style="{_FADED}">request: {_text(ranking.request, WORDS)}</div>')
    columns = ("score", *ranking.parts)
    head = "".join(_cell("th", name, "right") for name in columns)
    lines.append(f'<table style="border-collapse:collapse;{_PLAIN}margin:.3em 0">')
    lines.append(f'<tr style="{_PLAIN}">{_cell("th", "")}{_cell("th", "title")}{head}</tr>')
    lines += [_item(item, columns, item.item == ranking.target) for item in ranking.items]
    lines.append("</table>")
    if ranking.note:
        lines.append(f'<div style="{_FADED}">{ranking.note}</div>')
    if ranking.target is not None:
        is_there = any(item.item == ranking.target for item in ranking.items)
        note = "* chosen in truth" if is_there else "the item chosen in truth is not in this list"
        lines.append(f'<div style="{_FADED}">{note}</div>')
    lines.append("</div>")
    return "\n".join(lines)


def _history(ranking: Ranking) -> str:
    """The last titles of the history."""
    more = "... " if len(ranking.history) > LATEST else ""
    titles = " &gt; ".join(_title(title, PAST) for _, title in ranking.history[-LATEST:])
    return f"history ({len(ranking.history)}): {more}{titles}"


def _cell(kind: str, content: str, side: str = "left", style: str = "") -> str:
    return f'<{kind} style="{_CELL}text-align:{side};{style}">{content}</{kind}>'


def _item(item: RankedItem, columns: Sequence[str], is_target: bool) -> str:
    """The row of an item: its title above its paths, and its figures."""
    title = f"{_title(item.title)}{' *' if is_target else ''}"
    bold = "font-weight:bold;" if is_target else ""
    figures = "".join(
        _cell("td", two_places(getattr(item, name)), "right", _LINE) for name in columns
    )
    content = f'<span style="{bold}">{title}</span>{_paths(item, is_target)}'
    rank = _cell("td", str(item.rank), "right", _LINE)
    return f'<tr style="{_PLAIN}">{rank}{_cell("td", content, "left", _LINE)}{figures}</tr>'


def _paths(item: RankedItem, is_target: bool) -> str:
    """The worded paths of an item, each with a bar as long as it is salient; folded behind the first items."""
    lines = []
    if item.variety:
        lines.append(f"<div>{_text(item.variety, WORDS)}</div>")
    if item.asked:
        lines.append(f"<div>{_text(item.asked, WORDS)}</div>")
    top = max((path.salience for path in item.paths), default=0.0)
    for path in item.paths:
        share = math.exp(min(path.salience - top, 0.0)) if math.isfinite(path.salience) else 0.0
        bar = (
            f'<span title="{two_places(path.salience, "+")}" style="display:inline-block;width:{BAR}em;'
            f'margin-right:.5em"><span style="display:inline-block;height:.5em;width:{max(BAR * share, 0.1):.2f}em;'
            f'background:#2386c4"></span></span>'
        )
        lines.append(f"<div>{bar}{_text(path.shown(), WORDS)}</div>")
    if not lines:
        return ""
    is_open = " open" if item.rank <= OPEN or is_target else ""
    return (
        f'<details{is_open} style="font-size:90%"><summary style="{_FADED}">why</summary>'
        f"{''.join(lines)}</details>"
    )
