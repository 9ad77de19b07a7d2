"""Spaces: what their files may say, and one line for everything else."""

import optuna
import pytest

from lkgrag.config.loading import load_config, spaces
from lkgrag.errors import ConfigError
from lkgrag.tuning.space import Parameter
from lkgrag.tuning.space_file import read_space

GOOD = {
    "a range": ("retrieval.lr: {low: 0.001, high: 0.01, log: true}", 0.001, 0.01),
    "nested": ("retrieval:\n  lr: {low: 1e-3, high: 1e-2}", 0.001, 0.01),
    "whole numbers": ("retrieval: {epochs: {low: 4, high: 12, step: 4}}", 4, 12),
    "a point": ("retrieval.decay: {low: 0.8, high: 0.8}", 0.8, 0.8),
    "optional": ("retrieval.crossfit_folds: {low: 1, high: 4}", 1, 4),
    "a mapping": ("scorer: {kwargs: {dim: {low: 8, high: 32, log: true}}}", 8, 32),
    "a dotted mapping": ("scorer.kwargs.dim: {low: 8, high: 32}", 8, 32),
    "anchors": (
        "x: &x {low: 1, high: 2}\nscorer.kwargs.dim: *x".replace("x: &x", "paths.max_length: &x"),
        1,
        2,
    ),
}
LISTS = {
    "numbers": ("retrieval.k: {choices: [10, 20]}", [10, 20]),
    "words": ("prompt.choice: {choices: [salience, random]}", ["salience", "random"]),
    "switches": ("paths.through_items: {choices: [yes, no]}", [True, False]),
    "nothing": ("retrieval.crossfit_folds: {choices: [null, 2]}", [None, 2]),
    "lists": ("kg.exclude: {choices: [[], [co_rated, x]]}", [[], ["co_rated", "x"]]),
    "one": ("retrieval.k: {choices: [10]}", [10]),
    "texts": ("scorer.name: {choices: ['metapath_attention', \"reference\"]}",
              ["metapath_attention", "reference"]),
}  # fmt: skip


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize("name", GOOD)
def test_a_range_is_read(tmp_path, name):
    text, low, high = GOOD[name]
    parameter = read_space(write(tmp_path, text)).parameters[-1]
    assert (parameter.low, parameter.high) == (low, high)
    assert type(parameter.low) is type(low)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_read(tmp_path, name):
    text, values = LISTS[name]
    (parameter,) = read_space(write(tmp_path, text)).parameters
    assert list(parameter.choices) == values
    trial = optuna.create_study().ask()
    assert parameter.suggest(trial) in values
    for value in values:
        load_config({}, {parameter.key: value})


BAD = {
    "empty": ("", "mapping of options"),
    "null": ("null", "mapping of options"),
    "a comment": ("# nothing", "mapping of options"),
    "an empty mapping": ("{}", "names no option"),
    "a list": ("[1, 2]", "mapping of options"),
    "a word": ("default", "mapping of options"),
    "no YAML": ("a: [1, 2", "not readable as YAML"),
    "two documents": ("retrieval.k: {choices: [1]}\n---\nb: 1", "not readable as YAML"),
    "no UTF-8": (b"\xff\xfe\x00", "not readable as YAML"),
    "a tab": ("retrieval:\n\tlr: {low: 1, high: 2}", "not readable as YAML"),
    "unknown": ("retrieval.lrr: {low: 1, high: 2}", "Did you mean 'retrieval.lr'"),
    "an unknown section": ("retrievel: {lr: {low: 1, high: 2}}", "unknown option 'retrievel'"),
    "unknown below a section": ("retrieval: {lrr: {low: 1, high: 2}}", "retrieval.lrr"),
    "a section": ("retrieval: 3", "'retrieval' is a section"),
    "a section as a range": ("retrieval: {low: 1, high: 2}", "retrieval.low"),
    "a number": ("retrieval.lr: 0.1", "retrieval.lr': give its values as {low"),
    "a bare list": ("retrieval.k: [10, 20]", "retrieval.k': give its values as {low"),
    "nothing": ("retrieval.k:", "retrieval.k': give its values as {low"),
    "an empty value": ("retrieval.k: {}", "low is missing"),
    "without high": ("retrieval.lr: {low: 0.1}", "high is missing"),
    "without low": ("retrieval.lr: {high: 0.1}", "low is missing"),
    "another word": ("retrieval.lr: {low: 0.1, hihg: 0.2}", "Did you mean 'high'"),
    "both": ("retrieval.k: {low: 1, high: 2, choices: [1]}", "exclude one another"),
    "choices and log": ("retrieval.k: {choices: [1], log: true}", "choices and log exclude"),
    "low above high": ("retrieval.lr: {low: 0.2, high: 0.1}", "low=0.2 is more than high=0.1"),
    "log and step": ("retrieval.k: {low: 1, high: 9, log: true, step: 2}", "log and step"),
    "log from 0": ("retrieval.lr: {low: 0, high: 1, log: true}", "log needs low above 0"),
    "log as a number": ("retrieval.lr: {low: 1, high: 2, log: 2}", "log is true or false"),
    "log as a list": ("retrieval.lr: {low: 1, high: 2, log: [true]}", "log is true or false"),
    "a step of 0": ("retrieval.k: {low: 1, high: 9, step: 0}", "step must be above 0"),
    "a negative step": ("retrieval.k: {low: 1, high: 9, step: -2}", "step must be above 0"),
    "a step that misses": ("retrieval.k: {low: 1, high: 9, step: 3}", "steps of 3 do not lead"),
    "half a step": ("retrieval.k: {low: 1, high: 9, step: 0.5}", "takes a whole number"),
    "a fraction": ("retrieval.k: {low: 1.5, high: 9}", "'retrieval.k' takes a whole number"),
    "a word as low": ("retrieval.k: {low: few, high: 9}", "'retrieval.k' takes a whole number"),
    "a switch as low": ("retrieval.lr: {low: true, high: 9}", "takes a number"),
    "null as low": ("retrieval.lr: {low: null, high: 9}", "takes a number"),
    "null as low of an optional one": ("retrieval.crossfit_folds: {low: null, high: 3}",
                                       "takes a whole number, got null"),
    "a list as low": ("retrieval.lr: {low: [1], high: 9}", "takes a number"),
    "infinity": ("retrieval.lr: {low: 0, high: .inf}", "finite number"),
    "no number": ("retrieval.lr: {low: .nan, high: 1}", "finite number"),
    "a huge number": ("retrieval.k: {low: 1, high: 99999999999999999999999}", "below 2**53"),
    "below the option's range": ("retrieval.dropout: {low: -0.1, high: 0.5}", "must be 0 to 0.99"),
    "above the option's range": ("retrieval.dropout: {low: 0.1, high: 1.5}", "must be 0 to 0.99"),
    "a choice out of range": ("retrieval.k: {choices: [0, 10]}", "must be at least 1"),
    "a range of words": ("prompt.choice: {low: 1, high: 2}", "has no range; give choices"),
    "a range of switches": ("kg.users: {low: 0, high: 1}", "has no range; give choices"),
    "a range of lists": ("kg.exclude: {low: 0, high: 1}", "has no range; give choices"),
    "no word of the option": ("prompt.choice: {choices: [salient]}", "Did you mean 'salience'"),
    "a wrong type": ("retrieval.k: {choices: [10, many]}", "takes a whole number"),
    "no choice": ("retrieval.k: {choices: []}", "a value or more"),
    "choices as a number": ("retrieval.k: {choices: 10}", "a value or more"),
    "choices as a mapping": ("retrieval.k: {choices: {a: 1}}", "a value or more"),
    "choices as nothing": ("retrieval.k: {choices: }", "a value or more"),
    "a choice twice": ("retrieval.k: {choices: [10, 20, 10]}", "10 stands there twice"),
    "a list twice": ("kg.exclude: {choices: [[a], [a]]}", "[a] stands there twice"),
    "a list for a number": ("retrieval.k: {choices: [[10]]}", "takes a whole number"),
    "too many": (f"retrieval.k: {{choices: {list(range(1, 1100))}}}", "more than 1,000"),
    "null of what needs a value": ("retrieval.k: {choices: [null]}", "got null"),
    "an option twice": ("retrieval.k: {choices: [1]}\nretrieval.k: {choices: [2]}", "twice"),
    "an option twice, nested": ("retrieval.k: {choices: [1]}\nretrieval: {k: {choices: [2]}}",
                                "'retrieval.k' stands there twice"),
    "a word twice": ("retrieval.lr: {low: 1, low: 2, high: 3}", "'low' stands there twice"),
    "a list as a key": ("[a, b]: 1", "a key must be a name"),
    "the seed": ("seed: {low: 0, high: 9}", "a lucky seed"),
    "the split": ("data.split: {choices: [rolling]}", "it decides what is validated"),
    "the data": ("data: {min_user: {low: 1, high: 9}}", "it decides what is validated"),
    "the judge": ("evaluation.max_events: {choices: [1]}", "how trials are judged"),
    "what may be known": ("kg.temporal: {choices: [true]}", "what may be known"),
    "the place": ("out: {choices: [a]}", "changes no result"),
    "the cache": ("cache.root: {choices: [a]}", "changes no result"),
    "the threads": ("threads: {low: 1, high: 2}", "changes no result"),
    "the tracker": ("training.tracker: {choices: [none]}", "changes no result"),
    "an option that the scorer lacks": ("scorer.kwargs.dimm: {low: 1, high: 2}",
                                        "takes no 'dimm'. Did you mean 'dim'"),
    "a word in a mapping": ("scorer.kwargs.dim: {low: few, high: 2}", "low must be a number"),
    "a list within itself": ("scorer.kwargs.a: {choices: [&a [*a]]}", "within its own anchor"),
    "a mapping within itself": ("scorer: {kwargs: &a {x: *a}}", "within its own anchor"),
    "a bomb": ("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
               "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
               "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]",
               "more than 1,000,000 values"),
    "a merge of a number": ("<<: 3", "'<<' takes a mapping"),
    "a merge of a number, deeper": ("retrieval: {<<: 3}", "'<<' takes a mapping"),
    "endless steps": ("retrieval.lr: {low: 0.1, high: 1, step: 1e-300}", "leave step out"),
    "an option within another": ("scorer.kwargs.dim: {choices: [1]}\nscorer.kwargs: {choices: [{dim: 2}]}",
                                 "'scorer.kwargs.dim' is within 'scorer.kwargs'"),
    "deep nesting": ("a: " + "[" * 3000, "not readable as YAML"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_space_gets_one_line_that_names_the_file(tmp_path, name):
    text, words = BAD[name]
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_space(path).for_scorer(load_config({}))
    assert words in str(error.value)
    assert str(error.value).startswith("space=")
    assert "mine" in str(error.value)
    assert len(str(error.value)) < 500


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"Did you mean 'default'\? There are: default, "):
        read_space("defalt")
    for name in (tmp_path / "none.yaml", tmp_path, f"{tmp_path}/"):
        with pytest.raises(ConfigError, match="space="):
            read_space(str(name))


@pytest.mark.parametrize("name", spaces())
def test_a_shipped_space_holds_the_defaults_and_every_end_of_it_is_a_configuration(name):
    space = read_space(name).for_scorer(load_config({}))
    own = space.own_values(load_config({}))
    assert {p.key for p in space.parameters} - own.keys() <= {
        "scorer.kwargs.dim",
        "scorer.kwargs.dropout",
    }
    for parameter in space.parameters:
        for value in parameter.choices or (parameter.low, parameter.high):
            load_config({}, {parameter.key: value})


def test_a_shipped_space_leaves_out_what_the_scorer_does_not_take():
    config = load_config({"scorer.name": "shortest"})
    keys = {p.key for p in read_space("default").for_scorer(config).parameters}
    assert "scorer.pretrain_lr" in keys
    assert not any(key.startswith("scorer.kwargs.") for key in keys)


@pytest.mark.parametrize("network", ["graphsage", "hgt", "kgat", "lightgcn", "nbfnet", "rgcn"])
def test_a_shipped_space_has_what_a_network_takes(network):
    config = load_config({"scorer.name": network})
    keys = {p.key for p in read_space("default").for_scorer(config).parameters}
    assert "scorer.kwargs.dim" not in keys
    assert "scorer.kwargs.dropout" in keys


def test_a_fractional_step_makes_a_range_of_decimals(tmp_path):
    text = "scorer.kwargs.dropout: {low: 0, high: 1, step: 0.25}"
    (parameter,) = read_space(write(tmp_path, text)).parameters
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {parameter.suggest(study.ask()) for _ in range(60)}
    assert found == {0.0, 0.25, 0.5, 0.75, 1.0}
    text = "scorer.kwargs.dim: {low: 1, high: 5, step: 2.0}"
    (parameter,) = read_space(write(tmp_path, text)).parameters
    assert {repr(parameter.suggest(study.ask())) for _ in range(60)} == {"1", "3", "5"}


def test_own_values_are_those_that_lie_in_the_space(tmp_path):
    text = """
retrieval: {decay: {low: 0.5, high: 0.9, step: 0.1}, k: {choices: [10, 30]}, lr: {low: 1e-3, high: 2e-3}}
scorer: {kwargs: {dim: {choices: [8, 16]}}}
kg.exclude: {choices: [[], [a]]}
"""
    space = read_space(write(tmp_path, text))
    assert space.own_values(load_config({})) == {"retrieval.decay": 0.8, "kg.exclude": []}
    config = load_config({"scorer.kwargs.dim": "8", "retrieval.k": "30"})
    assert space.own_values(config) == {
        "retrieval.decay": 0.8, "retrieval.k": 30, "scorer.kwargs.dim": 8, "kg.exclude": [],
    }  # fmt: skip


def test_truth_values_and_numbers_are_told_apart():
    parameter = Parameter("x", choices=(True, 1, 0, False))
    study = optuna.create_study()
    for value in parameter.choices:
        study.enqueue_trial({"x": parameter.stored(value)})
    assert parameter.contains(True)
    assert not parameter.contains(2)
    # What a study keeps of each is read back as what was tried.
    for value in parameter.choices:
        trial = study.ask()
        assert repr(parameter.suggest(trial)) == repr(value)
        label = study.trials[trial.number].params["x"]
        assert repr(parameter.choices[parameter.labels.index(label)]) == repr(value)
    assert len(set(map(repr, Parameter("x", choices=(1, True, 1.0)).labels))) == 3


def test_steps_have_no_digits_of_rounding(tmp_path):
    text = "retrieval.decay: {low: 0.6, high: 0.95, step: 0.05}"
    (parameter,) = read_space(write(tmp_path, text)).parameters
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = {parameter.suggest(study.ask()) for _ in range(60)}
    assert found == {0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95}
