import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from lkgrag.errors import DataError
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.notebook import html_of
from lkgrag.serving.ranked import NO_REASON
from lkgrag.serving.recommendation import (
    PathExplanation,
    RankedItem,
    Recommendation,
    Recommendations,
)


def shown(title, words="seen next by 3 viewers of it"):
    path = PathExplanation(words, 1.5, [["item", "a"], ["item", "b"]], ["followed_by"])
    item = RankedItem(1, "7", title, -1.25, 0.5, 0.25, -2.0, [path])
    found = Recommendation([item], [("3", title)], "u", "7")
    file = io.StringIO()
    found.show(Console(file=file, width=80, highlight=False))
    return file.getvalue()


def test_no_line_is_wider_than_80_columns():
    for title in ("short", "x" * 500, "日本語の題名" * 20, "word " * 60, "[bold]not markup[/]", ""):
        text = shown(title, words=title or "w")
        assert all(cell_len(line) <= 80 for line in text.splitlines()), title


def test_the_scores_stand_in_their_columns_whatever_the_title():
    columns = set()
    for title in ("short", "日本語", "[red]x[/red]", "x" * 100):
        line = next(row for row in shown(title).splitlines() if "-1.25" in row)
        columns.add(cell_len(line[: line.index("-1.25")]))
    assert len(columns) == 1


def test_a_part_that_no_item_has_has_no_column():
    items = [RankedItem(n, str(n), "T", 0.5, 0.0, (n - 1) * 0.5, -1.5, []) for n in (1, 2)]
    found = Recommendation(items, [("3", "H")])
    assert found.parts == ("scorer", "prior")
    file = io.StringIO()
    found.show(Console(file=file, width=80, highlight=False))
    head, first, second = file.getvalue().splitlines()[-3:]
    assert head.split() == ["title", "score", "scorer", "prior"]
    assert first.split()[-3:] == ["0.50", "0.00", "-1.50"]
    assert second.split()[-3:] == ["0.50", "0.50", "-1.50"]
    assert Recommendation([], []).parts == ()


def test_paths_that_decide_nothing_are_told():
    path = PathExplanation("seen next by 3 viewers of it", 1.5, [], [])

    def ranking(*scorer, paths=(path,)):
        items = [
            RankedItem(n, str(n), "T", -1.0, 0.0, part, -2.0, list(paths))
            for n, part in enumerate(scorer, start=1)
        ]
        return Recommendation(items, [("3", "H")])

    told = ranking(0.0, 0.0)
    assert not told.paths_decide
    assert NO_REASON in " ".join(str(told).split())
    assert NO_REASON in html_of([told])
    # With a weight, without paths, and of one item whose part is the list's mean, there is nothing to tell.
    for other in (ranking(0.5, 0.0), ranking(0.0, 0.0, paths=()), ranking(0.0)):
        assert other.note == ""
        assert NO_REASON not in " ".join(str(other).split())


def test_printing_shows_the_ranking():
    items = [RankedItem(1, "7", "A title [bold]", -1.25, 0.5, 0.25, -2.0, [])]
    found = Recommendation(items, [("3", "H")], "u", "7")
    text = str(found)
    assert text.splitlines()[0] == "user u"
    assert "A title [bold]" in text
    assert "\x1b" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    assert str(Recommendations([found, found])).count("A title") == 2
    assert str(Recommendations([])) == ""


def test_a_long_name_does_not_hide_the_rest_of_a_path():
    long = "word " * 100 + "end"
    path = PathExplanation(
        f"shares maker {long} with Heat", 0.5, [["item", "Heat"], ["maker", long]], []
    )
    assert path.shown() == f"shares maker {'word ' * 15}word… with Heat"
    assert path.words.endswith("end with Heat")


def test_nothing_in_a_title_reaches_the_terminal_as_a_command():
    text = shown("bad\x1b[31m\x07\r\n  9  fake  item", words="a\x1b]0;title\x07b")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert not any(line.strip().startswith("9") for line in text.splitlines())


def test_items_are_asked_for_by_id_or_title_without_spaces_at_the_ends():
    catalogue = Catalogue(["1", "2", "3"], [" Alien ", "Heat", "Alien"])
    assert catalogue.index([" Alien ", "Alien", "Heat ", 3], "history").tolist() == [0, 0, 1, 2]
    with pytest.raises(DataError, match=r"history: no item 'Aliens'.*'Alien'"):
        catalogue.index(["Aliens"], "history")


def test_a_title_of_several_items_is_a_warning_that_names_them(caplog):
    catalogue = Catalogue(["07", "8", "9"], ["Alien", "Heat", "Alien"])
    assert catalogue.index(["Heat", "9"], "history").tolist() == [1, 2]
    assert not caplog.records
    assert catalogue.index(["Alien"], "candidates").tolist() == [0]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "candidates: 2 items have the title 'Alien', of ids 07, 9" in record.getMessage()


def test_an_id_without_its_zeros_is_told_the_one_with_them():
    catalogue = Catalogue(["007", "8"], ["Alien", "7."])
    with pytest.raises(DataError, match=r"no item '7'.*Did you mean '007'"):
        catalogue.index([7], "history")


def test_json_has_the_keys_that_are_promised():
    path = PathExplanation("w", 1.0, [["item", "a"], ["item", "b"]], ["followed_by"])
    found = Recommendation([RankedItem(1, "7", "T", 1.0, 2.0, 3.0, 4.0, [path])], [("3", "H")])
    value = found.to_dict()
    assert list(value) == ["format", "user", "target", "request", "history", "items"]
    assert value["format"] == 1
    assert list(value["history"][0]) == ["item", "title"]
    keys = ["rank", "item", "title", "score", "lm", "scorer", "prior", "paths"]
    keys += ["request", "asked", "moved", "alike"]
    assert list(value["items"][0]) == keys
    assert list(value["items"][0]["paths"][0]) == [
        "words",
        "salience",
        "nodes",
        "relations",
        "index",
    ]
    assert Recommendation.from_dict(value) == found
