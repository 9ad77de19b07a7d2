"""The search of titles: words, their beginnings, case, accents, ids."""

import pytest

from lkgrag.service.search import TitleIndex, fold
from lkgrag.serving.catalogue import Catalogue

TITLES = [
    "Amélie",
    "Star Wars",
    "The Star",
    "Starship Troopers",
    "Schindler's List",
    "Søren Ødegård",
    "千と千尋の神隠し",
    "STAR",
    "",
    "Hunchback of Notre Dame, The",
    "Straße nach Łódź",
    "<b>Bold</b>",
]
INDEX = TitleIndex(Catalogue([f"i{n}" for n in range(len(TITLES) - 1)] + ["Star"], TITLES))


def found(query, k=20):
    total, indices = INDEX.find(query, k)
    assert total >= len(indices)
    return [TITLES[n] for n in indices]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("AMELIE", ["Amélie"]),
        ("amé", ["Amélie"]),
        ("Ame\u0301lie", ["Amélie"]),
        ("wars star", ["Star Wars"]),
        ("schindlers", ["Schindler's List"]),
        ("list schindl", ["Schindler's List"]),
        ("soren odegard", ["Søren Ødegård"]),
        ("strasse lodz", ["Straße nach Łódź"]),
        ("千尋", ["千と千尋の神隠し"]),
        ("notre dame the hunchback", ["Hunchback of Notre Dame, The"]),
        ("b bold", ["<b>Bold</b>"]),
        ("i3", ["Starship Troopers"]),
        ("nothing of this", []),
        ("", []),
        ("  ,. ", []),
        ("\ud800", []),
    ],
)
def test_what_is_found(query, titles):
    assert found(query) == titles


def test_the_order():
    """The item of that id, the exact title, titles that begin so, those with the word."""
    titles = ["<b>Bold</b>", "STAR", "Star Wars", "Starship Troopers", "The Star"]
    assert found("star") == ["STAR", "Star Wars", "Starship Troopers", "The Star"]
    assert found("Star") == titles


def test_an_id_comes_first_and_once():
    assert found("Star")[:2] == ["<b>Bold</b>", "STAR"]
    assert found("i7")[0] == "STAR"
    assert len(found("i7")) == 1


def test_within_words_only_where_nothing_begins_so():
    assert found("tar") == ["STAR", "The Star", "Star Wars", "Starship Troopers"]
    assert "Amélie" not in found("star")


def test_k_limits_what_is_given_and_not_what_is_counted():
    total, indices = INDEX.find("star", 2)
    assert (total, len(indices)) == (4, 2)


def test_folded_texts_are_words_apart():
    assert fold("  L'Été — 1999!  ") == "lete 1999"
    assert fold("ﬁlm ①") == "film 1"
