import subprocess
import sys

import pytest

from lkgrag.config import Config
from lkgrag.config.checks import check
from lkgrag.config.fields import config_fields
from lkgrag.config.identity import computed, run_name, to_yaml
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError


def test_overrides_are_typed():
    config = load_config({"retrieval.k": "10", "kg.relations": "[a,b]", "data.root": "x"})
    assert config.retrieval.k == 10
    assert config.kg.relations == ["a", "b"]
    assert config.data.root == "x"


@pytest.mark.parametrize("text", ["007", "no", "::", ",", "|", "\t", " ", "1e5", "a: b", "#x"])
def test_a_text_is_taken_as_typed(text):
    assert load_config({"data.separator": text}).data.separator == text
    assert load_config({"data.root": text}).data.root == text


def test_quotes_and_null_are_yaml_s():
    assert load_config({"data.separator": "'|'"}).data.separator == "|"
    assert load_config({"data.root": "null"}).data.root is None
    columns = load_config({"data.columns": "{user: uid, item: iid}", "data.columns.time": "ts"})
    assert columns.data.columns == {"user": "uid", "item": "iid", "time": "ts"}


@pytest.mark.parametrize(("old", "new"), [("true", "windows"), ("false", "none")])
def test_words_of_older_versions_are_read(old, new, tmp_path):
    asked = load_config({"retrieval.crossfit": new})
    assert asked.retrieval.crossfit == new
    assert load_config({"retrieval.crossfit": old}) == asked
    assert load_config({}, {"retrieval.crossfit": old == "true"}) == asked
    # A saved run of then.
    text = to_yaml(asked).replace(f"crossfit: {new}", f"crossfit: {old}")
    text = text.replace("crossfit_folds: null", "crossfit_folds: 2")
    text = "".join(line for line in text.splitlines(True) if "crossfit_lists" not in line)
    (tmp_path / "config.yaml").write_text(text)
    stored = load_config({"config": str(tmp_path / "config.yaml")})
    assert stored.retrieval.crossfit == new
    # The same run: its folder and caches are still its own.
    assert computed(stored) == computed(asked)
    assert run_name(stored) == run_name(asked)


def test_yaml_round_trip(tmp_path):
    config = load_config({"seed": "3", "scorer.kwargs.hidden": "8", "llm.readout": "letters"})
    (tmp_path / "config.yaml").write_text(to_yaml(config))
    assert load_config({"config": str(tmp_path / "config.yaml")}) == config


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"traning.lr": "1"}, ["traning.lr", "training.lr"]),
        ({"training.learning_rate": "1"}, ["training.learning_rate"]),
        ({"training.lr": "abc"}, ["training.lr", "abc"]),
        ({"llm.readout": "leters"}, ["llm.readout", "letters"]),
        ({"data": "x"}, ["data.name=x"]),
        ({"data": "x", "data.root": "y"}, ["section"]),
        ({"preset": "nope"}, ["nope"]),
        ({"config": "/nope.yaml"}, ["/nope.yaml"]),
        ({"retrieval.k": "0"}, ["retrieval.k"]),
        ({"retrieval.k": "1.5"}, ["retrieval.k"]),
        ({"prompt.history": "50"}, ["prompt.history", "paths.history"]),
        ({"paths.max_length": "5"}, ["paths.max_length"]),
        ({"evaluation.ks": "[]"}, ["evaluation.ks"]),
        ({"retrieval.kwargs": "[a]"}, ["retrieval.kwargs", "takes a mapping"]),
        ({"retrieval.systems": "{a: b}"}, ["retrieval.systems", "takes a list"]),
        # With a space, as YAML reads a mapping.
        ({"retrieval.systems": "[module: Class]"}, ["retrieval.systems", "module"]),
    ],
)
def test_a_bad_option_is_named_in_one_line(overrides, words):
    with pytest.raises(ConfigError) as error:
        load_config(overrides)
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words)


def test_every_option_has_a_meaning():
    for key, f in config_fields():
        assert f.metadata["help"], key
    check(Config())


#: Options that take any number.
FREE = {"data.min_rating", "data.tie_seed"}


def test_every_number_has_a_range_that_holds_its_default():
    for key, f in config_fields():
        number = f.type.removesuffix(" | None") in ("int", "float", "list[int]")
        assert number == (f.metadata["low"] is not None or key in FREE), key
    assert load_config({}) == Config()


@pytest.mark.parametrize(
    ("key", "text", "takes"),
    [
        ("seed", "-1", "0 to 9223372036854775807"),
        ("seed", "18446744073709551616", "0 to 9223372036854775807"),
        ("data.min_rating", "nan", "a finite number"),
        ("data.min_rating", "inf", "a finite number"),
        ("kg.behaviour_min", "0", "at least 1"),
        ("retrieval.hidden", "0", "at least 1"),
        ("retrieval.blocks", "0", "at least 1"),
        ("retrieval.batch_size", "0", "at least 1"),
        ("retrieval.max_len", "0", "at least 1"),
        ("retrieval.epochs", "-1", "at least 0"),
        ("retrieval.lr", "nan", "a finite number, at least 0"),
        ("retrieval.lr", "-1.0", "at least 0"),
        ("retrieval.lr", "inf", "a finite number, at least 0"),
        ("retrieval.dropout", "2.0", "0 to 0.99"),
        ("retrieval.decay", "nan", "a finite number, 0 to 1"),
        ("retrieval.decay", "-0.5", "0 to 1"),
        ("retrieval.crossfit_window", "-5", "at least 0"),
        ("retrieval.crossfit_users", "7.0", "0 to 1"),
        ("retrieval.sampled", "-2", "at least -1"),
        ("paths.max_length", "5", "1 to 4"),
        ("scorer.pretrain_lr", "-1.0", "at least 0"),
        ("prompt.history", "-3", "at least 0"),
        ("llm.lora_dropout", "2.0", "0 to 0.99"),
        ("training.lr", "nan", "a finite number, at least 0"),
        ("training.warmup", "3.0", "0 to 1"),
        ("training.distill", "5.0", "0 to 1"),
        ("training.clip", "-inf", "a finite number, 1e-06 to inf"),
        ("evaluation.bootstrap", "0", "at least 1"),
        ("evaluation.max_events", "-2", "at least -1"),
        ("evaluation.ks", "[5,0]", "at least 1"),
    ],
)
def test_a_number_outside_its_range_is_refused(key, text, takes):
    with pytest.raises(ConfigError) as error:
        load_config({key: text})
    got = text.strip("[]").rpartition(",")[2]
    assert str(error.value) == f"option '{key}' must be {takes}, got {got}"


@pytest.mark.parametrize(
    "option",
    ["threads=-1", "training.clip=inf", "retrieval.decay=0", "training.lr=0", "prompt.paths=0"],
)
def test_the_ends_of_a_range_belong_to_it(option):
    key, text = option.split("=")
    load_config({key: text})


def test_a_long_number_is_cut():
    with pytest.raises(ConfigError, match=r"got -9{59}$"):
        load_config({"seed": "-" + "9" * 400})


def test_a_broken_file_is_an_error(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_config({"config": str(path)})


def test_the_name_of_a_run_ignores_where_and_how():
    base = load_config({})
    assert run_name(base) == run_name(load_config({"threads": "1", "cache.root": "x"}))
    assert run_name(base) == run_name(load_config({"training.micro_batch": "1"}))
    assert run_name(base) != run_name(load_config({"seed": "1"}))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "evaluate", "recommend", "update", "export", "audit"])
def test_help_lists_every_option_without_heavy_libraries(command):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['lkgrag.{command}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('lkgrag.{command}', run_name='__main__')\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'omegaconf', 'rich', 'transformers'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if command == "train":
        for key, _ in config_fields():
            assert f"  {key}=" in done.stdout
        assert "LRURec: dropout [0 to 0.99]" in done.stdout
        assert "  data.separator=\\t\n" in done.stdout
        assert "  data.seq_separator=' '\n" in done.stdout
    usage = done.stdout.split("options" if command == "train" else "  run=")[0]
    assert max(map(len, usage.splitlines())) <= 80


@pytest.mark.slow
def test_an_unknown_option_ends_with_status_2_and_no_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "lkgrag.train", "traning.lr=1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "training.lr" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_language_model_that_is_not_there_cannot_serve():
    with pytest.raises(ConfigError, match=r"serving\.lm=always needs a language model"):
        load_config({"llm.name": "none", "serving.lm": "always"})
    assert load_config({"llm.name": "none", "serving.lm": "never"}).serving.lm == "never"
    with pytest.raises(ConfigError, match=r"serving\.lm.*'alway'.*Did you mean 'always'"):
        load_config({"serving.lm": "alway"})
