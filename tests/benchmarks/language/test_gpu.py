"""The script for a GPU, on a CPU with few lists and a tiny model; and what stacking tells."""

import json

import numpy as np
import pytest
import torch
from helpers.small_run import small_options

from benchmarks.language import gpu
from benchmarks.language import prepared as prepared_files
from benchmarks.language.stacking import learning_curve, stack
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.ranker.fusion_weights import TermLists


def lists(strength, count=400, slots=8, seed=0):
    """Lists whose LM term tells the target with some strength, and whose prior does a little."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, slots, count)
    hit = np.eye(slots)[target]
    terms = rng.normal(size=(3, count, slots))
    terms[0] += strength * hit
    terms[2] += 1.0 * hit
    return TermLists(terms, np.ones((count, slots), bool), target, np.arange(count) // 2)


def test_a_model_that_knows_something_adds_and_noise_does_not():
    good, noise = stack(lists(1.5)), stack(lists(0.0))
    assert good["mean"] > good["detectable"] > 0
    assert good["stacked"] - good["base"] == pytest.approx(good["mean"])
    assert good["p"] < 0.01
    assert abs(noise["mean"]) < noise["detectable"]
    assert noise["p"] > 0.05


def test_a_learning_curve_trains_once_a_size():
    asked = []

    def train(size):
        asked.append(size)
        return lists(size / 100)

    rows = learning_curve(train, sizes=(10, 50, 150))
    assert asked == [row["lists"] for row in rows] == [10, 50, 150]
    assert rows[2]["stacked"] > rows[0]["stacked"]
    assert len({row["base"] for row in rows}) == 1


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("gpu")
    options = small_options(root)
    options.pop("training.probe")
    options.pop("training.max_examples")
    more = {
        "preset": "text-first",
        "training.batch_tokens": "3000",
        "training.check_every": "2",
        "training.held_out": "0.2",
        "training.epochs": "1",
    }
    config = load_config({**options, **more})
    size = gpu.prepare(config, root / "data", lists=100, validation=40)
    assert size == sum(f.stat().st_size for f in (root / "data").rglob("*") if f.is_file())
    assert size < prepared_files.MOST
    return root / "data"


def test_both_arms_run_end_to_end_and_go_on(prepared, tmp_path, capsys):
    data = gpu.read_prepared(prepared)
    assert 20 < len(data.training) <= 100
    curves = gpu.rank(data, tmp_path, [20, 40], minutes=5)
    assert list(curves) == ["real", "permuted"]
    assert sorted(f.name for f in tmp_path.iterdir()) == [
        "permuted-20.npz",
        "permuted-40.npz",
        "real-20.npz",
        "real-40.npz",
    ]
    real, permuted = (gpu.read_scores(tmp_path / f"{arm}-40.npz") for arm in gpu.ARMS)
    # The arms differ by the language model's scores alone.
    np.testing.assert_allclose(real.terms[1:], permuted.terms[1:], atol=1e-5)
    assert not np.allclose(real.terms[0], permuted.terms[0])
    assert np.isfinite(real.terms).all()
    assert len(real) == len(data.validation) > 0
    written = {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    assert gpu.rank(data, tmp_path, [20, 40], minutes=5) == curves
    assert written == {f: f.stat().st_mtime_ns for f in tmp_path.iterdir()}
    capsys.readouterr()
    assert gpu.main(["stack", f"out={tmp_path}"]) == 0
    assert capsys.readouterr().out.count("would have shown") == 4


def test_training_ends_at_its_limit_with_the_best_weights(prepared, tmp_path):
    data = gpu.read_prepared(prepared)
    found = gpu.train_and_score(data, "real", 0, tmp_path, 60)
    with np.load(tmp_path / "real-60.npz") as stored:
        about = json.loads(str(stored["about"]))
    assert about["cut"]
    assert about["steps"] == 1 < about["of"]
    assert np.isfinite(found.terms).all()


def test_the_permuted_arm_has_other_items_texts(prepared):
    data = gpu.read_prepared(prepared)
    real, permuted = (gpu.build_ranker(data, arm, torch.device("cpu")).prompter for arm in gpu.ARMS)
    assert real.titles != permuted.titles
    assert sorted(real.titles) == sorted(permuted.titles)


def test_a_model_travels_in_parts(tmp_path, monkeypatch):
    content = bytes(range(256)) * 5
    (tmp_path / "model.gguf").write_bytes(content)
    monkeypatch.setattr(gpu, "PART", 500)
    parts = gpu.split_file(tmp_path / "model.gguf", tmp_path / "parts")
    assert len(parts) == 3

    def convert(gguf, folder):
        assert gguf.read_bytes() == content
        folder.mkdir()
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(gpu, "convert_gguf", convert)
    assert gpu.join_model(tmp_path / "parts") == tmp_path / "parts" / "plain"
    assert not (tmp_path / "parts" / "model.gguf").exists()
    assert gpu.join_model(tmp_path) == tmp_path


def test_bad_calls_end_in_one_line(prepared, tmp_path, monkeypatch, capsys):
    assert gpu.main(["rank", "out=x"]) == 2
    assert gpu.main([]) == 2
    monkeypatch.setattr(prepared_files, "MOST", 10)
    config = load_config({"config": str(prepared / "config.yaml")})
    with pytest.raises(LkgragError, match="more than 60"):
        gpu.prepare(config, tmp_path / "data", 5, 5)
