"""What notebooks show of rankings."""

from html.parser import HTMLParser

import pytest

from lkgrag.serving.recommendation import (
    PathExplanation,
    RankedItem,
    Recommendation,
    Recommendations,
)

HOSTILE = "<script>alert(1)</script><img src=x onerror=y>\"'&\x1b[31m\n\u202e" + "z" * 500
VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """Counts what a page is made of, and checks that its tags close."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.text = [], [], set(), ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def ranking(title="Heat", number=5, **more):
    paths = [PathExplanation(f"seen after {title}", s, [["item", title]], []) for s in (2.0, -1.0)]
    items = [
        RankedItem(n, str(n), title, 0.5, 0.0, 0.25, 0.25, paths) for n in range(1, number + 1)
    ]
    return Recommendation(items, [("3", title)] * 7, **more)


def test_a_hostile_title_is_only_text():
    page = Page(ranking(HOSTILE, user=HOSTILE, request=HOSTILE)._repr_html_())
    assert not {"script", "img"} & set(page.tags)
    assert page.attributes <= {"style", "title", "open"}
    assert "<script>alert(1)</script><img src=x onerror=y>" in page.text
    assert not set(page.text) & set("\x1b\u202e")
    Page(ranking("a\ud800b")._repr_html_()).text.encode()


def test_it_stands_alone_and_keeps_the_colours_of_the_notebook():
    html = ranking(user="u")._repr_html_()
    assert not any(word in html for word in ("http", "<style", "<script", "url(", "@import"))
    # Neither black nor white: text and ground are those of the page.
    assert "color:inherit" in html
    assert not any(word in html for word in ("#000", "#fff", "black", "white"))


def test_rows_paths_and_parts():
    page = Page(ranking(user="u7", target="2", request="noir")._repr_html_())
    assert "user u7" in page.text
    assert "request: noir" in page.text
    assert "history (7): ... Heat > Heat" in page.text
    assert page.text.count("seen after Heat") == 10
    assert page.tags.count("tr") == 6
    assert page.tags.count("details") == 5
    assert ranking()._repr_html_().count("<details open") == 3
    for name, there in {"scorer": True, "prior": True, "lm": False}.items():
        assert (name in page.text) is there
    assert "Heat *" in page.text
    assert "* chosen in truth" in page.text
    assert "not in this list" in Page(ranking(target="99")._repr_html_()).text


@pytest.mark.parametrize("salience", [float("nan"), float("inf"), -1e9])
def test_odd_numbers_are_shown(salience):
    path = PathExplanation("w", salience, [["item", "a"]], [])
    Page(Recommendation([RankedItem(1, "1", "", salience, 0, 0, 0, [path])], [])._repr_html_())


def test_few_of_many_rankings_are_shown():
    page = Page(Recommendations([ranking(user=f"u{n}") for n in range(1200)])._repr_html_())
    assert page.tags.count("table") == 10
    assert "and 1,190 more rankings" in page.text
    assert Recommendations([])._repr_html_() == ""


def test_show_prints_to_stdout(capsys):
    ranking(user="u1").show()
    alone = capsys.readouterr().out
    assert "user u1" in alone
    Recommendations([ranking(user="u1"), ranking(user="u2")]).show(explained=0)
    both = capsys.readouterr().out
    assert "user u2" in both
    assert "seen after" not in both
