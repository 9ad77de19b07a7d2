from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.rankers import Planted

from lkgrag.config import EvaluationConfig
from lkgrag.evaluation.score_cache import ScoreCache
from lkgrag.ranker.scoring import Predictions
from lkgrag.run.keys import StageKeys


@pytest.fixture(scope="module")
def data():
    return Planted(num_users=20)


@pytest.fixture(scope="module")
def model(data):
    return data.ranker()


class Scorer:
    """Other scores each time that it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return Predictions(
            terms=np.full((3, 2, 4), float(self.calls)),
            mask=np.ones((2, 4), bool),
            tokens=np.asarray([5, 6]),
            shares=np.full((2, 3), 0.25),
        )


def test_scores_of_the_same_key_are_read_with_the_seconds_they_took(tmp_path, data, model):
    score, cache = Scorer(), ScoreCache(tmp_path / "new", {"seed": 0})
    first, took = cache.load_or_score("val", model, data.queries, score)
    again, took_again = cache.load_or_score("val", model, data.queries, score)
    assert score.calls == 1
    assert took_again == took > 0
    for name, value in vars(first).items():
        assert np.array_equal(getattr(again, name), value)
        assert getattr(again, name).dtype == value.dtype


def test_scores_of_another_key_are_made_again(tmp_path, data, model):
    score = Scorer()
    one, other = (ScoreCache(tmp_path, {"seed": seed}) for seed in (0, 1))
    one.load_or_score("val", model, data.queries, score)
    scores, _ = other.load_or_score("val", model, data.queries, score)
    assert score.calls == 2
    assert scores.terms[0, 0, 0] == 2.0
    other.load_or_score("val", model, data.queries, score)
    assert score.calls == 2


@pytest.mark.parametrize("content", [b"", b"no safetensors"])
def test_a_broken_file_is_replaced(tmp_path, data, model, content):
    (tmp_path / "val.safetensors").write_bytes(content)
    score, cache = Scorer(), ScoreCache(tmp_path, {})
    cache.load_or_score("val", model, data.queries, score)
    cache.load_or_score("val", model, data.queries, score)
    assert score.calls == 1


def test_a_flipped_bit_is_found_and_the_scores_are_computed_again(tmp_path, data, model, caplog):
    score, cache = Scorer(), ScoreCache(tmp_path, {})
    cache.load_or_score("val", model, data.queries, score)
    path = tmp_path / "val.safetensors"
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    for number, place in enumerate(range(begin, len(whole), (len(whole) - begin) // 20)):
        content = bytearray(whole)
        content[place] ^= 4
        path.write_bytes(content)
        caplog.clear()
        cache.load_or_score("val", model, data.queries, score)
        # The key is in the file, too: another one is no damage.
        assert score.calls == number + 2
        assert "computed again" in caplog.text


def test_scores_depend_on_what_is_asked_and_learned_not_on_what_comes_after_them(data, tmp_path):
    ranker = data.ranker()
    asked = data.queries[:4]

    def key(queries=asked, by=ranker, seed=0, **evaluation):
        config = replace(data.config, seed=seed, evaluation=EvaluationConfig(**evaluation))
        return ScoreCache(tmp_path, StageKeys({}, config).scores()).key(by, queries)

    assert key() == key(faithfulness=0, bootstrap=10, explain=0, ks=[5], max_val_events=9)
    assert key() == key(max_events=4)
    others = [key(data.queries[:5]), key(data.queries[1:5]), key(batch_size=4), key(seed=1)]
    with torch.no_grad():
        next(p for p in ranker.scorer.parameters() if p.requires_grad).add_(1)
    others.append(key())
    assert len({key(by=data.ranker()), *others}) == len(others) + 1
