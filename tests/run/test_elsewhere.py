"""Qrels and runs for other programs: ``pytrec_eval``, ``ranx`` and RecBole's definitions find our figures."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from helpers.small_run import small_options

from lkgrag import Interactions, evaluate, fit
from lkgrag.config import DataConfig
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.evaluation import run_files
from lkgrag.run.pipeline import train
from lkgrag.testing import planted
from lkgrag.utils.files import read_json

pytestmark = pytest.mark.slow

#: A scorer of which many candidates get the same score: the logarithm of how many paths lead there.
TIED = """
import torch
from lkgrag.scorer import PathScorer, PathScores, candidate_from_salience

class Tied(PathScorer):
    open_metapaths = True

    def forward(self, data, paths):
        salience = torch.zeros(len(paths.sample), device=paths.sample.device)
        return PathScores(salience, candidate_from_salience(salience, paths))
"""
#: Ids that break a line of TREC, a JSON file or a table, unless they are encoded.
ODD_USERS, ODD_ITEMS = ["{} ä", "a:{}", "{}%41"], ["x y{}", "{}\t\u00a0", '"{}"', "{}"]


def odd_interactions():
    x = planted(num_users=60, num_items=40, seed=3)
    frame = pd.DataFrame(
        {
            "user": [ODD_USERS[u % 3].format(u) for u in x.user],
            "item": [ODD_ITEMS[i % 4].format(i) for i in x.item],
            "time": x.time,
        }
    )
    return Interactions.from_frames(frame, config=DataConfig(min_user=1, min_item=1))


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A run with two events of a user and split, ties, missed targets and odd ids; and its interactions."""
    root = tmp_path_factory.mktemp("odd")
    (root / "tied_scorer.py").write_text(TIED)
    sys.path.insert(0, str(root))
    options = small_options(root)
    kept = ("retrieval.epochs", "retrieval.hidden", "threads", "cache.root", "out")
    found = odd_interactions()
    fit(
        found,
        options={key: options[key] for key in kept},
        scorer__name="tied_scorer:Tied",
        retrieval__k=6,
        data__split="rolling",
        data__rolling=2,
        evaluation__explain=0,
    )
    yield root, found
    sys.path.remove(str(root))


def written(odd, form, name=None):
    root, interactions = odd
    folder = root / (name or form)
    metrics = evaluate(root / "out", interactions, out=folder, format=form)
    assert read_json(folder / "metrics.json") == json.loads(json.dumps(metrics))
    return folder, metrics, read_json(folder / "about.json")


#: Our metrics and their names elsewhere. With one true item a query, recall is the hit rate.
TREC = [
    ("mrr", "recip_rank"),
    *((f"ndcg@{k}", f"ndcg_cut_{k}") for k in (5, 10, 20)),
    *((f"recall@{k}", f"{name}_{k}") for k in (1, 5, 10) for name in ("recall", "success")),
]
RANX = [
    ("mrr", "mrr"),
    *((f"ndcg@{k}", f"ndcg@{k}") for k in (5, 10, 20)),
    *((f"recall@{k}", f"{name}@{k}") for k in (1, 5, 10) for name in ("recall", "hit_rate")),
]


def read_trec(path, columns):
    out = {}
    for line in path.read_text(encoding="ascii").splitlines():
        fields = line.split(" ")
        assert len(fields) == columns
        out.setdefault(fields[0], {})[fields[2]] = fields[3:]
    return out


def check_trec(folder, metrics, systems, qrels="qrels"):
    """Compare the figures of ``pytrec_eval`` with ours; their number of queries by system."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    sizes = {}
    wanted = {re.sub(r"_(\d+)$", r".\1", name) for _, name in TREC}
    for split in ("val", "test"):
        true = read_trec(folder / split / f"{qrels}.txt", 4)
        truth = {q: {d: int(r) for d, (r,) in docs.items()} for q, docs in true.items()}
        for system in systems:
            lines = read_trec(folder / split / f"{system}.txt", 6)
            run = {q: {d: float(r[1]) for d, r in docs.items()} for q, docs in lines.items()}
            for query, docs in lines.items():
                scores = [np.float32(r[1]) for r in docs.values()]
                assert (np.diff(scores) < 0).all(), (system, query)
                assert [int(r[0]) for r in docs.values()] == list(range(1, len(docs) + 1))
            found = pytrec_eval.RelevanceEvaluator(truth, wanted).evaluate(run)
            sizes[system] = len(found)
            for ours, theirs in TREC:
                mean = np.mean([values[theirs] for values in found.values()])
                assert abs(mean - metrics[system][split]["all"][ours]) < 1e-9, (system, split, ours)
    return sizes


def test_pytrec_eval_finds_our_figures(odd):
    folder, metrics, about = written(odd, "trec")
    expected = set(metrics) - {"random", "without_text"}
    assert set(about["systems"]) == expected
    sizes = check_trec(folder, metrics, about["systems"])
    # Two events of each user, whether the target was retrieved or not.
    assert set(sizes.values()) == {120}
    assert metrics["ranker"]["test"]["all"]["recall@20"] < 1
    assert any("encoded" in note for note in about["notes"])
    assert any("several events" in note for note in about["notes"])
    assert any("random" in note for note in about["notes"])


def test_the_scorer_has_ties_with_the_target(odd):
    """Else the test above would say nothing of them."""
    folder, _, _ = written(odd, "trec", "ties")
    runs = read_trec(folder / "test" / "scorer.txt", 6)
    true = read_trec(folder / "test" / "qrels.txt", 4)
    tied = 0
    for query, docs in runs.items():
        target = next(iter(true[query]))
        if target in docs:
            own = float(docs[target][1])
            others = [float(rest[1]) for item, rest in docs.items() if item != target]
            tied += any(0 < other - own < 1e-5 for other in others)
    assert tied > 3


def test_ids_come_back(odd):
    folder, _, _ = written(odd, "trec", "ids")
    true = read_trec(folder / "test" / "qrels.txt", 4)
    _, interactions = odd
    users = {unquote(query.rpartition(":")[0]) for query in true}
    assert users == set(interactions.user_ids)
    items = {unquote(item) for docs in true.values() for item in docs}
    assert items <= set(interactions.item_ids)
    rolled = sorted(true)[0]
    user, _, position = rolled.rpartition(":")
    index = interactions.user_ids.index(unquote(user))
    target = interactions.item_ids[interactions.sequence(index)[int(position)]]
    assert [unquote(item) for item in true[rolled]] == [target]


def test_ranx_finds_our_figures(odd, tmp_path):
    pytest.importorskip("ranx")
    folder, metrics, about = written(odd, "ranx")
    program = (
        "import json, sys; from ranx import Qrels, Run, evaluate\n"
        "folder, systems, names = sys.argv[1], sys.argv[2].split(','), sys.argv[3].split(',')\n"
        "out = {}\n"
        "for split in ('val', 'test'):\n"
        "    qrels = Qrels.from_file(f'{folder}/{split}/qrels.json')\n"
        "    for system in systems:\n"
        "        run = Run.from_file(f'{folder}/{split}/{system}.json')\n"
        "        found = evaluate(qrels, run, names)\n"
        "        out[f'{system} {split}'] = {n: float(v) for n, v in found.items()}\n"
        "print(json.dumps(out))\n"
    )
    names = ",".join(name for _, name in RANX)
    # Compiling its functions would take minutes.
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), ",".join(about["systems"]), names],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 2 * len(about["systems"])
    for key, values in found.items():
        system, split = key.split(" ")
        for ours, theirs in RANX:
            assert abs(values[theirs] - metrics[system][split]["all"][ours]) < 1e-9, (key, ours)


def test_recbole_s_definitions_find_our_figures(odd):
    """The matrix ``rec.topk`` of its collector, and its metrics (recbole.evaluator.metrics), written anew."""
    folder, metrics, about = written(odd, "recbole")
    for split in ("val", "test"):
        true = pd.read_csv(folder / split / "qrels.inter", sep="\t", dtype=str)
        assert list(true.columns) == ["user_id:token", "item_id:token", "position:float"]
        event = ["user_id:token", "position:float"]
        for system in about["systems"]:
            run = pd.read_csv(folder / split / f"{system}.inter", sep="\t", dtype=str)
            assert [c.partition(":")[2] for c in run.columns] == ["token"] * 2 + ["float"] * 3
            both = run.merge(true, on=event, suffixes=("", "_true"))
            both["hit"] = both["item_id:token"] == both["item_id:token_true"]
            both["rank"] = both["rank:float"].astype(int)
            topk = both.pivot_table(index=event, columns="rank", values="hit", aggfunc="any")
            hits = topk.fillna(False).to_numpy(bool)
            assert len(hits) == len(true) == 120
            gain = hits / np.log2(np.arange(2, hits.shape[1] + 2))
            for k in (5, 10):
                expected = metrics[system][split]["all"]
                assert abs(gain[:, :k].sum(1).mean() - expected[f"ndcg@{k}"]) < 1e-9
                assert abs(hits[:, :k].any(1).mean() - expected[f"recall@{k}"]) < 1e-9
            place = np.arange(1, hits.shape[1] + 1)
            assert abs((hits / place).sum(1).mean() - expected["mrr"]) < 1e-9
    ids = {unquote(user) for user in true["user_id:token"]}
    assert ids == set(odd[1].user_ids)
    # Blanks stay: a token may hold them.
    assert any(" " in user for user in true["user_id:token"])


def test_users_of_whom_the_language_model_read_nothing(tmp_path):
    options = {**small_options(tmp_path), "evaluation.max_events": "20", "evaluation.explain": "0"}
    train(load_config(options))
    metrics = evaluate(options["out"], out=tmp_path / "trec", format="trec")
    about = read_json(tmp_path / "trec" / "about.json")
    assert "lm" in about["systems"]
    sizes = check_trec(tmp_path / "trec", metrics, about["systems"])
    assert 0 < sizes["lm"] < sizes["retriever"] == 60
    partial = [name for name, size in sizes.items() if size < 60]
    assert any("qrels-read" in note for note in about["notes"])
    read = read_trec(tmp_path / "trec" / "test" / "qrels-read.txt", 4)
    assert len(read) == sizes["lm"]
    check_trec(tmp_path / "trec", metrics, partial, "qrels-read")
    # Only some users: the figures are theirs.
    some = ["u1", "u2", "u3"]
    metrics = evaluate(options["out"], users=some, out=tmp_path / "few", format="trec")
    about = read_json(tmp_path / "few" / "about.json")
    sizes = check_trec(tmp_path / "few", metrics, [s for s in about["systems"] if s != "lm"])
    assert sizes["retriever"] == 3


def test_a_folder_appears_whole_or_not_at_all(odd, monkeypatch, tmp_path):
    root, interactions = odd
    folder, _, _ = written(odd, "trec", "whole")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_files.RecBoleWriter, "write_run", full)
    with pytest.raises(LkgragError, match=r"cannot write the folder .*No space left"):
        evaluate(root / "out", interactions, out=folder, format="recbole")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(root.glob(".whole*"))
    evaluate(root / "out", interactions, out=folder, format="ranx")
    assert not list(folder.rglob("*.txt"))
    assert (folder / "test" / "qrels.json").is_file()


def test_wrong_calls_are_one_line(odd, tmp_path):
    root, interactions = odd
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    for out, form, error, message in (
        (None, "trec", ConfigError, "format=trec writes a folder"),
        (tmp_path / "a", "trek", ConfigError, "format: must be one of trec, ranx, recbole"),
        (tmp_path / "a", 3, ConfigError, "format: must be one of"),
        (tmp_path / "file", "trec", LkgragError, "needs a folder"),
        (tmp_path / "mine", "ranx", RunError, "holds thesis.tex and no qrels"),
        ("", "ranx", ConfigError, "out: there is no path"),
    ):
        with pytest.raises(error, match=message) as found:
            evaluate(root / "out", interactions, out=out, format=form)
        assert "\n" not in str(found.value)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    assert not (tmp_path / "a").exists()


def test_the_files_of_a_run_are_not_written_over(run_without_lm, tmp_path):
    before = (run_without_lm / "metrics.json").read_bytes()
    for out, words in (
        (run_without_lm / "metrics.json", "a file of the run itself"),
        (run_without_lm / "ranker" / ".." / "report.html", "a file of the run itself"),
        (run_without_lm / "ranker" / "new.json", "a file of the run itself"),
        (tmp_path, "a folder; name a file for the metrics"),
    ):
        with pytest.raises(RunError, match=words):
            evaluate(run_without_lm, out=out)
    assert (run_without_lm / "metrics.json").read_bytes() == before


def test_an_id_like_the_mark_of_an_empty_list_is_encoded():
    for writer in run_files.WRITERS.values():
        names = writer([run_files.NOTHING], [run_files.NOTHING, "b"])
        assert run_files.NOTHING not in (*names.items, *names.users)
        assert [unquote(item) for item in names.items] == [run_files.NOTHING, "b"]


def test_the_command_knows_every_format():
    assert tuple(run_files.WRITERS) == evaluate.FORMATS


def test_the_command_line(run_without_lm, monkeypatch, capsys, tmp_path):
    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["lkgrag.evaluate", f"run={run_without_lm}", *arguments])
        return evaluate.main(), capsys.readouterr().err

    assert call("format=csv", "out=x")[0] == 2
    status, err = call("format=trec")
    assert (status, err.count("\n")) == (2, 1)
    assert "name it by out=trec/" in err
    status, err = call("format=trec", f"out={tmp_path}/t/")
    assert status == 0, err
    metrics, about = (read_json(tmp_path / "t" / f"{n}.json") for n in ("metrics", "about"))
    assert set(check_trec(tmp_path / "t", metrics, about["systems"]).values()) == {60}
    assert not any("encoded" in note for note in about["notes"])
