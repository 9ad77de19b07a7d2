"""The preset of a language model that reads texts: a whole run, resumed, saved and served."""

import pytest
import torch
from helpers.small_run import same, small_options

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.llm.full import WEIGHTS_FILE
from lkgrag.run.pipeline import train
from lkgrag.serving.export import export
from lkgrag.utils.files import read_json

pytestmark = pytest.mark.slow


def options(root, **more):
    given = small_options(root)
    given.pop("training.probe")
    few = {"evaluation.max_events": "6", "evaluation.faithfulness": "2", "evaluation.explain": "1"}
    return {
        **given,
        **few,
        "preset": "text-first",
        "training.max_examples": "40",
        "training.batch_tokens": "1500",
        "training.check_every": "2",
        "training.held_out": "0.2",
        **more,
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def run(root):
    return train(load_config(options(root)))


def test_the_language_model_learns_whole_and_scorer_and_fusion_stay(run):
    curve = read_json(run / "curve.json")["ranker"]
    assert len(curve) > 2
    looks = [row["held_out"] for row in curve if "held_out" in row]
    assert len(looks) == -(-len(curve) // 2)
    assert len({(row["a"], row["b"]) for row in curve}) == 1
    saved = run / "ranker"
    assert (saved / "adapter" / WEIGHTS_FILE).is_file()
    assert not (saved / "adapter" / "adapter_model.safetensors").exists()


def test_the_saved_ranker_reads_texts_and_scores_as_before(run):
    one, two = (Ranker.from_pretrained(run, lm="always") for _ in range(2))
    assert one.lm.is_full
    user = one.users()[0]
    first, second = (r.recommend_users([user])[0] for r in (one, two))
    assert [i.lm for i in first.items] == [i.lm for i in second.items]
    titles = one.prompter.titles
    separator = one.prompter.tokenizer(" |", add_special_tokens=False)["input_ids"][-1]
    assert any(separator in ids for ids in titles)


def test_an_export_holds_the_changed_weights(run, root):
    moved = export(run, str(root / "exported"), "auto", prompts=4, overwrite=False)
    assert moved.scores > 0
    assert moved.lm < 1e-4
    served = Ranker.from_pretrained(root / "exported", lm="always")
    assert not served.lm.is_full
    assert not list((root / "exported").rglob(WEIGHTS_FILE))


def test_a_run_that_was_stopped_ends_as_an_unbroken_one(run, root, monkeypatch):
    config = load_config(options(root, out=str(root / "again")))

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Evaluator, "evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config)
    again = train(config)
    found, expected = (read_json(folder / "curve.json")["ranker"] for folder in (again, run))
    same(found, expected)
    one, two = (
        dict(Ranker.from_pretrained(folder, lm="always").lm.named_parameters())
        for folder in (again, run)
    )
    assert all(torch.equal(one[name], two[name]) for name in two)
