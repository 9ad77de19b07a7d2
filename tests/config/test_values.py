"""What is typed, or written in a file, or made in Python, reaches the options as it is."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import Config, DataConfig, KGConfig, RetrievalConfig
from lkgrag.config.checks import WITH_NONE, check
from lkgrag.config.fields import config_fields, value_of
from lkgrag.config.identity import to_dict, to_yaml
from lkgrag.config.loading import expand_paths, load_config
from lkgrag.errors import ConfigError

#: Texts that YAML or a template language reads as something else.
WORDS = [
    "on",
    "off",
    "no",
    "yes",
    "y",
    "n",
    "true",
    "True",
    "1e3",
    "1e2",
    "007",
    "0x10",
    "1_000",
    "1:30",
]
WORDS += [
    "2015-03-31",
    "???",
    "${HOME}",
    "${",
    "${a.b}",
    "$HOME",
    "${oc.env:HOME}",
    "$${x}",
    "nan",
    ".inf",
]
WORDS += [
    "~x",
    "NULL?",
    "None?",
    "=",
    "<<",
    "!x",
    "%a",
    "@b",
    "`c`",
    "é",
    "жанр",
    "執導",
    "-1",
    "+5",
    "1.0",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_text_stays_a_text_everywhere(word, tmp_path):
    assert load_config({"data.name": word}).data.name == word
    assert load_config({"data.test_from": word}).data.test_from == word
    if word != "${":
        assert load_config({"kg.exclude": f"[a,{word},b]"}).kg.exclude == ["a", word, "b"]
        found = load_config({"data.columns": f"{{user: {word}, item: i}}"}).data.columns
        assert found == {"user": word, "item": "i"}
    quoted = load_config({"kg.exclude": f"['{word}']", "data.columns": f"{{user: '{word}'}}"})
    assert quoted.kg.exclude == [word]
    assert quoted.data.columns == {"user": word}
    assert load_config({"data.columns.user": word}).data.columns == {"user": word}
    file = tmp_path / "c.yaml"
    file.write_text(
        f"data:\n  name: '{word}'\n  columns:\n    item: '{word}'\nkg:\n  exclude:\n  - '{word}'\n",
        encoding="utf-8",
    )
    config = load_config({"config": str(file)})
    assert (config.data.name, config.kg.exclude) == (word, [word])
    assert config.data.columns == {"item": word}
    # And as a run writes it down.
    file.write_text(to_yaml(config), encoding="utf-8")
    assert load_config({"config": str(file)}) == config
    assert to_dict(config)["kg"]["exclude"] == [word]


@pytest.mark.parametrize(
    "word", ["on", "off", "no", "1e3", "007", "2015-03-31", "1_000", "1:30", "true"]
)
def test_plain_words_in_files_are_texts(word, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        f"data: {{name: {word}, columns: {{user: {word}}}}}\nkg: {{exclude: [{word}]}}\n"
    )
    config = load_config({"config": str(file)})
    assert (config.data.name, config.data.columns, config.kg.exclude) == (
        word,
        {"user": word},
        [word],
    )


def test_words_of_one_list():
    found = load_config({"kg.exclude": "[on,off,no,1e3,007,???,null,~]"}).kg.exclude
    assert found == ["on", "off", "no", "1e3", "007", "???", "null", "~"]
    found = load_config({"data.columns": "{user: 1e2, item: no, time: 010}"}).data.columns
    assert found == {"user": "1e2", "item": "no", "time": "010"}


def test_a_bare_comma_list():
    assert load_config({"evaluation.ks": "5,10"}).evaluation.ks == [5, 10]
    assert load_config({"evaluation.ks": "5, 10,"}).evaluation.ks == [5, 10]
    assert load_config({"kg.exclude": "on,rated"}).kg.exclude == ["on", "rated"]
    assert load_config({"retrieval.systems": "ease,my:Own"}).retrieval.systems == ["ease", "my:Own"]
    assert load_config({"kg.relations": "null"}).kg.relations is None


def test_free_values_have_their_own_types():
    config = load_config({"scorer.kwargs": "{a: 1e3, b: [1, yes], c: x, d: '${HOME}'}"})
    assert config.scorer.kwargs == {"a": 1000.0, "b": [1, True], "c": "x", "d": "${HOME}"}
    options = {"scorer.kwargs.a": "1e3", "scorer.kwargs.b.c": "2", "scorer.kwargs.e": "null"}
    assert load_config(options).scorer.kwargs == {"a": 1000.0, "b": {"c": 2}, "e": None}
    options = {"retrieval.kwargs": "{mine: {k: 3}}", "retrieval.kwargs.mine.lr": "0.1"}
    assert load_config(options).retrieval.kwargs == {"mine": {"k": 3, "lr": 0.1}}


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("evaluation.ks", "5", ["takes a list, as [5,10]", "'5'", "[5]"]),
        ("evaluation.ks", "abc", ["takes a list, as [5,10]", "'abc'"]),
        ("evaluation.ks", "5,x", ["takes a whole number", "'x'"]),
        ("evaluation.ks", "", ["takes a list", "nothing"]),
        ("evaluation.ks", "null", ["takes a list", "null"]),
        ("evaluation.ks", "{a: 1}", ["takes a list", "a mapping of a"]),
        ("kg.exclude", "rated", ["takes a list, as [a,b]", "[rated]"]),
        ("kg.exclude", "None", ["takes a list", "[]"]),
        ("kg.relations", "None", ["null"]),
        ("data.root", "None", ["'None' is a text", "data.root=null"]),
        ("data.min_rating", "None", ["data.min_rating=null"]),
        ("retrieval.crossfit_folds", "None", ["retrieval.crossfit_folds=null"]),
        ("data.columns", "None", ["takes a mapping, as {user: uid}", "'None'"]),
        ("data.columns", "[a]", ["takes a mapping", "a list"]),
        ("data.columns", "{user:uid}", ["data.columns", "space"]),
        ("data.columns", "{user: [a]}", ["data.columns.user", "takes a text"]),
        ("data.columns", "{user: a, user: b}", ["'user'", "twice"]),
        ("kg.exclude", "[a", ["kg.exclude", "not readable"]),
        ("llm.name", "None", ["llm.name=none"]),
        ("text.encoder", "None", ["text.encoder=none"]),
        ("data.name", "null", ["takes a text", "null"]),
        ("seed", "1.5", ["seed", "takes a whole number", "'1.5'"]),
        ("seed", "true", ["seed", "takes a whole number"]),
        ("seed", "[1]", ["seed", "takes a whole number", "a list"]),
        ("seed", "null", ["seed", "takes a whole number", "null"]),
        ("kg.users", "maybe", ["kg.users", "takes true or false", "'maybe'"]),
        ("kg.users", "2", ["kg.users", "takes true or false"]),
        ("retrieval.lr", "fast", ["retrieval.lr", "takes a number"]),
        ("scorer.kwargs", "5", ["scorer.kwargs", "takes a mapping"]),
        ("scorer.kwargs.", "5", ["unknown option"]),
        ("data.columns.a.b", "5", ["unknown option"]),
        ("data.root.x", "5", ["unknown option"]),
        ("data.root", "", ["data.root", "no path"]),
        ("out", "", ["out", "no path"]),
        ("cache.root", "", ["cache.root", "no path"]),
        ("data.root", "~nobody-of-this-name/x", ["data.root", "no such user"]),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(key, text, words, tmp_path):
    with pytest.raises(ConfigError) as error:
        load_config({key: text})
    assert all(word in str(error.value) for word in words), error.value
    if text and key.count(".") == 1 and "~" not in text and key not in WITH_NONE:
        section, name = key.split(".")
        file = tmp_path / "c.yaml"
        file.write_text(f"{section}:\n  {name}: {text}\n")
        with pytest.raises(ConfigError, match=r"c\.yaml"):
            load_config({"config": str(file)})


@pytest.mark.parametrize("key", ["data.root", "out", "cache.root"])
def test_the_home_folder_in_every_path(key, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert value_of(load_config({key: "~/x"}), key) == str(tmp_path / "x")
    assert value_of(load_config({key: "~"}), key) == str(tmp_path)
    assert value_of(load_config({key: "./~"}), key) == "./~"
    assert value_of(load_config({key: "a/~/b"}), key) == "a/~/b"
    (tmp_path / "c.yaml").write_text("seed: 7\n")
    assert load_config({"config": "~/c.yaml"}).seed == 7
    config = Config(out="~/r", data=DataConfig(root=Path("~/d")))
    assert expand_paths(config).out == str(tmp_path / "r")
    assert expand_paths(config).data.root == str(tmp_path / "d")


def test_what_python_gives():
    config = Config(retrieval=RetrievalConfig(lr=1), kg=KGConfig(exclude=("a", "b")))
    check(config)
    assert to_dict(config)["retrieval"]["lr"] == 1.0
    assert isinstance(to_dict(config)["retrieval"]["lr"], float)
    assert to_dict(config)["kg"]["exclude"] == ["a", "b"]
    for wrong, words in (
        (Config(seed="x"), "seed"),
        (Config(seed=1.5), "seed"),
        (Config(seed=True), "seed"),
        (Config(seed=None), "seed"),
        (Config(seed=float("nan")), "seed"),
        (Config(overwrite=1), "overwrite"),
        (Config(kg=KGConfig(exclude="rated")), "exclude"),
        (Config(kg=KGConfig(exclude=[None])), "exclude"),
        (Config(kg=KGConfig(exclude=[True])), "exclude"),
        (Config(data=DataConfig(columns=["a"])), "columns"),
        (Config(data=DataConfig(root=b"x")), "root"),
        (Config(data=None), "config.data"),
        (Config(data={"name": "x"}), "config.data"),
        (None, "config"),
    ):
        with pytest.raises(ConfigError, match=words):
            check(wrong)


@settings(deadline=None)
@given(st.text(max_size=12).filter(lambda t: "\r" not in t and t != "None"))
def test_any_text_survives_a_file(text):
    config = Config(data=DataConfig(name=text, root=text or None, columns={"user": text}))
    config.kg.exclude = [text, text]
    config.scorer.kwargs = {"a": text}
    from lkgrag.config import loading
    from lkgrag.config.values import compose

    layer = {}
    loading._walk(compose(to_yaml(config)), "", "c", layer)
    assert {key: value_of(config, key) for key, _ in config_fields()} == layer


def test_many_random_values_are_right_or_refused():
    rng = random.Random(0)
    alphabet = "ab05.,:[]{}'\"~$#&*!|>%@-_ \t\n\\=?eé"
    keys = [key for key, _ in config_fields()]
    for _ in range(1200):
        text = "".join(rng.choices(alphabet, k=rng.randint(0, 8)))
        key = rng.choice(keys)
        try:
            config = load_config({key: text})
        except ConfigError as error:
            assert "\n" not in str(error)  # noqa: PT017
            continue
        value = value_of(config, key)
        if isinstance(value, str) and not text.startswith(("'", '"', "~")):
            assert value == text


def test_the_same_file_has_its_keys_once(tmp_path):
    file = tmp_path / "c.yaml"
    for text, words in {
        "seed: 1\nseed: 2\n": "'seed' stands there twice",
        "data: {name: a, name: b}\n": "'name' stands there twice",
        "data: 5\n": "'data' is a section",
        "[1]: 2\n": "must be a name",
        "- a\n": "a mapping of keys",
        "a b": "unknown option",
        "data:\n  rot: x\n": "unknown option 'data.rot'",
    }.items():
        file.write_text(text)
        with pytest.raises(ConfigError, match=words):
            load_config({"config": str(file)})
    file.write_text("data.name: shop\ndata:\nkg:\n  exclude: &x [a]\npaths:\n  exclude: *x\n")
    config = load_config({"config": str(file)})
    assert (config.data.name, config.kg.exclude, config.paths.exclude) == ("shop", ["a"], ["a"])
    file.write_text("")
    assert load_config({"config": str(file)}) == Config()


@pytest.mark.parametrize(
    "text", ["???", "${", "${oc.env:HOME}", "$", "\ue0f0", "\ue0f01", "a\ue0f0$b", "????", "$???"]
)
def test_texts_that_mean_something_to_the_merger_stay_as_they_are(text):
    config = load_config(
        {}, {"data.root": text, "kg.exclude": [text], "scorer.kwargs": {"x": [text]}}
    )
    assert (config.data.root, config.kg.exclude) == (text, [text])
    assert config.scorer.kwargs == {"x": [text]}
