"""The options of a study: their defaults are those that ``--help`` tells, and storages are told apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError
from lkgrag.evaluation.metrics import HEADLINE
from lkgrag.tune import COMMAND
from lkgrag.tuning.options import (
    CONFIRM,
    DISK,
    PRUNERS,
    SAMPLERS,
    TRIALS,
    read_options,
    without_password,
)


def options(**own):
    return read_options({k: str(v) for k, v in own.items()}, load_config({}))


def test_the_defaults_are_those_that_help_tells():
    told = {name: default for name, (default, _) in COMMAND.options.items()}
    assert told["space"] == options().space.name == "default"
    assert (told["trials"], told["disk"]) == (str(TRIALS), f"{DISK:g}")
    assert told["metric"] == options().metric == HEADLINE
    for name, words in {"sampler": SAMPLERS, "pruner": PRUNERS, "confirm": CONFIRM}.items():
        assert told[name] == getattr(options(), name) == words[0]
        assert all(word in COMMAND.options[name][1] for word in words)


def test_a_study_is_named_after_its_data_and_space():
    assert options().study == "ml-100k-default"
    assert options().out == Path("outputs/tune-ml-100k-default")
    assert options(study="a b/c").out == Path("outputs/tune-a-b-c")


@pytest.mark.parametrize(
    ("storage", "url", "database"),
    [
        (None, "sqlite:///outputs/tune-ml-100k-default/study.db", "outputs/tune-ml-100k-default/study.db"),
        ("x.db", "sqlite:///x.db", "x.db"),
        ("/a/x.db", "sqlite:////a/x.db", "/a/x.db"),
        ("sqlite:////a/x.db", "sqlite:////a/x.db", "/a/x.db"),
        ("postgresql://h/db", "postgresql://h/db", None),
    ],
)  # fmt: skip
def test_a_path_is_a_file_of_sqlite_and_a_url_stays(storage, url, database):
    found = options() if storage is None else options(storage=storage)
    assert found.storage == url
    assert found.database == (None if database is None else Path(database))


def test_passwords_are_not_shown():
    one = replace(options(), storage="postgresql+x://me:p%40ss:w@host:5432/db")
    assert one.shown_storage == "postgresql+x://me:***@host:5432/db"
    assert replace(one, storage="postgresql://host/db").shown_storage == "postgresql://host/db"
    slash = "python -m lkgrag.tune storage=postgresql://bob:se/cret@localhost/db trials=3"
    assert without_password(slash) == slash.replace("bob:se/cret", "bob:***")


@pytest.mark.parametrize(
    "storage", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?cache=x"]
)
def test_a_storage_in_memory_is_refused(storage):
    with pytest.raises(ConfigError, match="in memory, so the study would be lost"):
        options(storage=storage)


def test_a_question_mark_would_cut_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"option 'storage': .* has a '\?'"):
        options(storage=f"{tmp_path}/what?/x.db")
    with pytest.raises(ConfigError, match=r"option 'out': .* has a '\?'"):
        read_options({}, load_config({"out": f"{tmp_path}/what?"}))
