"""A whole run on a small RecBole folder with a tiny language model, and what can be done with it."""

import json
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import processes
from helpers.small_run import same

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, DataError, RunError
from lkgrag.run.folder import open_run
from lkgrag.run.pipeline import train
from lkgrag.run.reevaluate import evaluate_run
from lkgrag.scorer.shortest import Shortest
from lkgrag.training.loop import Trainer

SYSTEMS = [
    "random",
    "popularity",
    "itemitem",
    "graph_itemitem",
    "ease",
    "text",
    "lrurec",
    "without_text",
    "retriever",
    "lm",
    "scorer",
    "without_lm",
    "ranker",
]


@pytest.fixture
def run(small_run):
    return small_run


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def comparable(metrics):
    """Without what differs from one run to the next: times."""
    return {k: v for k, v in metrics.items() if k not in ("seconds", "date")}


def test_processes_wait_until_the_folder_is_ready(run, monkeypatch):
    seen = []

    @contextmanager
    def opened(config, main):
        with open_run(config, main) as folder:
            seen.append("opened")
            yield folder

    monkeypatch.setattr("lkgrag.run.pipeline.open_run", opened)
    monkeypatch.setattr(
        "accelerate.Accelerator.wait_for_everyone", lambda self: seen.append("waited")
    )
    train(load_config(run[1]))
    assert seen == ["opened", "waited"]


def test_a_run_that_ran_out_of_memory_goes_on_in_smaller_pieces(run, tmp_path, monkeypatch):
    root, options = run
    asked = {**options, "out": str(tmp_path / "out"), "cache.root": str(root / "cache")}
    step, steps = Trainer._step, []

    def stepped(self, model, optimizer, number):
        steps.append((number, self.config.micro_batch))
        if number == 2 and self.config.micro_batch > 1:
            raise torch.OutOfMemoryError
        return step(self, model, optimizer, number)

    monkeypatch.setattr(Trainer, "_step", stepped)
    with pytest.raises(torch.OutOfMemoryError):
        train(load_config(asked))
    first = len(steps)
    smaller = {**asked, "training.micro_batch": "1", "evaluation.batch_size": "2"}
    train(load_config({**smaller, "llm.gradient_checkpointing": "true"}))
    assert steps[first:] == [(2, 1)]
    kept = load_config({"config": str(tmp_path / "out" / "config.yaml")})
    assert (kept.training.micro_batch, kept.evaluation.batch_size) == (1, 2)
    with pytest.raises(RunError, match=r"holds a run with training\.lr="):
        train(load_config({**smaller, "training.lr": "0.5"}))


def test_every_system_is_in_the_metrics_and_every_file_is_there(run):
    root, _ = run
    metrics = metrics_of(root / "out")
    for system in SYSTEMS:
        for split in ("val", "test"):
            everyone = metrics[system][split]["all"]
            assert 0 <= everyone["ndcg@10"] <= 1
            assert everyone["recall@1"] <= everyone["recall@5"] <= everyone["recall@10"]
    for name in ("config.yaml", "curve.json", "explanations.json", "run.log", "kg", "ranker"):
        assert (root / "out" / name).exists(), name
    assert metrics["tokens_per_prompt"] > 10
    assert load_config({"config": str(root / "out" / "config.yaml")}) == load_config(run[1])


def test_worded_paths_exist_and_their_deletion_is_measured(run):
    root, _ = run
    found = metrics_of(root / "out")["faithfulness"]
    assert found["share_existing"] == 1.0
    assert found["prompts"] > 0
    for system in ("ranker", "lm"):
        assert set(found["deletion"][system]) == {"fall", "score", "control", "spare"}
        assert np.isfinite(found["deletion"][system]["fall"])


def test_the_figures_follow_from_the_ranks(run):
    root, _ = run
    ranks = pd.read_parquet(root / "out" / "ranks.parquet")
    test = ranks[ranks["split"] == "test"]
    rank = test["rank_ranker"].to_numpy()
    gain = np.where((rank > 0) & (rank <= 10), 1 / np.log2(1 + np.maximum(rank, 1)), 0)
    stated = metrics_of(root / "out")["ranker"]["test"]["all"]["ndcg@10"]
    assert gain.mean() == pytest.approx(stated)
    assert (test.loc[~test["retrieved"], "rank_ranker"] == 0).all()


def test_the_same_command_gives_the_same_figures(run, tmp_path):
    root, options = run
    train(load_config({**options, "out": str(tmp_path / "again"), "cache.root": str(tmp_path)}))
    again, first = metrics_of(tmp_path / "again"), metrics_of(root / "out")
    same(comparable(again), comparable(first))


def test_two_threads_give_the_same_bits_every_time(run, tmp_path):
    """Sums whose order depends on the threads would give other weights, and sooner or later other ranks."""
    _, options = run
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        here = {"out": str(folder / "out"), "cache.root": str(folder / "cache"), "threads": "2"}
        train(load_config({**options, **here, "llm.name": "none"}))
        files = [*(folder / "out" / "ranker").rglob("*.safetensors"), folder / "out/ranks.parquet"]
        found.append({str(f.relative_to(folder)): f.read_bytes() for f in files})
    assert sorted(found[0]) == sorted(found[1])
    assert any("text" in file for file in found[0])
    assert [file for file in found[0] if found[0][file] != found[1][file]] == []


def test_a_launchers_mixed_precision_changes_nothing(run, tmp_path):
    root, options = run
    options = {**options, "out": str(tmp_path / "out"), "evaluation.faithfulness": "0"}
    given = [f"{k}={v}" for k, v in options.items()]
    done = processes.run("lkgrag.train", *given, ACCELERATE_MIXED_PRECISION="bf16")
    assert done.returncode == 0, done.stderr
    assert "mixed_precision=bf16 of the launcher is not used" in " ".join(done.stderr.split())
    one, two = (
        json.loads((f / "curve.json").read_text()) for f in (root / "out", tmp_path / "out")
    )
    same(two["ranker"], one["ranker"])


def test_a_run_stopped_in_its_training_ends_as_if_it_had_not(run, tmp_path, monkeypatch):
    root, options = run
    import lkgrag.training.loop as loop

    whole = loop.Trainer._save

    def stop(self, optimizer, step, curve):
        whole(self, optimizer, step, curve)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Trainer, "_save", stop)
    options = {**options, "out": str(tmp_path / "stopped")}
    with pytest.raises(KeyboardInterrupt):
        train(load_config(options))
    assert not (tmp_path / "stopped" / "metrics.json").exists()
    monkeypatch.undo()
    train(load_config(options))
    same(comparable(metrics_of(tmp_path / "stopped")), comparable(metrics_of(root / "out")))


def test_a_saved_ranker_scores_bit_for_bit_the_same(run, tmp_path):
    root, _ = run
    ranker = Ranker.from_pretrained(root / "out" / "ranker")
    ranker.save_pretrained(tmp_path / "copy")
    copy = Ranker.from_pretrained(tmp_path / "copy")
    users = ranker.users()[:9]
    assert ranker.recommend_users(users, k=5) == copy.recommend_users(users, k=5)


def test_anyone_is_served_and_the_parts_add_up(run):
    root, _ = run
    ranker = Ranker.from_pretrained(root / "out" / "ranker")
    found = ranker.recommend(history=["i3", "Thing 5"], k=4)
    assert len(found.items) == 4
    assert [i for i, _ in found.history] == ["i3", "i5"]
    for item in found.items:
        assert item.score == pytest.approx(item.lm + item.scorer + item.prior, abs=1e-4)
        assert item.item not in ("i3", "i5")
    assert any(item.paths for item in found.items)
    chosen = ranker.recommend(history=["i3"], candidates=["i7", "i9", "i7"], k=10)
    assert sorted(i.item for i in chosen.items) == ["i7", "i9"]
    assert len(ranker.recommend(history=[], k=3).items) == 3


def test_bad_requests_name_what_is_near(run):
    root, _ = run
    ranker = Ranker.from_pretrained(root / "out" / "ranker")
    with pytest.raises(DataError, match="Thing 5"):
        ranker.recommend(history=["Thing 55555"])
    with pytest.raises(DataError, match="u1"):
        ranker.recommend_users(["u1x"])
    with pytest.raises(ConfigError, match="k=999"):
        ranker.recommend(history=["i3"], k=999)
    with pytest.raises(DataError, match="ratings"):
        ranker.recommend(history=["i3"], ratings=[1.0, 2.0])
    with pytest.raises(RunError, match="not a saved ranker"):
        Ranker.from_pretrained(root)


def test_evaluating_a_saved_run_gives_its_figures_again(run, tmp_path, capsys):
    root, options = run
    config = load_config(options)
    evaluate_run(root / "out", config, None, str(tmp_path / "again.json"))
    again = json.loads((tmp_path / "again.json").read_text())
    first = metrics_of(root / "out")
    assert again == {system: first[system] for system in again}
    assert set(again) == set(SYSTEMS)


def test_recommending_from_the_shell(run):
    root, _ = run

    def call(*arguments):
        return processes.run("lkgrag.recommend", f"run={root / 'out'}", *arguments)

    done = call("history=[i3,Thing 5]", "k=2", "format=json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)[0]["items"]) == 2
    bad = call("users=nobody")
    assert bad.returncode == 2
    assert "nobody" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_another_configuration_in_the_same_folder_is_refused(run):
    _, options = run
    with pytest.raises(RunError, match=r"seed=0, not 1"):
        train(load_config({**options, "seed": "1"}))


def test_a_ranker_without_a_language_model(run, tmp_path):
    _, options = run
    train(load_config({**options, "llm.name": "none", "out": str(tmp_path / "plain")}))
    metrics = metrics_of(tmp_path / "plain")
    assert "lm" not in metrics
    assert metrics["ranker"]["test"]["all"]["ndcg@10"] > 0
    ranker = Ranker.from_pretrained(tmp_path / "plain" / "ranker")
    with torch.no_grad():
        assert ranker.recommend(history=["i3"], k=2).items[0].lm == 0


#: Of the weight of Doubled.
START = 3.0


class Doubled(Shortest):
    """A scorer of someone else's with two names for one parameter."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.one = self.two = torch.nn.Parameter(torch.full((), START))

    def forward(self, data, paths):
        # Noise, so that whatever the lists are, training has something to mend.
        salience = super().forward(data, paths).salience
        return salience + self.one * torch.sin(1e4 * torch.arange(len(salience)))


class Untrainable(Doubled):
    def forward(self, data, paths):
        return None


def test_a_scorer_with_tied_weights_is_trained_saved_and_loaded(run, tmp_path):
    _, options = run
    own = {"scorer.name": f"{__name__}:Doubled", "llm.name": "none", "out": str(tmp_path / "own")}
    train(load_config({**options, **own, "scorer.pretrain_lr": "0.1"}))
    scorer = Ranker.from_pretrained(tmp_path / "own").scorer
    assert scorer.one is scorer.two
    assert abs(scorer.one) < START


def test_a_scorer_that_cannot_be_trained_is_refused_before_its_training(run, tmp_path, monkeypatch):
    _, options = run
    monkeypatch.setattr("lkgrag.run.ranker_stages.pretrain_parts", None)
    own = {"scorer.name": f"{__name__}:Untrainable", "llm.name": "none", "out": str(tmp_path / "x")}
    with pytest.raises(ConfigError, match=r"scorer\.name=.*:Untrainable: .* got NoneType"):
        train(load_config({**options, **own}))


def test_a_run_without_examples_has_an_untrained_ranker(run, tmp_path):
    """No window is held back, so stage two has nothing to learn from."""
    _, options = run
    none = {"retrieval.crossfit_window": "0", "out": str(tmp_path / "none")}
    train(load_config({**options, **none}))
    assert json.loads((tmp_path / "none" / "curve.json").read_text())["ranker"] == []
    assert metrics_of(tmp_path / "none")["lm"]["test"]["all"]["ndcg@10"] >= 0


def test_errors_of_the_losses_are_over_users(run, tmp_path):
    """Two events of one user tell less than those of two: their losses are summed by user first."""
    _, options = run
    rolling = {"data.split": "rolling", "data.rolling": "2", "out": str(tmp_path / "rolling")}
    train(load_config({**options, **rolling, "llm.name": "none"}))
    ranks = pd.read_parquet(tmp_path / "rolling" / "ranks.parquet")
    losses = ranks[(ranks["split"] == "test") & ranks["retrieved"]]
    assert losses["user"].duplicated().any()
    away = losses["nll_prior"] - losses["nll_prior"].mean()
    by_user = away.groupby(losses["user"]).sum()
    users = len(by_user)
    by_hand = np.sqrt(users / (users - 1) * (by_user**2).sum()) / len(losses)
    stated = metrics_of(tmp_path / "rolling")["cross_entropy"]["test"]["prior"]["se"]
    assert stated == pytest.approx(by_hand)
    assert stated != pytest.approx(losses["nll_prior"].std(ddof=0) / np.sqrt(len(losses)), rel=1e-3)


def test_a_scorer_of_other_lists_is_not_taken_from_the_cache(run, tmp_path):
    """`training.negatives` decides what the scorer learns from."""
    _, options = run
    weights = []
    for name, cache in (("shared", options["cache.root"]), ("own", str(tmp_path / "cache"))):
        random = {"training.negatives": "uniform", "llm.name": "none", "cache.root": cache}
        train(load_config({**options, **random, "out": str(tmp_path / name)}))
        weights.append(Ranker.from_pretrained(tmp_path / name / "ranker").scorer.state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_the_log_of_a_run_from_python_holds_its_lines(run, tmp_path):
    _, options = run
    code = (
        "import sys\nfrom lkgrag.config.loading import load_config\nfrom lkgrag.run.pipeline import train\n"
        "train(load_config(dict(a.split('=', 1) for a in sys.argv[1:])))"
    )
    plain = {**options, "llm.name": "none", "out": str(tmp_path / "plain")}
    done = processes.run(code, *(f"{k}={v}" for k, v in plain.items()))
    assert done.returncode == 0, done.stderr
    assert "stage 3: retrieval" in (tmp_path / "plain" / "run.log").read_text()
