from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from lkgrag.report.heatmap import Salience, draw_salience, salience_of
from lkgrag.report.style import INK


def test_names_that_do_not_tell_are_put_in_words():
    words = {
        "like": ["has a title like that of"],
        "next": ["followed by"],
        "tag": ["has the same tag as"],
        "also bought": ["has buyers who also bought", "also bought by buyers of"],
        "sequel of": ["reached by 'sequel of' from", "sequel of"],
    }
    rows = [(name, text) for name, texts in words.items() for text in texts]
    salience = pd.DataFrame(rows, columns=["metapath", "words"]).assign(
        split="test", prompt=0, share=1 / len(rows)
    )
    prompts = pd.DataFrame({"user": ["a"], "split": ["test"], "history": [3], "tokens": [0]})
    found = salience_of(SimpleNamespace(salience=salience, prompts=prompts))
    assert found.words == {
        "also bought": "also bought by buyers of or has buyers who also bought",
        "like": "has a title like that of",
        "next": "followed by",
    }


def luminance(colour):
    linear = [v / 12.92 if v <= 0.04 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("page", "ink"), [("#ffffff", INK), ("#1d2125", "#e8ebee")])
def test_every_figure_can_be_read(page, ink):
    shares = np.linspace(0, 1, 30)[None]
    (axes,) = draw_salience(Salience(["x"] * 30, {}, ["all"], [1], shares)).axes
    for cell, text in zip(axes.patches, axes.texts, strict=True):
        written = ink if text.get_color() == INK else text.get_color()
        blend = [
            cell.get_alpha() * a + (1 - cell.get_alpha()) * b
            for a, b in zip(cell.get_facecolor()[:3], to_rgb(page), strict=True)
        ]
        low, high = sorted((luminance(blend), luminance(written)))
        assert (high + 0.05) / (low + 0.05) > 4.5
