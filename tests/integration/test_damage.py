"""Damaged files of cached stages, rankers, runs and shards are found, whatever bit of them changes."""

import json
import logging
import random
import shutil
from pathlib import Path

import pytest

from lkgrag import recommend
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError, RunError
from lkgrag.run.cache import StageCache
from lkgrag.run.pipeline import train
from lkgrag.run.reevaluate import evaluate
from lkgrag.serving.loading import check_files
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.saved_run import read_metrics

pytestmark = pytest.mark.slow
#: Bits flipped in each file.
FLIPS = 12


def flip(path, bit):
    """Turn over one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def bits(path):
    """Bits to flip in a file."""
    size = 8 * path.stat().st_size
    return random.Random(path.name).sample(range(size), min(FLIPS, size))


def files_below(folder):
    return sorted(p for p in Path(folder).rglob("*") if p.is_file() and p.name != ".lock")


def test_every_flipped_bit_of_a_cached_stage_is_found(small_run, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.WARNING)
    shutil.copytree(small_run[0] / "cache", tmp_path / "cache")
    stages = sorted(p.parent for p in (tmp_path / "cache").rglob("done.json"))
    assert {p.parent.name for p in stages} >= {"kg", "lrurec", "retrieval", "scorer"}
    monkeypatch.setattr("lkgrag.run.cache.digest", lambda value: value["key"])
    tried = 0
    for stage in stages:
        kept = {p: p.read_bytes() for p in files_below(stage)}

        def build(folder, kept=kept):
            raise InterruptedError

        def use(stage=stage, build=build):
            key = {"key": stage.name}
            cache = StageCache(tmp_path / "cache")
            return cache.load_or_build(stage.parent.name, key, build, lambda f: "read")

        assert use() == "read"
        for path in kept:
            for bit in bits(path):
                flip(path, bit)
                caplog.clear()
                with pytest.raises(InterruptedError):
                    use()
                assert "made again" in caplog.text
                assert path.name in caplog.text
                for file, content in kept.items():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(content)
                tried += 1
    assert tried > 300


def test_a_run_over_damaged_stages_has_the_same_figures(small_run, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    root, options = small_run
    shutil.copytree(root / "cache", tmp_path / "cache")
    shutil.copytree(root / "cache", tmp_path / "whole")
    for path in (tmp_path / "cache").rglob("*.parquet"):
        flip(path, bits(path)[0])
    for number, cache in enumerate(("whole", "cache")):
        given = {"cache.root": str(tmp_path / cache), "out": str(tmp_path / f"out{number}")}
        train(load_config({**options, **given}))
    assert "examples.parquet: broken" in caplog.text
    one, other = (json.loads((tmp_path / f"out{n}" / "metrics.json").read_text()) for n in (0, 1))
    for timed in ("seconds", "date"):
        one.pop(timed), other.pop(timed)
    assert one == other


def test_every_flipped_bit_of_a_ranker_is_refused_by_name(small_run, tmp_path):
    folder = tmp_path / "ranker"
    shutil.copytree(small_run[0] / "out" / "ranker", folder)
    check_files(folder)
    files = files_below(folder)
    # The card has no sum, since people edit it.
    light = [p for p in files if p.parent.name != "adapter" and p.name != "README.md"]
    assert len(light) > 10
    for path in light:
        for bit in bits(path):
            flip(path, bit)
            with pytest.raises(RunError, match=path.name):
                check_files(folder)
            flip(path, bit)
    for path in (p for p in files if p.parent.name == "adapter"):
        bit = bits(path)[0]
        flip(path, bit)
        with pytest.raises(RunError, match=f"adapter/{path.name}: broken"):
            Ranker.from_pretrained(folder, lm="always")
        # Without the language model its files do not matter.
        Ranker.from_pretrained(folder, lm="never")
        flip(path, bit)
    Ranker.from_pretrained(folder, lm="always")


def test_a_ranker_that_lost_or_got_files(small_run, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    folder = tmp_path / "ranker"
    shutil.copytree(small_run[0] / "out" / "ranker", folder)
    (folder / "notes.txt").write_text("mine")
    Ranker.from_pretrained(folder, lm="never")
    assert "holds notes.txt, which was not saved with the ranker" in caplog.text
    away = tmp_path / "away"
    for path in files_below(folder):
        if path.name in ("notes.txt", "done.json", "ranker.json", "README.md"):
            continue
        path.rename(away)
        with pytest.raises(RunError, match=rf"{path.name}: no such file; copy the ranker again"):
            Ranker.from_pretrained(folder, lm="always")
        away.rename(path)
    # Older rankers have no sums.
    (folder / "done.json").unlink()
    caplog.clear()
    Ranker.from_pretrained(folder)
    assert caplog.text == ""


def test_files_of_a_run_are_refused_by_the_commands_that_read_them(small_run, tmp_path, caplog):
    root, options = small_run
    folder = tmp_path / "out"
    shutil.copytree(root / "out", folder)
    config = load_config({**options, "out": str(folder)})
    train(config)
    for name, use in (
        ("metrics.json", lambda: read_metrics(folder)),
        ("metrics.json", lambda: evaluate(folder)),
        ("explanations.json", lambda: train(config)),
    ):
        flip(folder / name, 2003)
        with pytest.raises(RunError, match=rf"{name}: broken"):
            use()
        flip(folder / name, 2003)
    caplog.clear()
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text + "\n")
    recommend.body({"run": str(folder), "users": "u1", "out": str(tmp_path / "x.json")}, set())
    assert "config.yaml: broken" in caplog.text


def test_a_flipped_bit_of_a_shard_is_found(small_run, tmp_path):
    out = tmp_path / "recs"
    words = {"run": str(small_run[0] / "out"), "users": "all", "out": f"{out}/", "shard": "32"}
    recommend.body(words, set())
    shards = sorted(out.glob("part-*.parquet"))
    assert len(shards) == 2
    recommend.body(words, set())
    for path in shards:
        for bit in bits(path)[:4]:
            flip(path, bit)
            with pytest.raises(LkgragError, match=rf"{path.name}: .*delete it and give the same"):
                recommend.body(words, set())
            flip(path, bit)
    # Shards of older versions have no sums.
    (out / "_sha256sums").unlink()
    recommend.body(words, set())
    before = shards[0].read_bytes()
    shards[0].unlink()
    recommend.body(words, set())
    assert shards[0].read_bytes() == before
    assert (out / "_sha256sums").read_text().split()[1] == shards[0].name
