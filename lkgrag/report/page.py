"""A self-contained HTML page: pictures inline, nothing fetched, readable on a phone and in the dark."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lkgrag import __version__
from lkgrag.evaluation.protocol import systems_of
from lkgrag.report.drawing import draw
from lkgrag.report.figures import COLD, figures, own_systems
from lkgrag.report.labels import label
from lkgrag.report.run_data import read_run
from lkgrag.report.style import INK, PAPER, style
from lkgrag.serving.recommendation import Recommendation
from lkgrag.utils.layout import PAGE
from lkgrag.utils.text import fit, shown_title, two_places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lkgrag.report.run_data import RunData

#: Folder of the pictures within a run's.
PICTURES = "report"
#: Metrics in words, in the order of the table's columns.
METRICS = {"mrr": "MRR", "ndcg": "NDCG", "recall": "Recall"}
#: Dots per inch of the PNG files.
DPI = 160
#: Columns of a title, and of a path in words, on the page.
TITLE_WIDTH, WORDS_WIDTH = 120, 300
#: Pixels a point, and how far a picture may grow beyond its own size.
PIXELS, GROWTH = 4 / 3, 1.5


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
    found.filters["signed"] = lambda v: "–" if v is None else f"{v:+.4f}".replace("0.", ".", 1)
    found.filters["part"] = two_places
    found.filters["salience"] = lambda v: two_places(v, "+")
    found.filters["title"] = lambda text: fit(shown_title(str(text)), TITLE_WIDTH)
    found.filters["words"] = lambda text: label(str(text), WORDS_WIDTH)
    found.filters["heading"] = _heading
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
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The page's width decides how wide a picture is, within what is good to read.
    widest = round(72 * figure.get_figwidth() * PIXELS * GROWTH)
    size = re.compile(r'(<svg[^>]*?) (?:width|height)="[^"]*"')
    text = size.sub(r"\1", size.sub(r"\1", text, count=1), count=1)
    text = text.replace("<svg", f'<svg role="img" style="max-width: {widest}px"', 1)
    # Safe: matplotlib has escaped what the picture says.
    return Markup(text.replace(INK, "currentColor").replace(PAPER, "var(--card)"))


def save_pictures(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.svg`` and ``name.png``, on white."""
    from lkgrag.utils.files import atomic

    for kind in ("svg", "png"):
        options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": DPI}
        with style(name), atomic(folder / f"{name}.{kind}") as tmp:
            figure.savefig(tmp, format=kind, facecolor="white", **options)


def write_report(folder: Path, metrics: dict[str, Any] | None = None) -> Path:
    """Write ``report.html`` and the pictures of a run's folder, from the folder alone.

    What the folder lacks (an older run's, or one without a language model) is left out of the page.

    Args:
        folder: of a run.
        metrics: where ``metrics.json`` is not there yet.

    Returns:
        Path of the page.

    Raises:
        LkgragError: a file that the report needs is missing or broken, or one cannot be written.
    """
    from lkgrag.evaluation.tables import faithful_line
    from lkgrag.utils.files import atomic

    run = read_run(folder, metrics)
    charts = {}
    for name, caption, figure in figures(run):
        save_pictures(figure, folder / PICTURES, name)
        charts[name] = {"caption": caption, "svg": svg(figure, name)}
    users = []
    colours: dict[str, str] = {}
    for number, found in enumerate(run.explained, start=1):
        name = f"user-{number}"
        drawn = draw(found, name, colours)
        if drawn is not None:
            save_pictures(drawn, folder / PICTURES, name)
        users.append(_user(found, drawn, name))
    faithful = run.metrics.get("faithfulness")
    page = _environment().get_template("run.html")
    text = page.render(
        run=run,
        version=__version__,
        tables=_tables(run),
        cold=_cold_tables(run),
        own=own_systems(run),
        metric_names=[_heading(m) for m in _metrics(run)],
        pictures=charts,
        faithful=faithful_line(faithful) if faithful else "",
        users=users,
    )
    with atomic(folder / PAGE) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return folder / PAGE


def recommendation_page(found: list[Recommendation]) -> str:
    """One page of rankings, as ``lkgrag.recommend format=html`` gives it."""
    from lkgrag.utils.console import track

    users = []
    colours: dict[str, str] = {}
    for number, ranking in enumerate(track(found, "draw", len(found)), start=1):
        name = f"user-{number}"
        users.append(_user(ranking, draw(ranking, name, colours), name))
    page = _environment().get_template("users.html")
    return page.render(users=users, version=__version__)


def _user(found: Recommendation, drawn: Figure | None, name: str) -> dict[str, Any]:
    return {
        "found": found,
        "there": any(item.item == found.target for item in found.items),
        "drawing": svg(drawn, name) if drawn is not None else None,
    }


def _heading(metric: str) -> str:
    name, _, k = metric.partition("@")
    words = METRICS.get(name, name)
    return f"{words}@{k}" if k else words


def _metrics(run: RunData) -> list[str]:
    """The columns that the run has figures for: by metric, then by cut-off."""
    known = {
        metric
        for splits in systems_of(run.metrics).values()
        for populations in splits.values()
        for values in populations.values()
        for metric in values
    }
    names = list(METRICS)

    def order(metric: str) -> tuple[int, str, int]:
        name, _, k = metric.partition("@")
        return (names.index(name) if name in names else len(names), name, int(k or 0))

    return sorted(known, key=order)


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
            out.append(
                {"split": split, "population": population, "rows": rows, "best": _best(rows)}
            )
    return out


def _cold_tables(run: RunData) -> list[dict[str, Any]]:
    """NDCG@10 of each system by group of events; the best of each column."""
    out = []
    found = run.metrics.get("cold_start") or {}
    for kind, what in COLD.items():
        groups = found.get(kind) or []
        if groups:
            systems = groups[0]["systems"]
            rows = {s: [g["systems"][s].get("ndcg@10") for g in groups] for s in systems}
            out.append({"by": what, "groups": groups, "rows": rows, "best": _best(rows)})
    return out


def _best(rows: dict[str, list[float | None]]) -> list[float | None]:
    """The greatest of each column; none where all are alike."""
    columns = [{v for v in c if v is not None} for c in zip(*rows.values(), strict=True)]
    return [max(c) if len(c) > 1 else None for c in columns]
