"""The console command ``lkgrag``: the same commands, by their names alone."""

import importlib
import subprocess
import sys

import pytest
from helpers.console import write_program
from test_layering import COMMANDS as MODULES

import lkgrag
from lkgrag.cli import console
from lkgrag.cli.commands import COMMANDS, SHELLS, called, load_command
from lkgrag.cli.console import main


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs the console command; gives its status, stdout and stderr."""

    def run(*words, program="/usr/bin/lkgrag"):
        monkeypatch.setattr(sys, "argv", [program, *words])
        status = main()
        return status, *capsys.readouterr()

    return run


def test_the_table_has_every_command():
    assert set(COMMANDS) == {*MODULES, "report"}
    for name in COMMANDS:
        module = load_command(name)
        assert module.COMMAND.name == f"lkgrag.{name}"
        assert callable(module.main)


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("--help", "--quiet")])
def test_the_first_page_lists_the_commands(call, words):
    status, out, err = call(*words)
    assert (status, err) == (0, "")
    assert out.startswith("usage: lkgrag COMMAND ")
    assert [line.split()[0] for line in out.splitlines() if line[:3].strip() and line[:2] == "  "][
        : len(COMMANDS) + 1
    ] == [*COMMANDS, "completion"]
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_how_the_command_was_called(call, name):
    module = load_command(name)
    for program, head in (
        ("/usr/bin/lkgrag", "lkgrag"),
        ("/site/lkgrag/__main__.py", "python -m lkgrag"),
    ):
        status, out, _ = call(name, "--help", program=program)
        assert status == 0
        assert out.startswith(f"usage: {head} {name} [key=value ...]")
        assert "python -m lkgrag." not in out.partition("\nexamples:")[2]
        assert call("--help", name, program=program)[1] == out
    sys.argv = [f"/site/lkgrag/{name}.py", "--help"]
    assert called(module.COMMAND.name) == f"python -m lkgrag.{name}"


def test_examples_of_help_follow_the_call(call):
    assert "\n  lkgrag recommend run=exported " in call("export", "--help")[1]
    assert "\n  accelerate launch -m lkgrag.train\n" in call("train", "--help")[1]


def test_it_prints_the_version(call):
    text = f"lkgrag {lkgrag.__version__}\n"
    assert call("--version") == (0, text, "")
    for words in (["train"], ["completion"], ["completion", "bash"]):
        assert call(*words, "--version") == (0, text, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian'. Did you mean 'train'? See lkgrag --help"),
        (
            ["lkgrag.audit"],
            "unknown command 'lkgrag.audit'. Did you mean 'audit'? See lkgrag --help",
        ),
        (["xyz", "a=b"], "unknown command 'xyz'. See lkgrag --help"),
        ([""], "unknown command ''. See lkgrag --help"),
        (["--verbos", "train"], "unknown command '--verbos'. See lkgrag --help"),
        (
            ["completio"],
            "unknown command 'completio'. Did you mean 'completion'? See lkgrag --help",
        ),
        (
            ["preset=quick"],
            "the command is missing before 'preset=quick', as lkgrag train preset=quick; see lkgrag --help",
        ),
        (["completion"], "completion: name one of bash, zsh, fish, as lkgrag completion bash"),
        (
            ["completion", "tcsh"],
            "completion: 'tcsh' is none of bash, zsh, fish, as lkgrag completion bash",
        ),
        (
            ["completion", "bash", "zsh"],
            "completion: 'bash zsh' is none of bash, zsh, fish, as lkgrag completion bash",
        ),
        (["train", "sed=1"], "unknown option 'sed'. Did you mean 'seed'? See --help"),
        (["train", "sed"], "argument 'sed' is not of the form key=value; see --help"),
    ],
)
def test_a_wrong_line_is_answered_in_one_line(call, words, message):
    assert call(*words) == (2, "", f"error: {message}\n")


def test_control_characters_of_a_word_do_not_reach_the_terminal(call):
    _, _, err = call("a\x1b[2J\n" + "b" * 500)
    assert "\x1b" not in err
    assert err.count("\n") == 1
    assert len(err) < 250


def test_words_reach_the_command(call, monkeypatch):
    seen = []
    monkeypatch.setattr(
        importlib.import_module("lkgrag.train"), "main", lambda: seen.append(sys.argv) or 7
    )
    assert call("--quiet", "train", "seed=1", "--debug")[0] == 7
    assert seen == [["lkgrag train", "--quiet", "seed=1", "--debug"]]


def test_an_interruption_while_a_command_is_imported_ends_it(call, monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(console, "load_command", interrupted)
    assert call("train")[0] == 130


@pytest.mark.parametrize("shell", SHELLS)
def test_it_prints_the_completion_of_a_shell(call, shell):
    status, out, err = call("completion", shell)
    assert (status, err) == (0, "")
    assert "argcomplete" in out.lower()
    assert "lkgrag" in out
    assert call("completion", "--help")[1].startswith("usage: lkgrag completion bash|zsh|fish\n")


@pytest.mark.slow
def test_the_program_and_the_module_do_the_same(tmp_path):
    write_program(tmp_path / "bin")
    for start in ([tmp_path / "bin" / "lkgrag"], [sys.executable, "-m", "lkgrag"]):
        wrong = subprocess.run([*start, "trian"], capture_output=True, text=True)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert wrong.stderr.startswith("error: unknown command 'trian'. Did you mean 'train'? See ")
        # The reader of a pipe may close it.
        right = subprocess.run(
            ["bash", "-c", '"$@" --help | head -n 1', "-", *start], capture_output=True, text=True
        )
        assert right.stdout.startswith("usage: ")
        assert right.stderr == ""
