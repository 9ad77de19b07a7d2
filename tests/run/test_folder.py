"""A run's folder: who may use it, what overwriting deletes, and what a refused run leaves."""

import logging

import pytest

from lkgrag.config.loading import load_config
from lkgrag.errors import DataError, LkgragError, RunError
from lkgrag.run.folder import open_run, run_folder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def config_of(folder):
    """The configuration of a run in that folder."""

    def build(**options):
        changed = {key.replace("__", "."): value for key, value in options.items()}
        return load_config({"out": str(folder), **changed})

    return build


def carry_out(config, error=None, **files):
    """A run that writes files, and ends or raises an error."""
    with open_run(config) as folder:
        for name, content in files.items():
            (folder / name.replace("_", ".")).write_text(content)
        if error is not None:
            raise error


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_holds_the_whole_configuration_and_the_log(config_of, folder):
    with open_run(config_of(seed="3")) as opened:
        assert opened == folder
        logging.getLogger("lkgrag.somewhere").info("a line of the run")
    logging.getLogger("lkgrag.somewhere").info("a line after it")
    assert names(folder) == [".lock", "config.yaml", "run.log"]
    assert load_config({"config": str(folder / "config.yaml")}) == config_of(seed="3")
    log = (folder / "run.log").read_text()
    assert "INFO lkgrag.somewhere: a line of the run" in log
    assert "a line after it" not in log


def test_without_out_the_name_follows_from_the_configuration():
    first, second = (run_folder(load_config({"seed": seed})) for seed in ("0", "1"))
    assert first == run_folder(load_config({}))
    assert first.parent.name == "outputs"
    assert first != second


def test_a_folder_in_use_is_refused_and_free_afterwards(config_of, folder):
    with (
        open_run(config_of()),
        pytest.raises(RunError, match=rf"the run {folder} is in use by a living process \(pid"),
        open_run(config_of()),
    ):
        pytest.fail("opened twice")
    with pytest.raises(ValueError, match="a fault"):
        carry_out(config_of(), ValueError("a fault"))
    carry_out(config_of())


def test_the_other_processes_neither_wait_nor_write(config_of, folder):
    with open_run(config_of(), is_main=False) as opened:
        assert opened == folder
        assert not folder.exists()
    with open_run(config_of()), open_run(config_of(), is_main=False) as opened:
        assert opened == folder


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("seed", "1", "seed=0, not 1"),
        ("training__lr", "0.5", r"training\.lr=.*, not 0\.5"),
        ("retrieval__systems", "[popularity]", r"retrieval\.systems=.*, not \['popularity'\]"),
    ],
)
def test_another_configuration_is_refused_and_named(config_of, folder, option, value, message):
    carry_out(config_of(), curve_json="{}")
    before = (folder / "config.yaml").read_bytes()
    with (
        pytest.raises(RunError, match=rf"holds a run with {message}: .*overwrite=true"),
        open_run(config_of(**{option: value})),
    ):
        pytest.fail("opened with other options")
    assert (folder / "config.yaml").read_bytes() == before
    assert (folder / "curve.json").exists()


def test_a_resumed_run_may_be_carried_out_in_another_way(config_of, folder):
    carry_out(config_of(threads="1"))
    carry_out(config_of(threads="2"))
    assert load_config({"config": str(folder / "config.yaml")}).threads == 2
    # A finished one keeps the configuration that it was carried out with.
    (folder / "metrics.json").write_text("{}")
    carry_out(config_of(threads="3"))
    assert load_config({"config": str(folder / "config.yaml")}).threads == 2


def test_what_a_killed_process_was_writing_is_swept(config_of, folder):
    carry_out(config_of())
    (folder / ".ranks.parquet.abc.tmp").write_text("half")
    carry_out(config_of())
    assert names(folder) == [".lock", "config.yaml", "run.log"]


def test_overwriting_deletes_the_old_run(config_of, folder):
    carry_out(config_of(), metrics_json="{}", curve_json="{}")
    (folder / "ranker").mkdir()
    (folder / "ranker" / "config.yaml").write_text("seed: 0\n")
    carry_out(config_of(seed="1", overwrite="true"))
    assert names(folder) == [".lock", "config.yaml", "run.log"]
    assert load_config({"config": str(folder / "config.yaml")}).seed == 1


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.txt": "years of work"},
        {"thesis.txt": "years of work", "config.yaml": "model: {name: other}\n"},
        {"thesis.txt": "years of work", "config.yaml": "no: [yaml"},
        {"thesis.txt": "years of work", "config.yaml": "- a list\n"},
    ],
)
def test_overwriting_deletes_runs_only(config_of, folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    with (
        pytest.raises(RunError, match=r"and no run: overwrite=true deletes runs only"),
        open_run(config_of(overwrite="true")),
    ):
        pytest.fail("opened a folder of someone else")
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_overwriting_deletes_no_other_run_below(config_of, folder):
    carry_out(config_of(), metrics_json="{}")
    (folder / "other").mkdir()
    (folder / "other" / "config.yaml").write_text("seed: 7\n")
    with (
        pytest.raises(RunError, match=r"holds the run other below its own"),
        open_run(config_of(overwrite="true")),
    ):
        pytest.fail("opened")
    assert (folder / "other" / "config.yaml").read_text() == "seed: 7\n"
    assert (folder / "metrics.json").exists()


def test_an_empty_folder_and_the_rest_of_a_refused_run_may_be_overwritten(config_of, folder):
    folder.mkdir()
    carry_out(config_of(overwrite="true"))
    (folder / "config.yaml").unlink()
    carry_out(config_of(overwrite="true"))
    assert names(folder) == [".lock", "config.yaml", "run.log"]


def test_a_refused_run_leaves_nothing(config_of, folder):
    with pytest.raises(DataError):
        carry_out(config_of(), DataError("no user is left"))
    assert not folder.exists()
    # So the corrected command may take the folder.
    carry_out(config_of(seed="1"))


def test_a_refused_run_leaves_the_results_that_it_has(config_of, folder):
    with pytest.raises(DataError):
        carry_out(config_of(), DataError("a file is broken"), curve_json="{}")
    assert names(folder) == [".lock", "config.yaml", "curve.json", "run.log"]


def test_a_resumed_run_that_is_refused_leaves_its_folder(config_of, folder):
    carry_out(config_of())
    with pytest.raises(DataError):
        carry_out(config_of(), DataError("a file is broken"))
    assert names(folder) == [".lock", "config.yaml", "run.log"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_an_interrupted_run_leaves_its_folder(config_of, folder, error):
    with pytest.raises(error):
        carry_out(config_of(), error())
    assert "config.yaml" in names(folder)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    config = load_config({"out": str(tmp_path / "file" / "run")})
    with (
        pytest.raises(LkgragError, match=r"cannot write the folder .*file/run: .*choose another"),
        open_run(config),
    ):
        pytest.fail("opened")
