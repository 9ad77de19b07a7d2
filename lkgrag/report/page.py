"""A self-contained HTML page: pictures inline, nothing fetched, for a phone and for the dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from lkgrag import __version__
from lkgrag.evaluation.metrics import HEADLINE, metric_label, metric_place
from lkgrag.evaluation.protocol import RANDOM, place, systems_of
from lkgrag.evaluation.summary import (
    coverage_sentence,
    formula,
    marginal_sentence,
    text_sentence,
    verdict,
)
from lkgrag.evaluation.tables import faithful_line, four_digits
from lkgrag.report.drawing import draw
from lkgrag.report.figures import COLD, custom_systems, figures
from lkgrag.report.labels import label
from lkgrag.report.run_data import read_run
from lkgrag.report.style import INK, PAPER, style
from lkgrag.serving.recommendation import Recommendation
from lkgrag.utils.files import atomic
from lkgrag.utils.layout import PAGE
from lkgrag.utils.progress import track
from lkgrag.utils.text import fit, shown_title, two_places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lkgrag.report.run_data import RunData

#: Folder of the pictures within a run's.
PICTURES = "report"
#: Dots per inch of the PNG files.
DPI = 160
#: Columns of a title, and of a path in words, on the page.
TITLE_WIDTH, WORDS_WIDTH = 120, 300
#: Pixels a point, and how far a picture may grow beyond its size.
PIXELS, GROWTH = 4 / 3, 1.5


def new_environment() -> Environment:
    """Templates with what pages share: escaping, and how figures and titles are written."""
    environment = Environment(
        loader=PackageLoader("lkgrag.report", "templates"),
        # A title may hold anything: everything is escaped, except what was drawn here.
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = four_digits
    environment.filters["signed"] = lambda v: (
        "–" if v is None else f"{v:+.4f}".replace("0.", ".", 1)
    )
    environment.filters["part"] = two_places
    environment.filters["salience"] = lambda v: two_places(v, "+")
    environment.filters["title"] = lambda text: fit(shown_title(str(text)), TITLE_WIDTH)
    environment.filters["words"] = lambda text: label(str(text), WORDS_WIDTH)
    environment.filters["heading"] = metric_label
    return environment


def svg(figure: Figure, name: str) -> Markup:
    """A figure as inline SVG, with ids that no other picture has and with the ink of the page."""
    buffer = io.StringIO()
    with style(name):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # The width of the page decides how wide a picture is, up to a width that is good to read.
    widest = round(72 * figure.get_figwidth() * PIXELS * GROWTH)
    size = re.compile(r'(<svg[^>]*?) (?:width|height)="[^"]*"')
    text = size.sub(r"\1", size.sub(r"\1", text, count=1), count=1)
    text = text.replace("<svg", f'<svg role="img" style="max-width: {widest}px"', 1)
    # Safe: matplotlib has escaped the text of the picture.
    return Markup(text.replace(INK, "currentColor").replace(PAPER, "var(--card)"))


def save_pictures(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.svg`` and ``name.png``, on white."""
    for kind in ("svg", "png"):
        options: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": DPI}
        with style(name), atomic(folder / f"{name}.{kind}") as tmp:
            figure.savefig(tmp, format=kind, facecolor="white", **options)


def write_report(folder: Path, metrics: dict[str, Any] | None = None) -> Path:
    """Write ``report.html`` and the pictures of a run's folder, from the folder alone.

    The page leaves out what the folder does not hold, such as learning curves without a language model.

    Args:
        folder: of a run.
        metrics: of the run, if ``metrics.json`` is not written yet.

    Returns:
        Path of the page.

    Raises:
        LkgragError: a file that the report needs is missing or broken, or one cannot be written.
    """
    run = read_run(folder, metrics)
    charts = {}
    for name, caption, figure in figures(run):
        save_pictures(figure, folder / PICTURES, name)
        charts[name] = {"caption": caption, "svg": svg(figure, name)}
    faithful = run.metrics.get("faithfulness")
    page = new_environment().get_template("run.html")
    text = page.render(
        run=run,
        version=__version__,
        tables=_tables(run),
        cold=_cold_tables(run),
        headline=metric_label(HEADLINE),
        beyond=_beyond_table(run),
        groups=_group_tables(run),
        grouped_by=run.metrics.get("user_groups"),
        paths=run.metrics.get("path_quality"),
        custom=custom_systems(run),
        metric_names=[metric_label(m) for m in _metrics(run)],
        pictures=charts,
        faithful=faithful_line(faithful) if faithful else "",
        formula=formula(run.metrics),
        verdict=verdict(run.metrics),
        marginal=_marginal_lines(run.metrics),
        coverage=coverage_sentence(run.metrics),
        users=_users(run.explained, folder / PICTURES),
    )
    with atomic(folder / PAGE) as tmp:
        tmp.write_text(text, encoding="utf-8")
    return folder / PAGE


def _marginal_lines(metrics: dict[str, Any]) -> list[str]:
    """What text and the language model add, each on test and on validation."""
    words = {"test": "Test", "val": "Validation"}
    lines = [
        (word, sentence(metrics, split))
        for sentence in (text_sentence, marginal_sentence)
        for split, word in words.items()
    ]
    return [f"{word}: {line}." for word, line in lines if line]


def recommendation_page(rankings: list[Recommendation]) -> str:
    """One page of rankings, as ``lkgrag.recommend format=html`` gives it."""
    page = new_environment().get_template("users.html")
    return page.render(users=_users(track(rankings, "draw", len(rankings))), version=__version__)


def _users(
    rankings: Iterable[Recommendation], pictures: Path | None = None
) -> list[dict[str, Any]]:
    """What the page shows of each ranking; the drawings are also saved below ``pictures``."""
    users = []
    colours: dict[str, str] = {}
    for number, ranking in enumerate(rankings, start=1):
        name = f"user-{number}"
        figure = draw(ranking, name, colours)
        if figure is not None and pictures is not None:
            save_pictures(figure, pictures, name)
        users.append(
            {
                "ranking": ranking,
                "has_target": any(item.item == ranking.target for item in ranking.items),
                "drawing": None if figure is None else svg(figure, name),
            }
        )
    return users


def _metrics(run: RunData) -> list[str]:
    """The metrics that the run has figures for, in the order of tables."""
    keys = {
        metric
        for splits in systems_of(run.metrics).values()
        for populations in splits.values()
        for values in populations.values()
        for metric in values
    }
    return sorted(keys, key=metric_place)


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
    """The headline metric of each system by group of events; the best of each column."""
    out = []
    groups_of = run.metrics.get("cold_start") or {}
    for kind, what in COLD.items():
        groups = groups_of.get(kind) or []
        if groups:
            systems = groups[0]["systems"]
            rows = {s: [g["systems"][s].get(HEADLINE) for g in groups] for s in systems}
            out.append({"by": what, "groups": groups, "rows": rows, "best": _best(rows)})
    return out


def _beyond_table(run: RunData) -> dict[str, Any] | None:
    """Figures beyond accuracy, a row a system; None if the run does not hold them."""
    figures = run.metrics.get("beyond_accuracy")
    if not figures:
        return None
    systems = figures["systems"]
    names = list(dict.fromkeys(name for values in systems.values() for name in values))
    # Older versions gave no intervals.
    intervals = figures.get("intervals") or {}
    rows = {
        system: {
            name.partition("@")[0]: (
                systems[system].get(name),
                intervals.get(system, {}).get(name),
            )
            for name in names
        }
        for system in sorted(systems, key=place)
    }
    return {**figures, "names": [name.partition("@")[0] for name in names], "rows": rows}


def _group_tables(run: RunData) -> list[dict[str, Any]]:
    """The metric of retriever and ranker by group of users, and the ranker's gap, for each way to group."""
    found = run.metrics.get("user_groups") or {}
    return [
        {"by": name, **part, "gap": part["gaps"].get("ranker")}
        for name, part in (found.get("by") or {}).items()
        if len(part["groups"]) > 1
    ]


def _best(rows: dict[str, list[float | None]]) -> list[float | None]:
    """The greatest of each column; None where all are alike, or where a random order has it, too."""
    columns = [{v for v in c if v is not None} for c in zip(*rows.values(), strict=True)]
    chance = rows.get(RANDOM, [None] * len(columns))
    best = [max(c) if len(c) > 1 else None for c in columns]
    return [None if value == random else value for value, random in zip(best, chance, strict=True)]
