"""LRURec trained by several processes: the curve and the weights of one."""

import json

import pytest
import torch
from helpers.processes import finish_together, start_together
from torch import distributed

from lkgrag.config import DataConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.retrieval import LRURecOptions, ValidationEvents, fit_lrurec
from lkgrag.retrieval.lrurec import training as lru_training
from lkgrag.retrieval.lrurec.network import Cut, Dropout
from lkgrag.testing import planted
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.utils.group import ALONE, Group

#: Each process trains three times: in one go, killed after two epochs, and then to the end.
PROGRAM = """
import sys
from pathlib import Path
from retrieval.lrurec.test_together import train_all
train_all(Path(sys.argv[1]))
"""
#: Batches do not divide evenly, and the last one has fewer windows than there are processes.
USERS, BATCH = 61, 3


def train(folder, group, **more):
    """Train on planted data in blocks of few events; the weights and the progress."""
    lru_training.rows_per_block = lambda num_items: 7
    x = planted(USERS, 24)
    split = make_split(x, DataConfig())
    small = {"hidden": 8, "blocks": 2, "max_len": 5, "batch_size": BATCH, "epochs": 4}
    config = RetrievalConfig(**{**small, "lr": 0.01, "dropout": 0.3, "sampled": 15, "patience": 2})
    options, val = LRURecOptions.of(config), ValidationEvents.of(x, split.val)
    checkpoint = folder / "training.safetensors"
    return fit_lrurec(
        x.first(split.train_end), options, 3, val=val, checkpoint=checkpoint, group=group, **more
    )


def train_all(folder):
    """Train as one of the processes that a launcher has started; the first one writes what it found."""
    distributed.init_process_group("gloo")
    group = Group.of(torch.device("cpu"))
    for name, runs in {"whole": [{}], "resumed": [{"epochs": 2}, {}]}.items():
        # Only the first one may look at the checkpoint.
        place = folder / name if group.is_main else folder / f"{name}{group.rank}"
        place.mkdir()
        for more in runs:
            retriever, progress = train(place, group, **more)
        write_json(place / "progress.json", vars(progress))
        write_safetensors(place / "weights.safetensors", retriever.model.state_dict())
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of three processes that train together, and of one alone."""
    folder = tmp_path_factory.mktemp("together")
    for done in finish_together(start_together(3, PROGRAM, [folder])):
        assert done.returncode == 0, done.stderr[-2000:]
    (folder / "alone").mkdir()
    before = lru_training.rows_per_block
    retriever, progress = train(folder / "alone", ALONE)
    lru_training.rows_per_block = before
    return folder, retriever.model.state_dict(), vars(progress)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "whole1", "whole2", "resumed", "resumed2"])
def test_processes_together_train_what_one_trains(trained, name):
    folder, weights, progress = trained
    found = read_json(folder / name / "progress.json")
    assert found["epoch"] == progress["epoch"]
    assert found["best_epoch"] == progress["best_epoch"]
    assert found["loss"] == pytest.approx(progress["loss"], abs=1e-4)
    assert found["curve"] == pytest.approx(progress["curve"], abs=1e-4)
    for key, value in read_safetensors(folder / name / "weights.safetensors").items():
        torch.testing.assert_close(value, weights[key], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_only_the_first_process_writes_a_checkpoint(trained):
    folder, _, _ = trained
    found = sorted(path.parent.name for path in folder.rglob("training.safetensors"))
    assert found == ["alone", "resumed", "whole"]
    assert (folder / "whole1" / "weights.safetensors").read_bytes() == (
        folder / "whole" / "weights.safetensors"
    ).read_bytes()


def test_a_part_of_a_batch_is_dropped_as_in_the_whole():
    whole = Dropout(0.5).train()
    part = Dropout(0.5).train()
    x = torch.rand(3, 5, 4)
    torch.manual_seed(1)
    expected = whole(x)
    after = torch.rand(1)
    for columns in (slice(0, None, 2), slice(1, None, 2), slice(1)):
        torch.manual_seed(1)
        part.cut = Cut(columns, 5)
        torch.testing.assert_close(part(x[:, columns]), expected[:, columns], atol=0, rtol=0)
        # The next draw is the same everywhere.
        assert torch.equal(torch.rand(1), after)


def test_a_process_alone_sends_nothing():
    group = Group.of(torch.device("cpu"))
    assert (group.rank, group.size, group.is_main) == (0, 1, True)
    assert group.gather("a") == ["a"]
    assert group.share("a") == "a"
    value = {"x": torch.ones(2)}
    assert group.share_tensors(value) is value
    assert torch.equal(group.sum(torch.ones(2)), torch.ones(2))
    assert json.dumps(group.share([1])) == "[1]"
