"""The scorer that reads no path."""

import dataclasses

import torch

from benchmarks.pathless import Pathless
from lkgrag.testing.prompts import toy_paths


def test_the_stage_two_without_paths_reads_none():
    data, batch = toy_paths()
    sizes = {kind: int(data[kind].num_nodes) for kind in data.node_types}
    torch.manual_seed(0)
    scorer = Pathless(data.metadata(), sizes, batch.metapaths).eval()
    score = scorer(data, batch).candidate
    assert score.shape == batch.candidate_items.shape
    other = dataclasses.replace(batch, weight=batch.weight / 2)
    torch.testing.assert_close(scorer(data, other).candidate, score, rtol=0, atol=0)
    moved = dataclasses.replace(batch, history_age=(batch.history_age * 3).clamp(min=-1))
    assert not torch.equal(scorer(data, moved).candidate, score)
