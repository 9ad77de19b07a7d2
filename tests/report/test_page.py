import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pandas as pd
import pytest

from lkgrag.evaluation.protocol import systems_of
from lkgrag.report import recommendation_page, write_report
from lkgrag.report.__main__ import main
from lkgrag.report.figures import cold, recall
from lkgrag.report.labels import label
from lkgrag.report.run_data import read_run
from lkgrag.report.style import COLOURS
from lkgrag.run.outputs import draw_report
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation

VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = [
    "<script>alert(1)</script>",
    "$x_1$ & \\frac{1}{2}",
    "שלום עולם",
    "x" * 10_000,
    "line\nbreak\x00\x1b[31m",
    "😀 🎬",
    "",
]


class Checker(HTMLParser):
    """Tags that open and close in order, and what the page asks for from elsewhere."""

    def __init__(self):
        super().__init__()
        self.stack, self.outside, self.scripts = [], [], 0

    def handle_starttag(self, tag, attrs):
        if tag == "script":
            self.scripts += 1
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not str(value).startswith(("#", "data:")):
                self.outside.append(value)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def check(page):
    checker = Checker()
    checker.feed(page)
    assert checker.stack == []
    assert checker.outside == []
    assert checker.scripts == 0
    assert "url(http" not in page
    assert "@import" not in page
    return checker


@pytest.fixture
def folder(small_run, tmp_path):
    root, _ = small_run
    shutil.copytree(root / "out", tmp_path / "out")
    return tmp_path / "out"


def hostile_rankings():
    out = []
    for title in HOSTILE:
        path = PathExplanation(
            words=f"shares maker {title} with {title}",
            salience=0.5,
            nodes=[["item", title], ["maker", title], ["item", title]],
            relations=["has_maker", "rev_has_maker"],
        )
        item = RankedItem(1, title, title, 0.1, 0.1, 0.0, 0.0, [path])
        out.append(Recommendation([item], [(title, title)], title, title))
    return out


def test_a_run_leaves_a_whole_page_and_its_pictures(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    check(page)
    names = {p.stem for p in (folder / "report").glob("*.svg")}
    assert {"recall", "ranker", "scorer", "lrurec", "salience", "tokens"} <= names
    assert any(name.startswith("user-") for name in names)
    assert page.count("<svg") == len(names)
    for name in names:
        ET.parse(folder / "report" / f"{name}.svg")
        assert (folder / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


TABLES = {
    ("test", "all"): "Test, all users",
    ("test", "retrieved"): "Test, users whose item was proposed",
    ("val", "all"): "Validation, all users",
    ("val", "retrieved"): "Validation, users whose item was proposed",
}


@pytest.mark.parametrize("place", TABLES)
def test_the_figures_of_the_page_are_those_of_the_metrics(folder, place):
    split, population = place
    page = (folder / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text())
    table = page.split(f"<h3>{TABLES[place]}</h3>")[1].split("</table>")[0]
    heads = [h.lower() for h in re.findall(r"<th>([^<]*)</th>", table)[1:]]
    for system in ("random", "popularity", "itemitem", "lrurec", "retriever", "lm", "ranker"):
        row = re.search(rf"<tr><td>{system}</td>(.*?)</tr>", table).group(1)
        shown = re.findall(r"<td[^>]*>([^<]*)</td>", row)
        figures = metrics[system][split][population]
        assert set(heads) == set(figures)
        assert shown == [f"{figures[h]:.4f}".removeprefix("0") for h in heads]


def test_the_differences_are_those_of_the_metrics(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = re.findall(r'<tr><td class="comparison">.*?</tr>', page)
    assert len(rows) == len(metrics["differences"]) > 0
    for row, found in zip(rows, metrics["differences"]):
        for key in ("mean", "low", "high"):
            assert f"{found[key]:+.4f}".replace("0.", ".", 1) in row


def test_the_page_is_made_again_from_the_folder_alone(folder):
    first = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()
    write_report(folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == first


def test_a_run_without_the_newer_tables_has_a_page_all_the_same(folder):
    # An older version wrote no sums either.
    for name in ("prompts.parquet", "salience.parquet", "done.json"):
        (folder / name).unlink()
    page = write_report(folder).read_text(encoding="utf-8")
    check(page)
    assert "This run holds no attention by kind of path" in page
    assert "This run holds no tokens by prompt" in page
    assert "<h3>Test, all users</h3>" in page


def test_cold_start_is_drawn_and_told(folder):
    page = write_report(folder).read_text(encoding="utf-8")
    found = json.loads((folder / "metrics.json").read_text())["cold_start"]
    assert (folder / "report" / "cold.png").stat().st_size > 1000
    for kind in ("history", "popularity"):
        for group in found[kind]:
            assert f"<th>{group['group']}<br>({group['events']})</th>" in page
    ranker = [g["systems"]["ranker"]["ndcg@10"] for g in found["history"]]
    cells = "".join(f"<td[^>]*>{v:.4f}</td>".replace("0.", r"\.") for v in ranker)
    assert re.search(f"<tr><td>ranker</td>{cells}</tr>", page)


BEYOND = {
    "split": "test",
    "k": 8,
    "lists": 1234,
    "category": "has_genre",
    "systems": {
        "ranker": {
            "coverage@8": 0.25,
            "popularity@8": 1234.56,
            "personalization@8": None,
            "diversity@8": 0.875,
        },
        "retriever": {
            "coverage@8": 0.5,
            "popularity@8": 30.0,
            "personalization@8": 0.75,
            "diversity@8": 1.0,
        },
    },
}


def test_figures_beyond_accuracy_are_shown_where_the_run_has_them(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    page = write_report(folder, metrics | {"beyond_accuracy": BEYOND}).read_text(encoding="utf-8")
    check(page)
    section = page.split("<h2>Beyond accuracy</h2>")[1].split("<h2>")[0]
    heads = re.findall(r"<th>([^<]*)</th>", section)
    assert heads == ["system", "coverage", "popularity", "personalization", "diversity"]
    rows = [re.findall(r"<td>([^<]*)</td>", r) for r in re.findall(r"<tr><td>.*?</tr>", section)]
    assert rows == [
        ["retriever", ".5000", "30.0", ".7500", "1.0000"],
        ["ranker", ".2500", "1,234.6", "–", ".8750"],
    ]
    assert "Of the first 8 candidates of 1,234 test events" in section
    assert "that differ in has_genre." in section


def test_intervals_groups_of_users_and_paths_are_shown(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    ends = {"retriever": {"coverage@8": [0.4, 0.6], "popularity@8": [20.0, 40.0]}, "ranker": {}}
    gap = {"best": "<F>", "worst": "M", "gap": 0.25, "low": -0.05, "high": 0.5, "p": 0.0125}
    gap |= {"deviation": 0.125, "deviation_low": None, "deviation_high": None}
    rows = [
        {"group": name, "users": 30, "events": 1234, "systems": {"ranker": value, "random": 0.1}}
        for name, value in (("<F>", 0.5), ("M", None))
    ]
    by = {"gender": {"groups": rows, "left_out": {"X": 3}, "gaps": {"ranker": gap}}}
    by["zip"] = {"groups": [], "left_out": {}, "gaps": {}}
    more = {
        "beyond_accuracy": BEYOND | {"intervals": ends, "distance": "attributes"},
        "user_groups": {"split": "test", "metric": "ndcg@10", "least": 20, "by": by},
        "path_quality": {
            "split": "test", "k": 10, "lists": 5, "paths": 45,
            "measures": {"lir": {"mean": 0.75, "low": 0.5, "high": None}},
        },
    }  # fmt: skip
    page = write_report(folder, metrics | more).read_text(encoding="utf-8")
    check(page)
    assert ".5000<br><small>.4000 to .6000</small>" in page
    assert "30.0<br><small>20.0 to 40.0</small>" in page
    assert "NDCG@10 by gender" in page
    assert "NDCG@10 by zip" not in page
    assert "&lt;F&gt; is ahead of M by .2500 (-.0500 to +.5000), p&nbsp;=&nbsp;.0125" in page
    assert "Left out, with fewer than 20 users: X (3)." in page
    assert "<td>lir</td><td>.7500</td><td>.5000 to –</td>" in page


@pytest.mark.parametrize("found", [None, {}])
def test_a_run_without_figures_beyond_accuracy_has_a_page(folder, found):
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("beyond_accuracy", None)
    if found is not None:
        metrics["beyond_accuracy"] = found
    page = write_report(folder, metrics).read_text(encoding="utf-8")
    check(page)
    assert "Beyond accuracy" not in page


def test_diversity_is_left_out_where_items_have_no_categories(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    figures = {"coverage@8": 0.5, "popularity@8": 30.0, "personalization@8": 0.75}
    alone = {**BEYOND, "category": None, "systems": {"ranker": figures}}
    page = write_report(folder, metrics | {"beyond_accuracy": alone}).read_text(encoding="utf-8")
    section = page.split("<h2>Beyond accuracy</h2>")[1].split("<h2>")[0]
    assert "diversity" not in section.lower()


def test_a_custom_metric_has_a_column_behind_the_others(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    for system in systems_of(metrics):
        for populations in metrics[system].values():
            for figures in populations.values():
                figures["novelty@5"] = 0.125
    page = write_report(folder, metrics).read_text(encoding="utf-8")
    heads = re.findall(r"<th>([^<]*)</th>", page.split("<h3>Test, all users</h3>")[1])
    assert heads[1:3] == ["MRR", "NDCG@5"]
    names = heads[: heads.index("novelty@5") + 1]
    assert names[-2].startswith("Recall@")


def test_a_system_has_its_colour_in_every_picture_of_every_run(folder):
    run = read_run(folder)
    fewer = read_run(folder)
    del fewer.metrics["ease"]
    for group in (
        *fewer.metrics["cold_start"]["history"],
        *fewer.metrics["cold_start"]["popularity"],
    ):
        del group["systems"]["ease"]
    seen = {}
    for figure in (make(r) for r in (run, fewer) for make in (recall, cold)):
        for axes in figure.axes:
            for line in axes.get_lines():
                if not line.get_label().startswith("_"):
                    seen.setdefault(line.get_label(), set()).add(line.get_color())
    assert {"ease", "retriever", "ranker"} <= set(seen)
    assert all(len(colours) == 1 for colours in seen.values())
    assert seen["ranker"] == {COLOURS[0]}


def test_a_run_without_events_curves_or_users_has_a_page(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    for system in ("random", "ranker"):
        for population in metrics[system]["test"].values():
            population.update(dict.fromkeys(population))
    nothing = {"split": "test", "history": [], "popularity": []}
    metrics.update(differences=[], faithfulness={}, tokens_per_prompt=0.0, cold_start=nothing)
    for name in ("ranks", "prompts", "salience"):
        table = pd.read_parquet(folder / f"{name}.parquet")
        table.iloc[:0].to_parquet(folder / f"{name}.parquet")
    (folder / "curve.json").write_text('{"ranker": [], "lrurec": []}')
    (folder / "explanations.json").write_text("[]")
    (folder / "done.json").unlink()
    page = write_report(folder, metrics).read_text(encoding="utf-8")
    check(page)
    assert "<svg" not in page
    assert "No user was explained in this run." in page
    assert "<td>–</td>" in page


def test_the_command_makes_the_page_again(folder, monkeypatch, capsys):
    (folder / "report.html").unlink()
    monkeypatch.setattr("sys.argv", ["lkgrag.report", f"run={folder}"])
    assert main() == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert (folder / "report.html").exists()


def test_the_command_refuses_what_is_no_finished_run(folder, monkeypatch, capsys):
    (folder / "metrics.json").unlink()
    monkeypatch.setattr("sys.argv", ["lkgrag.report", f"run={folder}"])
    assert main() == 2
    error = capsys.readouterr().err
    assert "not finished" in error
    assert "Traceback" not in error


def test_a_drawing_that_fails_is_a_warning(small_run, tmp_path, monkeypatch, caplog):
    def broken(folder, metrics):
        raise RuntimeError("no ink")

    monkeypatch.setattr("lkgrag.run.outputs.write_report", broken)
    draw_report(tmp_path, {})
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"python -m lkgrag.report run={tmp_path}" in record.getMessage()


def test_no_title_breaks_the_page():
    page = recommendation_page(hostile_rankings())
    check(page)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert "&lt;script&gt;" in page
    assert "x" * 301 not in page
    assert "(no title)" in page
    assert "שלום עולם" in page
    assert "$x_1$ &amp; \\frac{1}{2}" in page
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(drawing)


def test_ids_of_the_pictures_differ():
    page = recommendation_page(hostile_rankings())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_ranking_without_paths_has_no_drawing_and_says_so():
    found = Recommendation([RankedItem(1, "a", "A", 0.1, 0.1, 0.0, 0.0)], [])
    page = recommendation_page([found])
    check(page)
    assert "<svg" not in page
    assert "No path is shown for these items." in page
    assert "No history." in page


def test_no_figure_is_less_than_nothing_by_its_sign_alone():
    path = PathExplanation("next", -0.004, [["item", "B"], ["item", "A"]], ["followed_by"])
    page = recommendation_page(
        [Recommendation([RankedItem(1, "a", "A", -0.001, 0, 0, 0, [path])], [])]
    )
    assert "-0.00" not in page
    assert "(+0.00)" in page


def test_the_page_says_what_the_systems_and_the_parts_of_a_score_are(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    told = " ".join(re.findall(r"<p[^>]*>(.*?)</p>", page, flags=re.DOTALL))
    metrics = json.loads((folder / "metrics.json").read_text())
    for word in (*systems_of(metrics), "prior", "salience"):
        assert re.search(rf"\b{word}\b", told), word


def test_a_long_heading_does_not_make_its_column_wider_than_a_phone(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<h3>NDCG@10 by training interactions of the true item</h3>" in page
    rule = re.search(r"^h3 \{([^}]*)\}", page, flags=re.MULTILINE)
    assert "overflow-wrap: anywhere" in rule.group(1)


def test_names_are_cut_to_columns():
    assert label("short", 10) == "short"
    assert label("x" * 11, 10) == "x" * 9 + "…"
    assert label("日本語の題名", 7) == "日本語…"
    assert label("a\x1b\u202eb\n", 10) == "a b"


@pytest.mark.parametrize("lm", [0.0, 0.25])
def test_a_ranking_shows_the_parts_that_its_score_has(lm):
    path = PathExplanation("w", 1.0, [["item", "a"], ["item", "b"]], ["followed_by"], [0, 1])
    item = RankedItem(1, "7", "T", lm - 1.0, lm, 0.5, -1.5, [path])
    page = recommendation_page([Recommendation([item], [("3", "H")])])
    parts = ["lm", "scorer", "prior"] if lm else ["scorer", "prior"]
    assert re.findall(r"<th>(\w+)</th>", page) == ["item", "score", *parts]
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    assert len(re.findall("<td", rows[1])) == len(parts) + 2
    assert f'colspan="{len(parts) + 2}"' in rows[2]
