import json
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pandas as pd
import pytest

from lkgrag.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.report import recommendation_page, write_report
from lkgrag.report.gather import groups

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
    assert {"learning", "recall", "salience", "tokens"} <= names
    for name in names:
        ET.parse(folder / "report" / f"{name}.svg")
        assert (folder / "report" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_figures_of_the_page_are_those_of_the_metrics(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text())
    for system in ("retriever", "lm", "scorer", "ranker"):
        row = re.search(rf"<tr><td>{system}</td>(.*?)</tr>", page).group(1)
        shown = re.findall(r"<td[^>]*>([^<]*)</td>", row)
        expected = f"{metrics[system]['test']['all']['ndcg@10']:.4f}".lstrip("0")
        assert expected in shown


def test_the_page_is_made_again_from_the_folder_alone(folder):
    first = (folder / "report.html").read_text(encoding="utf-8")
    (folder / "report.html").unlink()
    write_report(folder)
    assert (folder / "report.html").read_text(encoding="utf-8") == first


def test_a_run_without_the_newer_tables_has_a_page_all_the_same(folder):
    for name in ("prompts.parquet", "salience.parquet"):
        (folder / name).unlink()
    page = write_report(folder).read_text(encoding="utf-8")
    check(page)
    assert page.count("holds no data for this picture") == 2


def test_no_title_breaks_the_page():
    page = recommendation_page(hostile_rankings())
    check(page)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert "&lt;script&gt;" in page
    assert "x" * 200 not in page
    for drawing in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(drawing)


def test_ids_of_the_pictures_differ():
    page = recommendation_page(hostile_rankings())
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_groups_cover_all_histories_and_skip_attributes_with_many_values():
    prompts = pd.DataFrame(
        {
            "history": [1, 2, 3, 4, 5, 20],
            "user_gender": ["F", "M", "F", "M", "F", None],
        }
    )
    found = groups(prompts)
    lengths = [c for c in found.columns if c.startswith("history")]
    assert found[lengths].sum(axis=1).tolist() == [1] * 6
    assert found["gender F"].tolist() == [True, False, True, False, True, False]
    many = pd.DataFrame({"history": range(1, 21), "user_zip": [str(n) for n in range(20)]})
    assert not any("zip" in c for c in groups(many).columns)
