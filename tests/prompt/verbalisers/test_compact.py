from dataclasses import replace
from itertools import islice, product
from string import ascii_lowercase

import numpy as np
import pytest

from lkgrag.config import PromptConfig
from lkgrag.prompt.verbalisers.compact import MAX_WORD, Compact, distinct_words
from lkgrag.testing.llm import tiny_tokenizer
from lkgrag.testing.prompts import toy_paths

DATA, PATHS = toy_paths()
TOKENIZER = tiny_tokenizer()
FOLLOW = ("item", "followed_by", "item")
BEFORE = ("item", "rev_followed_by", "item")
GENRE = ("item", "has_genre", "genre")
OF_GENRE = ("genre", "rev_has_genre", "item")
LONG = ("item", "a_relation_of_a_very_long_name_that_no_tokenizer_knows", "item")


@pytest.fixture
def compact():
    made = Compact(TOKENIZER, DATA, PromptConfig())
    made.fit([PATHS])
    return made


def text(ids):
    return TOKENIZER.decode(ids)


def words_of(verbaliser, paths=PATHS):
    bundles, choice, grade = verbaliser.choose(paths, None, None)
    return bundles, choice.index, grade, verbaliser.word(paths, bundles, choice.index, grade)


def test_a_bundle_is_worded_by_its_metapath_and_its_grade(compact):
    bundles, index, grade, worded = words_of(compact)
    names = distinct_words(PATHS.metapaths)
    assert len(worded) == len(index) > 0
    for n, ids in zip(index, worded, strict=True):
        assert text(ids) == f" {names[bundles.metapath[n]]}{grade[n]}"


def test_short_metapaths_have_the_short_words():
    words = distinct_words([(FOLLOW, FOLLOW), (FOLLOW,), (GENRE, OF_GENRE)])
    assert words[1:] == ["next", "genre"]


def test_no_two_metapaths_have_the_same_words():
    edges = (FOLLOW, BEFORE, GENRE, OF_GENRE)
    metapaths = [m for length in (1, 2, 3) for m in product(edges, repeat=length)]
    words = distinct_words(metapaths)
    assert len(set(words)) == len(metapaths)


def test_equal_metapaths_are_told_apart_by_letters_since_a_number_reads_as_a_grade():
    words = distinct_words([(GENRE, OF_GENRE)] * 40)
    assert len(set(words)) == 40
    assert not any(char.isdigit() for word in words for char in word)
    # Behind the two wordings without one come the letters, then pairs of them.
    suffixes = [word.rpartition(" ")[2] for word in words[2:]]
    pairs = ("".join(pair) for pair in product(ascii_lowercase, repeat=2))
    assert suffixes == [*ascii_lowercase, *islice(pairs, 12)]


def test_words_do_not_depend_on_the_order_of_longer_metapaths():
    short, long = (FOLLOW,), (FOLLOW, FOLLOW)
    one, two = distinct_words([short, long]), distinct_words([long, short])
    assert one == two[::-1]


def test_the_longest_wording_is_cut(compact):
    paths = replace(PATHS, metapaths=[(LONG,)] * len(PATHS.metapaths))
    for ids in words_of(compact, paths)[-1]:
        # The grade stands behind the cut.
        assert len(ids) == MAX_WORD + 1
        assert text(ids)[-1].isdigit()


def test_other_metapaths_get_other_words(compact):
    before = words_of(compact)[-1]
    turned = replace(PATHS, metapaths=PATHS.metapaths[::-1])
    assert words_of(compact, turned)[-1] != before
    # Equal ones in another list are not new ones.
    assert words_of(compact, replace(PATHS, metapaths=list(PATHS.metapaths)))[-1] == before


def test_grades_of_other_metapaths_are_refused(compact):
    with pytest.raises(ValueError, match="call fit first"):
        compact.choose(replace(PATHS, metapaths=[*PATHS.metapaths, (LONG,)]), None, None)
    with pytest.raises(ValueError, match="call fit first"):
        Compact(TOKENIZER, DATA, PromptConfig()).choose(PATHS, None, None)


def test_tables_bring_the_grades_back(compact):
    other = Compact(TOKENIZER, DATA, PromptConfig())
    assert other.tables() == {}
    other.load_tables(compact.tables())
    bundles = compact.choose(PATHS, None, None)[0]
    assert np.array_equal(other.grades(bundles), compact.grades(bundles))
    assert len(set(compact.grades(bundles).tolist())) > 2
