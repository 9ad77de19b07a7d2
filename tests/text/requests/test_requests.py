"""The model of requests: words, kinds, meaning, and synthetic requests."""

import numpy as np
import pandas as pd
import pytest

from lkgrag.data.assets.fetching import cache_root
from lkgrag.errors import LkgragError
from lkgrag.text import EncoderChoice, item_texts, load_encoder
from lkgrag.text.requests import (
    ItemKinds,
    RequestModel,
    RequestWords,
    synthetic_requests,
)
from lkgrag.text.requests.kinds import kind_attribute
from lkgrag.text.requests.words import words_of

SCENTS, SOAPS = 6, 8


def shop():
    """Six perfumes and eight soaps; every item has its own brand."""
    titles = [f"Rose scent no {n}" for n in range(SCENTS)] + [
        f"Olive bar {n}" for n in range(SOAPS)
    ]
    kinds = [["Perfume"]] * SCENTS + [["Soap", "Bath"]] * SOAPS
    brands = [[f"Maker {n}"] for n in range(SCENTS + SOAPS)]
    return pd.DataFrame({"title": titles, "brand": brands, "category": kinds})


def two_directions():
    """Perfumes lie along the first axis and soaps along the second, with some spread."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.02, (SCENTS + SOAPS, 4)).astype(np.float32)
    x[:SCENTS, 0] += 1
    x[SCENTS:, 1] += 1
    return x


def test_words_are_of_any_script_and_count_once():
    assert words_of("Eau eau DE Parfüm, 香水 50ml\n</s>") == [
        "eau",
        "de",
        "parfüm",
        "香水",
        "50ml",
        "s",
    ]
    assert words_of("!?") == []


def test_the_share_of_a_request_weighs_rare_words_more():
    words = RequestWords.of(["red rose", "red tulip", "red", ""])
    both, one, other, none = words.share("red rose").tolist()
    assert both == 1.0
    assert none == 0.0
    assert 0 < one == other < 0.5
    # A word that no item has counts as the rarest: half of the request is found at most.
    assert words.share("rose zzz")[0] < 0.5
    assert not words.share("zzz").any()
    assert not words.share("").any()


def test_function_words_count_only_alone():
    words = RequestWords.of(["Close Shave, A", "Airplane! comedy", "It", "Of Mice, drama"])
    for request, share in {
        "a comedy": [0, 1, 0, 0],
        "something like a comedy for me, please": [0, 1, 0, 0],
        "it": [0, 0, 1, 0],
        "a": [1, 0, 0, 0],
        # No item has what is asked for: an article is no answer.
        "a thriller": [0, 0, 0, 0],
    }.items():
        np.testing.assert_allclose(words.share(request), share, atol=1e-6, err_msg=request)
    assert words.matched("a comedy of errors", 3) == []
    assert words.matched("a comedy of errors", 1) == ["comedy"]


def test_the_matched_words_are_those_of_the_request_and_the_item():
    words = RequestWords.of(["red rose", "red tulip", "red", "rose water"])
    assert words.matched("a ROSE that is red", 0) == ["rose", "red"]
    assert words.matched("a ROSE that is red", 1) == ["red"]
    assert words.matched("blue", 0) == []
    # "red" is in three of four items.
    assert words.matched("red rose", 0, telling=0.9) == ["rose"]


def test_kinds_are_the_values_of_the_attribute_with_the_fewest():
    items = shop()
    assert kind_attribute(items) == "category"
    kinds = ItemKinds.of(items)
    assert kinds.names == ["Bath", "Perfume", "Soap"]
    near = np.zeros(len(items), np.float32)
    near[0] = 1.0
    # One perfume of six is near, so each perfume is near by a sixth.
    np.testing.assert_allclose(kinds.spread(near)[:SCENTS], 1 / SCENTS, rtol=1e-6)
    assert not kinds.spread(near)[SCENTS:].any()
    assert kinds.near(near, 3, 0.2) == "Perfume"
    assert kinds.near(near, SCENTS, 0.2) is None


def test_an_item_without_a_kind_stands_for_itself():
    items = shop()
    items.at[0, "category"] = []
    items.at[1, "category"] = ["Rare"]
    kinds = ItemKinds.of(items)
    near = np.zeros(len(items), np.float32)
    near[:2] = 1.0
    spread = kinds.spread(near)
    assert spread[:2].tolist() == [1.0, 1.0]
    assert not spread[2:].any()
    assert kinds.near(near, 0, 0.2) == ""
    # A catalogue without attributes works likewise.
    plain = ItemKinds.of(items[["title"]])
    assert plain.spread(near).tolist() == near.tolist()


def test_an_item_that_has_all_words_comes_first():
    model = RequestModel.of(shop())
    total = model.score("olive bar 3").total
    assert int(total.argmax()) == SCENTS + 3
    # Order and letters do not matter.
    np.testing.assert_array_equal(total, model.score("3 BAR Olive").total)


def test_a_category_that_the_title_lacks_is_found():
    items = shop()
    total = RequestModel.of(items).score("bath").total
    assert total[SCENTS:].min() > total[:SCENTS].max()


def test_meaning_finds_what_words_do_not():
    model = RequestModel.of(shop(), two_directions())
    towards = np.asarray([0.9, 0.1, 0, 0], np.float32)
    scores = model.score("something fragrant", towards)
    assert scores.is_known
    assert scores.total[:SCENTS].min() > scores.total[SCENTS:].max()
    # All perfumes are of one kind, so none stands out by its own vector.
    assert np.ptp(scores.total[:SCENTS]) < 1e-5
    # Without an encoder nothing is known of these words.
    assert not RequestModel.of(shop()).score("something fragrant").is_known


def test_near_vectors_give_near_scores():
    model = RequestModel.of(shop(), two_directions())
    one, other = np.asarray([[0.9, 0.1, 0, 0], [0.88, 0.12, 0.01, 0]], np.float32)
    apart = np.asarray([0.1, 0.9, 0, 0], np.float32)
    scores = [model.score("x", v).total for v in (one, other, apart)]
    assert np.abs(scores[0] - scores[1]).max() < 0.2 * np.abs(scores[0] - scores[2]).max()


def test_the_encoders_scale_does_not_matter():
    vectors, towards = two_directions(), np.asarray([0.9, 0.1, 0, 0], np.float32)
    one = RequestModel.of(shop(), vectors).score("x", towards).total
    other = RequestModel.of(shop(), vectors * 7).score("x", towards * 3).total
    np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("with_vectors", [True, False])
def test_a_saved_model_gives_the_same_scores(tmp_path, with_vectors):
    vectors = two_directions() if with_vectors else None
    model = RequestModel.of(shop(), vectors)
    model.save(tmp_path)
    again = RequestModel.load(tmp_path, vectors)
    towards = np.ones(4, np.float32) if with_vectors else None
    for text in ("olive", "rose soap", "zzz"):
        one, other = model.score(text, towards), again.score(text, towards)
        np.testing.assert_array_equal(one.total, other.total)
        np.testing.assert_array_equal(one.similarity, other.similarity)
    assert again.weights == model.weights


def test_a_broken_model_is_refused(tmp_path):
    RequestModel.of(shop()).save(tmp_path)
    (tmp_path / "requests.json").write_text('{"terms": []}')
    with pytest.raises(LkgragError, match=r"no model of requests .* train again"):
        RequestModel.load(tmp_path)


def test_items_whose_texts_do_not_differ_have_no_requests():
    assert RequestModel.is_possible(shop())
    assert not RequestModel.is_possible(pd.DataFrame({"title": ["Same", "Same", ""]}))


def test_synthetic_requests_are_of_their_items():
    items, chosen = shop(), np.arange(SCENTS + SOAPS).repeat(40)
    made = synthetic_requests(items, chosen, seed=0)
    assert made == synthetic_requests(items, chosen, seed=0)
    assert made != synthetic_requests(items, chosen, seed=1)
    assert {r.kind for r in made} == {"value", "title", "others"}
    for request in made:
        item = int(chosen[request.event])
        words = set(words_of(request.text))
        title = set(words_of(items["title"][item]))
        if request.kind == "value":
            assert request.text in items["brand"][item] + items["category"][item]
        elif request.kind == "title":
            assert words <= title
        else:
            # Typical of the kind, and without its name.
            assert words <= ({"rose", "scent", "no"} if item < SCENTS else {"olive", "bar"})


def test_an_item_without_text_has_no_request():
    items = pd.DataFrame({"title": ["", "A b"], "brand": [[], []]})
    made = synthetic_requests(items, np.asarray([0, 1, 0, 1]), seed=0)
    assert [r.event for r in made] == [1, 3]


@pytest.mark.skipif(
    not (cache_root() / "models" / "minilm").is_dir(), reason="MiniLM is not in the cache"
)
def test_two_requests_for_the_same_in_other_words_are_near():
    encoder = load_encoder(EncoderChoice("minilm", 0))
    items = shop()
    model = RequestModel.of(items, encoder.encode(item_texts(items)))
    texts = ["a fragrance for the evening", "something that smells nice", "soap to wash hands"]
    one, same, other = (
        model.score(text, vector).total
        for text, vector in zip(texts, encoder.encode(texts), strict=True)
    )
    assert one.argmax() < SCENTS
    assert same.argmax() < SCENTS
    assert other.argmax() >= SCENTS
    assert np.corrcoef(one, same)[0, 1] > 0.9 > 0 > np.corrcoef(one, other)[0, 1]
