import numpy as np
import pytest

from lkgrag.config import DataConfig, KGConfig, PathsConfig
from lkgrag.data import Interactions, Queries, make_split
from lkgrag.kg import (
    PathWords,
    base_name,
    build_kg,
    inverse,
    phrase,
    phrase_metapath,
    short,
    short_metapath,
)
from lkgrag.kg.audience import USERS, audience_of
from lkgrag.kg.base import Relation
from lkgrag.kg.naming import column_relation, singular, snake, triple_relation
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.resolver import registered
from lkgrag.paths import PathFinder
from lkgrag.testing.graph import toy_kg

NEXT, BACK, CO = (("item", r, "item") for r in ("followed_by", "rev_followed_by", "co_rated"))
DIRECTED, DIRECTOR = ("item", "directed_by", "director"), ("director", "rev_directed_by", "item")
ALIEN, ALIENS, BLADE_RUNNER, STAR_WARS = 0, 1, 2, 3


def test_inverse():
    assert inverse(NEXT) == BACK
    assert inverse(BACK) == NEXT
    assert inverse(CO) == CO
    assert inverse(DIRECTED) == DIRECTOR
    assert base_name("rev_directed_by") == "directed_by"


def test_phrases_of_edge_types():
    assert phrase(NEXT) == "followed by"
    assert phrase(BACK) == "follows"
    assert phrase(CO) == "chosen by the same users as"
    assert phrase(DIRECTED) == "directed by"
    assert phrase(DIRECTOR) == "director of"
    assert phrase(("item", "has_colour", "colour")) == "has the colour"
    assert phrase(("colour", "rev_has_colour", "item")) == "colour of"
    assert phrase(("item", "remake", "item")) == "has the remake"
    assert phrase(("item", "rev_remake", "item")) == "remake of"
    assert [short(e) for e in (NEXT, BACK, CO, DIRECTED)] == ["next", "before", "fans", "director"]
    for name, words in (
        ("accessory", ["accessory", "has accessory"]),
        ("goes_with", ["goes with", "reverse goes with"]),
    ):
        there = ("item", name, "item")
        assert [short(there), short(inverse(there))] == words
    assert phrase_metapath((DIRECTED, DIRECTOR)) == "has the same director as"
    assert short_metapath((DIRECTED, DIRECTOR)) == "director"
    assert phrase_metapath((BACK, NEXT)) == "follows, followed by"


@pytest.mark.parametrize(
    ("column", "name", "node"),
    [
        ("class", "has_genre", "genre"),
        ("release_year", "released_in", "year"),
        ("Studios", "has_studio", "studio"),
        ("has_colour", "has_colour", "colour"),
        ("user", "has_user_value", "user_value"),
    ],
)
def test_relation_of_a_column(column, name, node):
    relation = column_relation(column)
    assert (relation.name, relation.node) == (name, node)


@pytest.mark.parametrize(
    ("relation", "item_is_tail", "name", "node"),
    [
        ("film.film.directed_by", False, "directed_by", "director"),
        ("film.director.film", True, "directed_by", "director"),
        ("music.recording.producers", False, "produced_by", "producer"),
        ("music.composer.works", True, "has_composer", "composer"),
        ("http://x.org/ontology#composedBy", False, "composed_by", "composed_by"),
        ("acted_in", True, "acted_in_by", "acted_in_by"),
        ("HAS_STUDIO", False, "has_studio", "studio"),
        ("执导", False, "has_执导", "执导"),
        ("режиссёр", True, "режиссёр_by", "режиссёр_by"),
        ("///", False, "has_value_2f_2f_2f", "value_2f_2f_2f"),
    ],
)
def test_relation_of_triples(relation, item_is_tail, name, node):
    found = triple_relation(relation, item_is_tail)
    assert (found.name, found.node) == (name, node)


def test_singular_and_snake():
    words = ["genres", "categories", "boxes", "class", "status", "series", "film_studios", "gas"]
    expected = ["genre", "category", "box", "class", "status", "series", "film_studio", "gas"]
    words += ["sizes", "film_prizes", "waltzes", "movies"]
    expected += ["size", "film_prize", "waltz", "movie"]
    assert [singular(w) for w in words] == expected
    names = {"releaseYear": "release_year", "Release Year": "release_year", "a--b": "a_b"}
    names |= {"Режиссёр": "режиссёр", "की": "की", "主演": "主演", "?": "value_3f", "": "value"}
    assert {w: snake(w) for w in names} == names


def test_sentences():
    data = toy_kg()
    words = PathWords(data)
    count = int(data[NEXT]["count"][(data[NEXT].edge_index.T == 0).nonzero()[0, 0]])
    assert count
    assert (
        words.sentence((NEXT,), [STAR_WARS, ALIEN]) == "seen next by 3 viewers of Star Wars (1977)"
    )
    assert (
        words.sentence((BACK,), [ALIEN, STAR_WARS, -1])
        == "seen shortly before Alien (1979) by 3 viewers"
    )
    assert words.sentence((CO,), [ALIEN, STAR_WARS]) == "also seen by 3 viewers of Alien (1979)"
    shared = words.sentence((DIRECTED, DIRECTOR), [ALIEN, 6, BLADE_RUNNER])
    assert shared == "shares director Ridley Scott with Alien (1979)"
    sequel = ("item", "sequel", "item")
    assert words.sentence((sequel,), [ALIEN, ALIENS]) == "sequel of Alien (1979)"
    long = words.sentence((NEXT, DIRECTED, DIRECTOR), [STAR_WARS, ALIEN, 6, BLADE_RUNNER])
    assert long == (
        "shares director Ridley Scott with Alien (1979), "
        "which was seen next by 3 viewers of Star Wars (1977)"
    )


def test_identifiers_are_not_shown():
    data = toy_kg()
    data["director"].named = False
    words = PathWords(data)
    sentence = words.sentence((DIRECTED, DIRECTOR), [ALIEN, 6, BLADE_RUNNER])
    assert sentence == "has the same director as Alien (1979)"


def test_an_edge_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no edge"):
        PathWords(toy_kg()).sentence((NEXT,), [ALIEN, ALIEN])


def test_a_source_that_is_registered_later_has_its_words():
    class Later(CoRated):
        relation = Relation("sequel_to", "item", "comes after", "comes before")

        def sentence(self, audience, count, other, *, backward):
            return f"told after {other}"

    data = toy_kg()
    sequel = ("item", "sequel_to", "item")
    data[sequel].edge_index = data[NEXT].edge_index
    words = PathWords(data)
    before = words.sentence((sequel,), [ALIEN, ALIENS])
    with registered(Later):
        assert words.sentence((sequel,), [ALIEN, ALIENS]) == "told after Alien (1979)" != before
    assert words.sentence((sequel,), [ALIEN, ALIENS]) == before


def test_audience():
    assert audience_of([NEXT]) == USERS
    assert audience_of([DIRECTED]).many == "viewers"
    assert audience_of([("item", "has_brand", "brand")]).count(1) == "1 buyer"
    neutral = PathWords(toy_kg(), USERS).sentence((NEXT,), [STAR_WARS, ALIEN])
    assert neutral == "chosen next by 3 users of Star Wars (1977)"


def test_without_ratings_nothing_is_said_of_any():
    rows = [(u, i) for u in range(4) for i in range(4)]
    items = {"item": list(range(4)), "brand": ["X", "X", "Y", "Y"]}
    loose = DataConfig(min_user=1, min_item=1)
    x = Interactions.from_frames(
        {"user": [u for u, _ in rows], "item": [i for _, i in rows]}, items, config=loose
    )
    data = build_kg(x, make_split(x, loose).train_end, KGConfig(behaviour_min=1))
    split = make_split(x, loose)
    finder = PathFinder(data, PathsConfig())
    candidates = np.tile(np.arange(4), (len(split.test), 1))
    scores = np.zeros(candidates.shape, np.float32)
    paths = finder(Queries.from_events(x, split.test, candidates, scores, 4))
    said = PathWords(data).batch(paths)
    assert any("bought by 4 buyers of" in text for text in said), said
    assert not any("rated" in text or "star" in text for text in said)
