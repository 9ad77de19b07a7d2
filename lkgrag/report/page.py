"""A self-contained HTML page: pictures inline, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lkgrag import __version__
from lkgrag.recommendation import Recommendation
from lkgrag.report.drawing import draw, label
from lkgrag.report.figures import INK, figures, style
from lkgrag.report.gather import read_run
from lkgrag.rundir import systems_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lkgrag.report.gather import RunData

PAGE, PICTURES = "report.html", "report"
#: Columns of the table of systems.
METRICS = ("mrr", "ndcg@5", "ndcg@10", "ndcg@20", "recall@1", "recall@5", "recall@10", "recall@20")
#: Dots per inch of the PNG files.
DPI = 160
#: Characters of a title on the page.
TITLE_WIDTH = 120


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("lkgrag.report", "templates"),
        # Titles are whatever the data holds: all is escaped unless it was drawn here.
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["figure"] = lambda v: "–" if v is None else f"{v:.4f}".lstrip("0")
    found.filters["signed"] = lambda v, n=4: "–" if v is None else f"{v:+.{n}f}"
    found.filters["title"] = lambda text: label(str(text), TITLE_WIDTH) or "(no title)"
    return found


def svg(figure: Figure, name: str) -> Markup:
    """A figure as inline SVG whose ids are its own and whose ink is the page's."""
    buffer = io.StringIO()
    with style(name):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    # Named units would fix the size: the page's width decides.
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Safe: matplotlib has escaped what the picture says.
    return Markup(text.replace(INK, "currentColor"))


def save_pictures(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.svg`` and ``name.png``, on white."""
    from lkgrag.io import atomic

    for kind in ("svg", "png"):
        options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": DPI}
        with style(name), atomic(folder / f"{name}.{kind}") as tmp:
            figure.savefig(tmp, format=kind, facecolor="white", **options)


def write_report(folder: Path, metrics: dict[str, Any] | None = None) -> Path:
    """Write ``report.html`` and the pictures of a run's folder, from the folder alone.

    Args:
        folder: of a run.
        metrics: where ``metrics.json`` is not there yet.

    Returns:
        Path of the page.

    Raises:
        LkgragError: a file that the report needs is missing or broken, or one cannot be written.
    """
    from lkgrag.io import atomic

    run = read_run(folder, metrics)
    pictures = []
    for name, caption, figure in figures(run):
        save_pictures(figure, folder / PICTURES, name)
        pictures.append({"name": name, "caption": caption, "svg": svg(figure, name)})
    users = []
    for number, found in enumerate(run.explained, start=1):
        drawn = draw(found, f"user-{number}")
        if drawn is not None:
            save_pictures(drawn, folder / PICTURES, f"user-{number}")
        users.append(_user(found, drawn, f"user-{number}"))
    page = (
        _environment()
        .get_template("run.html")
        .render(
            run=run,
            version=__version__,
            tables=_tables(run),
            metric_names=[_heading(m) for m in _metrics(run)],
            pictures={p["name"]: p for p in pictures},
            users=users,
        )
    )
    with atomic(folder / PAGE) as tmp:
        tmp.write_text(page, encoding="utf-8")
    return folder / PAGE


def recommendation_page(found: list[Recommendation]) -> str:
    """One page of rankings, as ``lkgrag.recommend format=html`` gives it."""
    users = [_user(r, draw(r, f"user-{n}"), f"user-{n}") for n, r in enumerate(found, start=1)]
    return _environment().get_template("users.html").render(users=users, version=__version__)


def _user(found: Recommendation, drawn: Figure | None, name: str) -> dict[str, Any]:
    there = any(item.item == found.target for item in found.items)
    return {
        "found": found,
        "there": there,
        "drawing": svg(drawn, name) if drawn is not None else None,
    }


def _heading(metric: str) -> str:
    name, _, k = metric.partition("@")
    words = {"mrr": "MRR", "ndcg": "NDCG", "recall": "Recall"}[name]
    return f"{words}@{k}" if k else words


def _metrics(run: RunData) -> list[str]:
    """The columns that the run has figures for."""
    known = {m for v in systems_of(run.metrics).values() for m in v["test"]["all"]}
    return [m for m in METRICS if m in known]


def _tables(run: RunData) -> list[dict[str, Any]]:
    """Rows of each table of systems: split, population, figures; the best of each column."""
    out = []
    systems, names = systems_of(run.metrics), _metrics(run)
    for split, population in (
        ("test", "all"),
        ("test", "retrieved"),
        ("val", "all"),
        ("val", "retrieved"),
    ):
        rows = {}
        for system, values in systems.items():
            figures = values.get(split, {}).get(population, {})
            if figures:
                rows[system] = [figures.get(m) for m in names]
        if rows:
            columns = [[v for v in c if v is not None] for c in zip(*rows.values(), strict=True)]
            best = [max(c) if c else None for c in columns]
            out.append({"split": split, "population": population, "rows": rows, "best": best})
    return out
