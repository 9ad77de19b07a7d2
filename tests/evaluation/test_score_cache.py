from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.rankers import Planted

from lkgrag.config import EvaluationConfig
from lkgrag.evaluation.score_cache import kept, scores_key
from lkgrag.ranker.scoring import Predictions


def predictions(value):
    return Predictions(
        terms=np.full((3, 2, 4), value),
        mask=np.ones((2, 4), bool),
        tokens=np.asarray([5, 6]),
        shares=np.full((2, 3), 0.25),
    )


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return predictions(float(self.calls))


def test_scores_of_the_same_key_are_read_with_the_seconds_they_took(tmp_path):
    make = Maker()
    first, took = kept(tmp_path / "new" / "val.safetensors", "a", make, None)
    again, took_again = kept(tmp_path / "new" / "val.safetensors", "a", make, None)
    assert make.calls == 1
    assert took_again == took > 0
    for name, value in vars(first).items():
        assert np.array_equal(getattr(again, name), value)
        assert getattr(again, name).dtype == value.dtype


def test_scores_of_another_key_are_made_again(tmp_path):
    make = Maker()
    kept(tmp_path / "val.safetensors", "a", make, None)
    other, _ = kept(tmp_path / "val.safetensors", "b", make, None)
    assert make.calls == 2
    assert other.terms[0, 0, 0] == 2.0
    kept(tmp_path / "val.safetensors", "b", make, None)
    assert make.calls == 2


@pytest.mark.parametrize("content", [b"", b"no safetensors"])
def test_a_broken_file_is_replaced(tmp_path, content):
    (tmp_path / "val.safetensors").write_bytes(content)
    make = Maker()
    kept(tmp_path / "val.safetensors", "a", make, None)
    kept(tmp_path / "val.safetensors", "a", make, None)
    assert make.calls == 1


def test_nothing_is_kept_without_a_path(tmp_path):
    make = Maker()
    kept(None, "a", make, None)
    kept(None, "a", make, None)
    assert make.calls == 2
    assert not list(tmp_path.iterdir())


def test_scores_depend_on_what_is_asked_and_learned_not_on_what_comes_after_them():
    data = Planted(num_users=20)
    ranker = data.ranker()
    asked = data.queries[:4]

    def key(queries=asked, by=ranker, **evaluation):
        return scores_key(
            replace(data.config, evaluation=EvaluationConfig(**evaluation)), by, queries
        )

    assert key() == key(faithfulness=0, bootstrap=10, explain=0, ks=[5], max_val_events=9)
    assert key() == key(max_events=4)
    others = [key(data.queries[:5]), key(data.queries[1:5]), key(batch_size=4)]
    others.append(scores_key(replace(data.config, seed=1), ranker, asked))
    with torch.no_grad():
        next(p for p in ranker.scorer.parameters() if p.requires_grad).add_(1)
    others.append(key())
    assert len({key(by=data.ranker()), *others}) == len(others) + 1
