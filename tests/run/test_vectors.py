"""Vectors of the items' texts as a stage of a run, and on the graph that trains, is saved and serves."""

import shutil

import pytest
import torch
from helpers.small_run import small_options
from helpers.tiny_bert import save_bert

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, ModelError
from lkgrag.run import stages as stages_module
from lkgrag.run.cache import StageCache
from lkgrag.run.pipeline import train
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.scorer import PathScorer
from lkgrag.text import EncoderChoice, item_texts, load_encoder
from lkgrag.utils.files import read_safetensors
from lkgrag.utils.layout import RANKER


class TextScorer(PathScorer):
    """Weighs a path by how alike the texts of its ends are."""

    def __init__(self, metadata, num_nodes, metapaths, dim):
        super().__init__(metadata, num_nodes, metapaths)
        self.map = torch.nn.Linear(dim, 4)

    def forward(self, data, paths):
        x = self.map(data["item"].x)
        start = paths.history_items[paths.sample, paths.history]
        end = paths.candidate_items[paths.sample, paths.candidate]
        return (x[start] * x[end]).sum(1)


def options_of(root, **changes):
    save_bert(root / "bert")
    return {
        **small_options(root),
        "text.encoder": str(root / "bert"),
        "retrieval.systems": "[popularity,itemitem]",
        "llm.name": "none",
        **changes,
    }


def stages_of(root, options):
    config = load_config(options)
    return Stages(StageCache(root / "cache"), config, load_dataset(config), torch.device("cpu"))


def test_the_vectors_are_computed_once_and_put_on_every_graph(tmp_path, monkeypatch):
    options = options_of(tmp_path)
    stages = stages_of(tmp_path, options)
    config = stages.config
    end = stages.dataset.split.train_end
    data = stages.kg(end)
    encoder = load_encoder(EncoderChoice.of(config.text, config.llm))
    texts = item_texts(stages.dataset.interactions.items)
    torch.testing.assert_close(data["item"].x, torch.from_numpy(encoder.encode(texts)))

    def refuse(*arguments):
        raise AssertionError("encoded again")

    monkeypatch.setattr(stages_module, "load_encoder", refuse)
    again = stages_of(tmp_path, options)
    assert torch.equal(again.kg(end - 1)["item"].x, data["item"].x)
    # The cached graphs hold no copy, so a run without an encoder reads them.
    assert not list((tmp_path / "cache" / "kg").rglob("x.safetensors"))
    without = stages_of(tmp_path, {**options, "text.encoder": "none"})
    assert "x" not in without.kg(end)["item"]
    assert len(list((tmp_path / "cache" / "kg").rglob("done.json"))) == 2


def test_other_texts_are_other_vectors(tmp_path):
    options = options_of(tmp_path)
    stages = stages_of(tmp_path, options)
    before = stages.vectors
    items = stages.dataset.interactions.items
    items["title"] = items["title"].tolist()[::-1]
    other = Stages(stages.cache, stages.config, stages.dataset, stages.device)
    assert not torch.equal(other.vectors, before)


def test_items_without_texts_have_zero_vectors_and_a_warning(tmp_path, caplog):
    stages = stages_of(tmp_path, options_of(tmp_path))
    items = stages.dataset.interactions.items
    items["title"] = None
    items["maker"] = [[] for _ in range(len(items))]
    assert not stages.vectors.any()
    assert "no item has a text" in caplog.text


@pytest.mark.slow
def test_a_scorer_without_an_encoder_is_told_the_option(tmp_path):
    address = f"{__name__}:TextScorer"
    options = options_of(
        tmp_path,
        **{"text.encoder": "none", "scorer.name": address, "scorer.kwargs": "{dim: 16}"},
    )
    with pytest.raises(ConfigError, match=r"TextScorer.*set text.encoder=minilm$"):
        train(load_config(options))


@pytest.mark.slow
def test_an_unknown_encoder_is_refused_before_all_work(tmp_path):
    with pytest.raises(ModelError, match=r"text.encoder=miniml.*Did you mean"):
        train(load_config(options_of(tmp_path, **{"text.encoder": "miniml"})))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_scorer_reads_the_vectors_in_training_and_from_a_saved_ranker(tmp_path):
    address = f"{__name__}:TextScorer"
    options = options_of(tmp_path, **{"scorer.name": address, "scorer.kwargs": "{dim: 16}"})
    config = load_config(options)
    folder = train(config)
    # Nothing of the encoder is needed any longer.
    shutil.rmtree(tmp_path / "bert")
    ranker = Ranker.from_pretrained(folder / RANKER, "cpu")
    data = ranker.context.data
    assert data["item"].x.shape == (data["item"].num_nodes, 16)
    made = ranker.recommend(ranker.context.catalogue.ids[:3], k=5)
    assert len({item.score for item in made.items}) == 5
    saved = {name for path in folder.rglob("*.safetensors") for name in read_safetensors(path)}
    assert "item" in saved
    assert not any("encoder" in name or "embeddings" in name for name in saved)
