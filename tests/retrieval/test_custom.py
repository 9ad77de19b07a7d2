"""Custom retrievers in stage one."""

import json
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag import Ranker
from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.config.loading import load_config
from lkgrag.data import make_split
from lkgrag.errors import ConfigError, LkgragError, RunError
from lkgrag.evaluation.protocol import systems_of
from lkgrag.kg import build_kg
from lkgrag.retrieval import FusedRetriever, Retriever, fit_stage_one
from lkgrag.retrieval.crossfit import num_folds
from lkgrag.retrieval.custom import custom_systems, fit_custom, save_custom
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.resolver import resolve_system
from lkgrag.run.pipeline import train
from lkgrag.testing import RetrieverTests, planted
from lkgrag.utils.layout import BESIDE

HERE = f"{__name__}:"


class Follows(Retriever):
    """How often each item came right after the latest one: a retriever that a user might write."""

    name = "follows"

    def __init__(self, counts):
        self.counts, self.num_items = counts, len(counts)

    @classmethod
    def fit(cls, interactions, data, device, seed, power=1.0):
        counts = np.zeros((interactions.num_items,) * 2, np.float32)
        for user in range(interactions.num_users):
            sequence = interactions.sequence(user)
            np.add.at(counts, (sequence[:-1], sequence[1:]), 1)
        return cls(counts**power)

    def score(self, histories):
        nothing = np.zeros(self.num_items, np.float32)
        rows = [self.counts[h[-1]] if len(h) else nothing for h in histories]
        return np.stack([nothing, *rows])[1:]

    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        np.save(Path(folder) / "counts.npy", self.counts)

    @classmethod
    def load(cls, folder):
        return cls(np.load(Path(folder) / "counts.npy"))


class TestFollows(RetrieverTests):
    retriever = Follows
    kwargs: ClassVar = {"power": 0.5}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def two_threads(cls):
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        yield
        assert torch.get_num_threads() == 2
        torch.set_num_threads(threads)

    def build(self, interactions, train_end):
        assert torch.get_num_threads() == 1
        return super().build(interactions, train_end)


class Recording(Follows):
    """Keeps what it was shown."""

    name = "recording"
    shown: ClassVar = []

    @classmethod
    def fit(cls, interactions, **given):
        cls.shown.append((interactions, given["data"]))
        return super().fit(interactions, **given)


class Lottery(Follows):
    name = "lottery"

    @classmethod
    def fit(cls, interactions, data, device, seed):
        size = interactions.num_items
        return cls(np.random.rand(size, size).astype(np.float32) + torch.rand(size, size).numpy())


class Scaled(Follows):
    """Scores in another unit."""

    name = "scaled"

    @classmethod
    def fit(cls, interactions, data, device, seed, by):
        self = super().fit(interactions, data, device, seed)
        self.counts *= np.float32(by)
        return self


class Careless(Follows):
    """Changes everything that it is given, and switches gradients off."""

    name = "careless"

    @classmethod
    def fit(cls, interactions, data, device, seed):
        self = super().fit(interactions, data, device, seed)
        interactions.item[:] = 0
        interactions.item_ids.reverse()
        interactions.items["title"] = "?"
        data["user", "rated", "item"].edge_index.zero_()
        torch.set_grad_enabled(False)
        return self


class Taken(Follows):
    name = "ranker"


class Nameless(Follows):
    name = "My Retriever"


class Lengthy(Follows):
    name = "a" * 33


class Beside(Follows):
    name = "fusion"


class Plain(Follows):
    """Its ``fit`` is a method of the object, as in other libraries."""

    name = "plain"

    def fit(self, interactions, data, device, seed):
        return self


class Unfit(Retriever):
    name = "unfit"
    score = save = load = None


class Stubborn(Follows):
    name = "stubborn"

    @classmethod
    def fit(cls, sequences):
        return cls(sequences)


class Namesake(Follows):
    pass


class Broken(Follows):
    name = "broken"

    @classmethod
    def fit(cls, how, **given):
        self = super().fit(**given)
        self.how, self.asked = how, 0
        if how == "fails":
            raise KeyError("nothing there")
        if how == "ends":
            sys.exit(0)
        if how == "other":
            return Follows(self.counts)
        if how == "items":
            self.num_items += 1
        if how == "unsized":
            del self.num_items
        return self

    def score(self, histories):
        self.asked += 1
        if self.how == "asked":
            raise IndexError("too deep")
        if self.how == "changes":
            for history in histories:
                history[:] = 0
        scores = super().score(histories)
        if self.how == "list":
            return scores.tolist()
        if self.how == "double":
            return scores.astype(np.float64)
        if self.how == "narrow":
            return scores[:, 1:]
        if self.how == "nan":
            scores[:, 0] = np.nan
        if self.how == "chance":
            scores[:, 0] += self.asked
        if self.how == "batch":
            scores -= scores.mean(0)
        if self.how == "faint":
            scores *= 1e-4
            scores[:, 0] += 1e-5 * self.asked
        if self.how == "padded":
            # The mean over a batch's columns, those beyond the end of a history among them.
            scores /= max(1, *map(len, histories))
        return scores

    def save(self, folder):
        if self.how == "unsaved":
            raise RuntimeError("no idea how")
        assert Path(folder).is_dir()
        if self.how != "unwritten":
            super().save(folder)

    @classmethod
    def load(cls, folder):
        self = super().load(folder)
        self.how, self.asked = "", 0
        self.counts = self.counts + np.eye(self.num_items, dtype=np.float32)
        return self


def config_of(*targets, **kwargs):
    return RetrievalConfig(
        systems=["popularity", *targets],
        kwargs=kwargs,
        hidden=8,
        blocks=1,
        max_len=8,
        epochs=1,
        k=5,
        crossfit_window=2,
    )


@pytest.fixture(scope="module")
def x():
    return planted(40, 24)


def graph_of(x):
    return lambda end: build_kg(x, end, KGConfig(behaviour_min=1))


def fitted(x, target, **kwargs):
    end = make_split(x, DataConfig()).train_end
    config = config_of(target, **({resolve_system(target).name: kwargs} if kwargs else {}))
    return fit_custom(x, config, 0, target, end, graph_of(x)(end))


def test_it_is_fused_like_any_other(x, tmp_path):
    split = make_split(x, DataConfig())
    config = config_of(f"{HERE}Follows", follows={"power": 0.5})
    stage = fit_stage_one(x, split, graph_of(x), config, 0)
    assert set(stage.report["fusion"]) == {"popularity", "follows"}
    assert stage.report["fusion"]["follows"] > 0
    for lists in (stage.examples, stage.val, stage.test):
        assert "follows" in lists.ranks
    histories = [x.sequence(u)[:3] for u in range(5)]
    stage.retriever.save(tmp_path)
    again = FusedRetriever.load(tmp_path)
    assert isinstance(again.systems["follows"], Follows)
    np.testing.assert_array_equal(again.score(histories), stage.retriever.score(histories))
    # Saved again by what was loaded.
    again.save(tmp_path / "twice")
    once_more = FusedRetriever.load(tmp_path / "twice")
    np.testing.assert_array_equal(once_more.score(histories), again.score(histories))


def test_it_is_shown_training_interactions_only(x):
    split = make_split(x, DataConfig())
    Recording.shown.clear()
    config = config_of(f"{HERE}Recording")
    fit_end, held = split.holdback(x, config.crossfit_window, config.crossfit_users, 0)
    stage = fit_stage_one(x, split, graph_of(x), config, 0)
    assert len(Recording.shown) == 1 + num_folds(config)
    lengths = [np.diff(shown.indptr) for shown, _ in Recording.shown]
    np.testing.assert_array_equal(lengths[0], split.train_end)
    # Each fold misses the windows of its users, and every window is missed by one fold.
    missed = np.stack([split.train_end - n for n in lengths[1:]])
    np.testing.assert_array_equal(missed.sum(0), split.train_end - fit_end)
    assert len(held)
    assert len(stage.examples.events) == len(held)
    for shown, data in Recording.shown:
        assert len(shown) == len(shown.item) == int(shown.indptr[-1]) < len(x)
        for user in range(x.num_users):
            n = len(shown.sequence(user))
            np.testing.assert_array_equal(shown.sequence(user), x.sequence(user)[:n])
        assert data["user", "rated", "item"].num_edges == len(shown)


def test_the_seed_sets_every_global_generator_and_leaves_them_as_they_were(x):
    before = (np.random.get_state()[1].copy(), torch.get_rng_state())
    one = fitted(x, f"{HERE}Lottery")
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    np.random.rand(3)
    torch.rand(3)
    np.testing.assert_array_equal(fitted(x, f"{HERE}Lottery").counts, one.counts)


def test_scores_of_any_size_have_their_weight(x):
    split = make_split(x, DataConfig())
    found = {}
    for by in (1e-3, 1, 1e3):
        config = config_of(f"{HERE}Scaled", scaled={"by": by})
        report = fit_stage_one(x, split, graph_of(x), config, 0).report
        found[by] = report["fusion"]["scaled"] * by, report["test"]["retriever"]["ndcg@10"]
    assert found[1][0] > 0.1
    for by, values in found.items():
        assert values == pytest.approx(found[1], rel=0.01), by


def test_what_it_does_to_its_data_is_its_own(x):
    split = make_split(x, DataConfig())
    titles, ids = x.titles, list(x.item_ids)
    stages = [
        fit_stage_one(x, split, graph_of(x), config_of(f"{HERE}{name}"), 0)
        for name in ("Follows", "Careless")
    ]
    assert torch.is_grad_enabled()
    assert (x.titles, x.item_ids) == (titles, ids)
    np.testing.assert_array_equal(stages[1].test.items, stages[0].test.items)


@pytest.mark.parametrize(
    ("target", "kwargs", "message"),
    [
        ("no_such:X", {}, "no module 'no_such'"),
        (f"{HERE}planted", {}, "no subclass of lkgrag.retrieval.Retriever"),
        ("follows", {}, "no system 'follows'"),
        (f"{HERE}Taken", {}, "the name 'ranker' of Taken belongs to a system of the tables"),
        (f"{HERE}Nameless", {}, "needs a class attribute 'name'"),
        (f"{HERE}Lengthy", {}, "a word of at most 32 small letters"),
        (
            f"{HERE}Beside",
            {},
            "the name 'fusion' of Beside belongs to another part of metrics.json",
        ),
        (f"{HERE}Plain", {}, "Plain has no class method fit (@classmethod)"),
        (f"{HERE}Unfit", {}, "Unfit has no class method fit"),
        (
            f"{HERE}Stubborn",
            {},
            "fit() of Stubborn must take interactions, data, device, seed by name",
        ),
        (f"{HERE}Follows", {"follows": {"pover": 2}}, "no option 'pover'. Did you mean 'power'"),
        (f"{HERE}Follows", {"folows": {}}, "is called 'folows'. Did you mean 'follows'"),
        (f"{HERE}Follows", {"follows": {"seed": 1}}, "'seed' is given by the program"),
        (f"{HERE}Follows", {"follows": 3}, "'follows' takes {option: value}, got 3"),
        (f"{HERE}Broken", {}, "Broken needs the option 'how'; give it"),
    ],
)
def test_what_cannot_be_named(target, kwargs, message):
    with pytest.raises(ConfigError) as error:
        custom_systems(config_of(target, **kwargs))
    assert message in str(error.value)
    assert str(error.value).startswith("retrieval.")


def test_a_module_that_ends_the_program(tmp_path, monkeypatch):
    """A script without ``if __name__ == "__main__"`` must not end the run as if it had succeeded."""
    (tmp_path / "a_script.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot import a_script:X \(SystemExit: 0\)"):
        custom_systems(config_of("a_script:X"))


def test_two_of_one_name():
    with pytest.raises(ConfigError, match="have the same name 'follows'"):
        custom_systems(config_of(f"{HERE}Follows", f"{HERE}Namesake"))
    assert custom_systems(config_of(f"{HERE}Follows", f"{HERE}Follows")) == {
        "follows": f"{HERE}Follows"
    }


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("fails", "fit() of Broken fails with retrieval.kwargs (how='fails'): KeyError"),
        ("ends", "fit() of Broken fails with retrieval.kwargs (how='ends'): SystemExit: 0"),
        ("other", "fit() must return a Broken, got Follows"),
        ("items", "num_items of Broken must be 24, got 25"),
        ("unsized", "num_items of Broken fails (AttributeError: "),
        ("asked", "score() of Broken fails (IndexError: too deep)"),
        ("changes", "score() of Broken changes the histories"),
        ("list", "must return a NumPy array of float32, got list"),
        ("double", "must return a NumPy array of float32, got an array of float64"),
        ("narrow", "histories by items, got [19, 23]"),
        ("nan", "a score that is NaN or infinite"),
        ("chance", "other scores when it is asked again"),
        ("faint", "other scores when it is asked again"),
        ("batch", "other scores when it is asked alone"),
        ("padded", "other scores when it is asked alone"),
    ],
)
def test_what_breaks_the_contract(x, how, message):
    with pytest.raises(ConfigError) as error:
        fitted(x, f"{HERE}Broken", how=how)
    assert str(error.value).startswith(f"retrieval.systems={HERE}Broken: ")
    assert message in str(error.value)


class Backwards(Follows):
    """Its scores have a negative stride and are read-only."""

    name = "backwards"

    def score(self, histories):
        scores = np.ascontiguousarray(super().score(histories)[:, ::-1])[:, ::-1]
        scores.flags.writeable = False
        return scores


@pytest.mark.filterwarnings("error")
def test_scores_of_any_layout(x):
    histories = [x.sequence(user)[:4] for user in range(5)]
    found = fitted(x, f"{HERE}Backwards").evidence(histories)
    np.testing.assert_array_equal(found, fitted(x, f"{HERE}Follows").evidence(histories))


def test_what_is_not_the_same_after_saving(x, tmp_path):
    target = f"{HERE}Broken"
    with pytest.raises(
        ConfigError, match=r"save\(\) of Broken fails \(RuntimeError: no idea how\)"
    ):
        save_custom(fitted(x, target, how="unsaved"), tmp_path, target)
    with pytest.raises(ConfigError, match=r"save\(\) of Broken writes nothing"):
        save_custom(fitted(x, target, how="unwritten"), tmp_path / "new", target)
    with pytest.raises(ConfigError, match=r"other scores after save\(\) and load\(\)"):
        save_custom(fitted(x, target, how=""), tmp_path, target)


MODULE = '''
from pathlib import Path
import numpy as np
from lkgrag.retrieval import Retriever

class Latest(Retriever):
    """Items that came {how} the latest one in the list of items."""
    name = "latest"
    def __init__(self, num_items):
        self.num_items = num_items
    @classmethod
    def fit(cls, interactions, data, device, seed):
        with open(Path(__file__).with_name("fits"), "a") as file:
            file.write("fit\\n")
        return cls(interactions.num_items)
    def score(self, histories):
        last = np.array([[h[-1] if len(h) else 0] for h in histories]).reshape(-1, 1)
        return -np.abs(np.arange(self.num_items) - last - {step}).astype(np.float32)
    def save(self, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        np.save(Path(folder) / "size.npy", self.num_items)
    @classmethod
    def load(cls, folder):
        return cls(int(np.load(Path(folder) / "size.npy")))
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A user's module that can be edited; a file beside it counts its fits."""

    def write(how, step):
        (tmp_path / "someones.py").write_text(MODULE.format(how=how, step=step))
        sys.modules.pop("someones", None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)

    monkeypatch.syspath_prepend(str(tmp_path))
    write("before", -1)
    yield write
    sys.modules.pop("someones", None)


def asked_for(small_run, tmp_path, systems):
    """Options of a run without a language model that fuses these systems."""
    root, options = small_run
    return {
        **options,
        "llm.name": "none",
        "retrieval.systems": systems,
        "cache.root": str(root / "cache-own"),
        "out": str(tmp_path / "out"),
    }


@pytest.mark.slow
def test_a_whole_run(small_run, module, tmp_path):
    asked = asked_for(small_run, tmp_path, "[lrurec,popularity,someones:Latest]")
    train(load_config(asked))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    systems = list(metrics)
    assert set(metrics) <= {*systems_of(metrics), *BESIDE}
    assert systems.index("lrurec") < systems.index("latest") < systems.index("retriever")
    assert "rank_latest" in pd.read_parquet(tmp_path / "out" / "ranks.parquet")
    assert "retrieval.systems=someones:Latest" in metrics["code"]
    assert "latest" in (tmp_path / "out" / "report.html").read_text()

    # In full and for each fold, once; another run finds all in the cache.
    fits = (tmp_path / "fits").read_text().count("fit")
    assert fits == 1 + num_folds(load_config(asked).retrieval)
    train(load_config({**asked, "out": str(tmp_path / "again"), "scorer.pretrain_epochs": "1"}))
    assert (tmp_path / "fits").read_text().count("fit") == fits

    # What serves has it too.
    ranker = Ranker.from_pretrained(tmp_path / "out")
    ranking = ranker.recommend(history=["Thing 3", "Thing 9"], k=8)
    prior = {item.title: item.prior for item in ranking.items}
    assert len(prior) == 8
    assert all(np.isfinite(value) for value in prior.values())

    # Edited, it is another retriever: the run is refused, and a new one fits it again.
    module("after", 1)
    with pytest.raises(
        RunError, match=r"the module of retrieval\.systems=someones:Latest has changed"
    ):
        train(load_config(asked))
    train(load_config({**asked, "overwrite": "true"}))
    assert (tmp_path / "fits").read_text().count("fit") == 2 * fits


@pytest.mark.slow
def test_served_where_its_module_is_not(small_run, module, tmp_path, monkeypatch):
    train(load_config(asked_for(small_run, tmp_path, "[popularity,someones:Latest]")))
    sys.modules.pop("someones", None)
    (tmp_path / "someones.py").unlink()
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    with pytest.raises(
        LkgragError, match=r"retrieval\.systems=someones:Latest: no module 'someones'"
    ):
        Ranker.from_pretrained(tmp_path / "out")


class Tired(Follows):
    """Fails after its trial."""

    name = "tired"
    calls = 0

    def score(self, histories):
        Tired.calls += 1
        if Tired.calls > 20:
            raise ValueError("enough for today " * 500)
        return super().score(histories)


def test_a_retriever_that_fails_after_its_trial_is_told_in_one_short_line(x):
    Tired.calls = 20
    tired = Tired(np.ones((x.num_items,) * 2, np.float32))
    popularity = PopularityRetriever(np.ones(x.num_items, np.int64))
    fused = FusedRetriever({"tired": tired, "popularity": popularity})
    with pytest.raises(
        ConfigError, match=r":Tired: evidence\(\) fails \(ValueError: enough"
    ) as caught:
        fused.score([np.array([1])])
    assert len(str(caught.value)) < 600


class ReadsVectors(Follows):
    name = "reads_vectors"

    @classmethod
    def fit(cls, data, **given):
        assert len(data["item"].x)
        return super().fit(data=data, **given)


def test_a_retriever_that_reads_vectors_is_told_the_option():
    x = planted(20, 12)
    end = make_split(x, DataConfig()).train_end
    data = build_kg(x, end, KGConfig(behaviour_min=1))
    target = f"{__name__}:ReadsVectors"
    config = RetrievalConfig(systems=[target])
    with pytest.raises(ConfigError, match=r"fit\(\) of ReadsVectors fails .*text.encoder=minilm$"):
        fit_custom(x, config, 0, target, end, data)
    data["item"].x = torch.zeros(x.num_items, 3)
    assert fit_custom(x, config, 0, target, end, data).num_items == x.num_items
