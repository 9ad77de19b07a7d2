"""What identifies the stages: the digests of three configurations are what they always were."""

import numpy as np
import pytest
import torch

from lkgrag.config.identity import digest, to_dict
from lkgrag.config.loading import load_config
from lkgrag.data import Queries
from lkgrag.evaluation.score_cache import ScoreCache
from lkgrag.run.cache import STAGE_VERSION
from lkgrag.run.keys import StageKeys, hash_custom_code

CONFIGURATIONS = {
    "default": {},
    "beauty": {"preset": "amazon-beauty", "llm.name": "none", "retrieval.kwargs": "{}"},
    "published": {
        "preset": "reference",
        "training.negatives": "uniform",
        "seed": "3",
        "kg.exclude": "[followed_by]",
        "retrieval.systems": "[lrurec,popularity,itemitem]",
    },
}
#: Caches, checkpoints and stored results of earlier versions rest on these.
DIGESTS = {
    "default": {
        "kg": "983566b2eafccafb",
        "lrurec": "e26e17f5dd2a4795",
        "retrieval": "766e763092634df2",
        "scorer": "3ad1647c24eeeb77",
        "training": "b8689af17fd87d67",
        "scores": "d25b853fc150a4bd",
    },
    "beauty": {
        "kg": "5f440000fc43a4bc",
        "lrurec": "e967069b1133146d",
        "retrieval": "a247f4953021caa5",
        "scorer": "f61eba8126e73409",
        "training": "2ebe275af37eddf9",
        "scores": "5a1068757ad9ab24",
    },
    "published": {
        "kg": "492aebc39ee6d09e",
        "lrurec": "86cd85e7a92e5eda",
        "retrieval": "55b1fca2e99084f0",
        "scorer": "89a547d1a3234c4b",
        "training": "9838c07ea0368daf",
        "scores": "10a97f458a261be0",
    },
}


def keys_of(config):
    options = {k: v for k, v in to_dict(config.data).items() if k != "root"}
    return StageKeys({"data": options, "files": "0" * 64}, config)


def stage_digest(stage, key):
    return digest({"version": STAGE_VERSION, "stage": stage, **key})


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_digests_are_what_they_were(name, tmp_path):
    config = load_config(CONFIGURATIONS[name])
    keys, end = keys_of(config), np.arange(5)
    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.fill_(0.5)
        module.bias.fill_(0.25)
    array = np.arange(4, dtype=np.int64).reshape(2, 2)
    queries = Queries(**dict.fromkeys(Queries.__dataclass_fields__, array))
    found = {
        "kg": stage_digest("kg", keys.kg(end)),
        "lrurec": stage_digest("lrurec", keys.lrurec(end, is_validated=False, epochs=4)),
        "retrieval": stage_digest("retrieval", keys.retrieval()),
        "scorer": stage_digest("scorer", keys.scorer()),
        "training": keys.training(prompts=400),
        "scores": ScoreCache(tmp_path, keys.scores()).key(module, queries),
    }
    assert found == DIGESTS[name]


def changed(option, value):
    """Which keys an option changes."""
    before = keys_of(load_config({}))
    after = keys_of(load_config({option: value}))
    end = np.arange(5)
    return {
        name
        for name in ("kg", "lrurec", "retrieval", "scorer", "training", "scores")
        if _key(before, name, end) != _key(after, name, end)
    }


def _key(keys, name, end):
    if name == "kg":
        return keys.kg(end)
    if name == "lrurec":
        return keys.lrurec(end, is_validated=True, epochs=None)
    if name == "training":
        return keys.training(prompts=400)
    return getattr(keys, name)()


@pytest.mark.parametrize(
    ("option", "value", "invalidated"),
    [
        ("kg.follow_window", "4", {"kg", "retrieval", "scorer", "training", "scores"}),
        ("retrieval.hidden", "32", {"lrurec", "retrieval", "scorer", "training", "scores"}),
        ("retrieval.crossfit", "users", {"retrieval", "scorer", "training", "scores"}),
        ("retrieval.crossfit", "windows", set()),
        ("retrieval.crossfit", "true", set()),
        # Two folds are the default of windows, whose lists have no limit.
        ("retrieval.crossfit_folds", "2", set()),
        ("retrieval.crossfit_lists", "7", set()),
        ("retrieval.k", "10", {"retrieval", "scorer", "training", "scores"}),
        ("paths.history", "15", {"scorer", "training", "scores"}),
        ("scorer.pretrain_lr", "0.1", {"scorer", "training", "scores"}),
        ("prompt.history", "3", {"training", "scores"}),
        ("llm.lora_r", "3", {"training", "scores"}),
        ("training.lr", "0.1", {"training"}),
        ("prompt.items", "text", {"training", "scores"}),
        ("llm.adapter", "full", {"training", "scores"}),
        ("training.residual", "true", {"training"}),
        ("training.wordless", "0.5", {"training"}),
        ("training.batch_tokens", "9000", {"training"}),
        ("training.held_out", "0.1", {"training"}),
        # Without held-out users there is nothing to check.
        ("training.check_every", "7", set()),
        ("training.patience", "7", set()),
        ("training.negatives", "uniform", {"scorer", "training"}),
        ("evaluation.batch_size", "3", {"scores"}),
        ("evaluation.bootstrap", "3", set()),
        ("training.micro_batch", "2", set()),
        ("threads", "2", set()),
        ("out", "elsewhere", set()),
    ],
)
def test_an_option_invalidates_what_depends_on_it_and_nothing_else(option, value, invalidated):
    assert changed(option, value) == invalidated


def test_an_encoder_invalidates_what_may_read_vectors_but_no_graph():
    assert changed("text.encoder", "minilm") == {"retrieval", "scorer", "training", "scores"}
    assert changed("text.layer", "3") == set()
    keys = {
        name: keys_of(load_config(options))
        for name, options in {
            "lm": {"text.encoder": "lm"},
            "best": {"text.encoder": "smollm2-135m", "text.layer": "20", "llm.name": "none"},
            "lower": {"text.encoder": "lm", "text.layer": "3"},
            "minilm": {"text.encoder": "minilm"},
        }.items()
    }
    found = {name: digest(key.vectors(["soap", "gel"])) for name, key in keys.items()}
    assert found["lm"] == found["best"]
    assert len(set(found.values())) == 3
    assert found["lm"] != digest(keys["lm"].vectors(["soap gel"]))


def test_text_towers_depend_on_data_encoder_and_seed_alone():
    end = np.arange(5)
    first = digest(keys_of(load_config({})).text(end))

    def other(**options):
        pairs = {name.replace("__", "."): value for name, value in options.items()}
        return digest(keys_of(load_config(pairs)).text(end))

    assert {
        other(retrieval__decay="0.7"),
        other(kg__exclude="[followed_by]"),
        other(retrieval__hidden="32"),
        other(out="elsewhere"),
    } == {first}
    changes = [other(seed="1"), other(text__encoder="minilm"), other(data__name="ml-latest-small")]
    changes.append(digest(keys_of(load_config({})).text(end + 1)))
    assert len({first, *changes}) == 5


def test_only_custom_code_is_hashed():
    config = load_config({})
    assert hash_custom_code(config.retrieval, config.scorer, config.prompt, config.llm) == {}


def test_the_model_of_requests_depends_on_stage_one_and_the_encoder():
    keys = [
        digest(keys_of(load_config(options)).requests())
        for options in (
            {},
            {"retrieval.k": "30"},
            {"text.encoder": "minilm"},
            {"scorer.pretrain_lr": "0.1"},
        )
    ]
    assert len(set(keys[:3])) == 3
    assert keys[3] == keys[0]
