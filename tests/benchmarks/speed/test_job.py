"""The main job by stage, read off stored records."""

import pytest

from benchmarks import tables
from benchmarks.speed import job

RECORD = {
    "command": "accelerate launch -m lkgrag.train",
    "note": "",
    "hardware": {"processor": "X"},
    "dtype": "float32",
    "date": "2026-01-01",
    "budget": {"device": "CPU, float32", "training": 96, "ranking": 200},
    "prompts_ranked": 400,
    "seconds": {
        "kg": 1.0,
        "retrieval": 60.0,
        "scorer": 20.0,
        "ranker": 90.0,
        "evaluation": 100.0,
        "total": 300.0,
    },
}


def test_minutes_and_stages_of_each_record(monkeypatch):
    monkeypatch.setattr(job, "stored", {"default-ml-100k-avx2": RECORD}.get)
    found = job.measure()
    assert found["values"] == {"S11_avx2": pytest.approx(5.0)}
    assert found["default-ml-100k-avx2"]["seconds"]["ranker"] == 90.0
    text = tables.job(found)
    assert "| seconds | AVX2 only |" in text
    assert "| all, with explanations and report | 300 |" in text
    assert "| prompts of training | 96 |" in text
