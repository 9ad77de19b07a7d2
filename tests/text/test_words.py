"""TF-IDF rows by a stored vocabulary."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from lkgrag.text import Words

TEXTS = [
    "Red soap | Dove",
    "red gel | Dove",
    "Blue soap | Nivea",
    "Крем для рук",
    "крем для лица",
    "",
]


def test_rows_are_those_of_the_library():
    words = Words.of(TEXTS)
    library = TfidfVectorizer(binary=True, ngram_range=(1, 2), min_df=2, token_pattern=r"(?u)\w+")
    np.testing.assert_allclose(
        words.rows(TEXTS).toarray(), library.fit_transform(TEXTS).toarray(), rtol=1e-5
    )
    assert {"red", "soap", "dove", "крем", "крем для"} <= set(words.terms)
    assert "nivea" not in words.terms


def test_unknown_texts_have_empty_rows():
    rows = Words.of(TEXTS).rows(["", "unheard of", "SOAP"])
    assert rows.getnnz(1).tolist() == [0, 0, 1]
    assert rows.dtype == np.float32


def test_no_word_in_common_gives_no_vocabulary():
    for texts in (["a", "b"], ["", ""], []):
        words = Words.of(texts)
        assert len(words) == 0
        assert words.rows(["a", "b", "c"]).shape == (3, 0)
