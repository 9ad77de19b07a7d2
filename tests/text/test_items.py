"""The text of each item."""

import pandas as pd

from lkgrag.text import item_texts
from lkgrag.text.items import LONGEST


def texts(**columns):
    return item_texts(pd.DataFrame(columns))


def test_the_title_comes_first_and_then_the_rarest_values():
    made = texts(
        title=["Soap", "Gel", "Oil"],
        brand=[["Dove"], [], ["Dove"]],
        category=[["Beauty", "Bath", "Soaps"], ["Beauty", "Hair"], ["Beauty", "Bath"]],
    )
    assert made == [
        "Soap | Dove | Soaps | Bath",
        "Gel | Hair | Beauty",
        "Oil | Dove | Bath | Beauty",
    ]


def test_a_value_twice_counts_and_stands_once():
    assert texts(title=["A", "B"], tag=[["x", "x", "y"], ["y"]]) == ["A | x | y", "B | y"]


def test_an_item_without_title_and_values_has_no_text():
    assert texts(title=[None, float("nan"), "  "], tag=[[], ["x"], []]) == ["", "x", ""]


def test_a_text_is_one_line_and_not_endless():
    (made,) = texts(title=["a\nb\t c " + "d" * 50_000])
    assert made.startswith("a b c ddd")
    assert len(made) <= LONGEST
