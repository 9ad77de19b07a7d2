from types import SimpleNamespace

import pandas as pd

from lkgrag.report.heatmap import salience_of


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
