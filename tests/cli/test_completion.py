"""What shells offer after ``lkgrag``, from the tables of ``--help``; asked of real shells where they are there."""

import os
import pty
import re
import resource
import select
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.console import write_program

from lkgrag.cli.command import FLAGS
from lkgrag.cli.commands import COMMANDS, SHELLS, load_command
from lkgrag.cli.completion import before_quote, complete, files
from lkgrag.config.fields import config_fields
from lkgrag.config.loading import presets, spaces


def test_commands_are_offered_first():
    assert list(complete([], "")) == [*COMMANDS, "completion"]
    assert list(complete([], "re")) == ["recommend", "report"]
    assert list(complete(["--quiet"], "tr")) == ["train"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_offered_with_its_meaning(name):
    command = load_command(name).COMMAND
    found = complete([name], "")
    keys = set(command.options)
    if command.configurable:
        keys |= {key for key, _ in config_fields()} | {"config"}
    assert set(found) == {f"{key}=" for key in keys}
    assert all(0 < len(text) <= 60 for text in found.values())


def test_an_option_that_is_given_is_not_offered_again():
    assert "seed=" in complete(["train"], "see")
    assert complete(["train", "seed=1"], "see") == {}


def test_flags_are_offered_after_a_dash():
    assert {"--help", "-h", "--debug"} <= set(complete(["train"], "-"))
    assert len(complete(["train"], "--")) == len(FLAGS)


@pytest.mark.parametrize(
    ("words", "prefix", "ends"),
    [
        (["train"], "data.split=", ["leave_one_out", "rolling", "time"]),
        (["train"], "llm.adapter=f", ["full"]),
        (["train"], "training.residual=", ["true", "false"]),
        (["train"], "preset=text", ["text-first"]),
        (["train"], "preset=quick,text", ["quick,text-first"]),
        (["train"], "seed=", []),
        (["train"], "nothing=", []),
        (["recommend"], "format=", ["text", "json", "html", "csv", "parquet"]),
        (["recommend"], "serving.lm=a", ["auto", "always"]),
        (["recommend"], "explain=t", ["true"]),
        (["recommend"], "seed=", []),
        (["export"], "dtype=fl", ["float32", "float16"]),
        (["evaluate"], "format=", ["trec", "ranx", "recbole"]),
        (["count"], "data.ties=", ["hash", "file", "id"]),
        (["tune"], "pruner=", ["quartile", "median", "none"]),
    ],
)
def test_words_of_an_option(words, prefix, ends):
    key = prefix.partition("=")[0]
    assert list(complete(words, prefix)) == [f"{key}={end}" for end in ends]


def test_all_presets_are_offered():
    assert len(complete(["train"], "preset=")) == len(presets()) > 5


def test_words_of_options_are_all_choices_of_the_configuration():
    for key, f in config_fields():
        found = [word.partition("=")[2] for word in complete(["train"], f"{key}=")]
        if f.metadata["choices"]:
            assert found == [str(word).lower() for word in f.metadata["choices"]]


def test_names_of_files_are_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("run-1", "run-2", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "run.csv").write_text("")
    assert list(complete(["recommend"], "run=ru")) == ["run=run-1/", "run=run-2/", "run=run.csv"]
    assert list(complete(["train"], "data.root=run-")) == ["data.root=run-1/", "data.root=run-2/"]
    assert files(f"{tmp_path}/") == [f"{tmp_path}/{x}" for x in ("run-1/", "run-2/", "run.csv")]
    assert files(".h") == [".hidden/"]
    assert files("absent/") == []


@pytest.mark.parametrize(
    ("words", "prefix", "offers"),
    [
        (["evaluate"], "users=", ["users=all", "users=plain.yaml"]),
        (["recommend"], "users=pl", ["users=plain.yaml"]),
        (["count"], "data.root=pl", ["data.root=plain.yaml"]),
        (["count"], "engine.temp=", ["engine.temp=plain.yaml"]),
        (["tune"], "space=", [*(f"space={name}" for name in spaces()), "space=plain.yaml"]),
        (["tune"], "storage=pl", ["storage=plain.yaml"]),
        (["train"], "--config=pl", ["--config=plain.yaml"]),
        (["train"], "--see", ["--seed="]),
        (["train", "--seed=1"], "see", []),
        (["train"], "--q", ["--quiet"]),
        ([], "--see", []),
    ],
)
def test_files_words_and_dashes(words, prefix, offers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.yaml").write_text("")
    # Some file systems have names that are no UTF-8, which no shell can be told.
    with suppress(OSError):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/plbad\xff.yaml")).write_text("")
    assert list(complete(words, prefix)) == offers


def test_what_stands_before_an_open_quote():
    for line, before in {
        'lkgrag train config="my': 7,
        "lkgrag train config='my": 7,
        'lkgrag train "config=my': 0,
        r'lkgrag train a\ b="': 4,
        """lkgrag train 'a' b"c"d="x""": 4,
        "lkgrag train 'a b' \"c": 0,
    }.items():
        assert before_quote(line) == before, line


def test_unknown_commands_get_nothing():
    assert complete(["trian"], "") == {}
    assert list(complete(["completion"], "")) == list(SHELLS)
    assert complete(["completion", "bash"], "") == {}


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A folder with three files, and ``lkgrag`` on the path."""
    write_program(tmp_path / "bin")
    for name in ("one two.csv", "shop.csv"):
        (tmp_path / name).write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def asked(line):
    """The words that bash is given for a line, in the variable that it reads."""
    code = f"""eval "$(lkgrag completion bash)"
COMP_LINE={shlex.quote(line)} COMP_TYPE=9
COMP_POINT=${{#COMP_LINE}}
_python_argcomplete lkgrag
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    out = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
    return out.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lkgrag tra", ["train "]),
        ("lkgrag train llm.ad", ["llm.adapter="]),
        # Bash takes what stands before a sign of equality for a word of its own.
        ("lkgrag train llm.adapter=", ["lora", "full", "auto"]),
        ("lkgrag train seed=1 --quiet preset=quick,text", ["quick,text-first "]),
        ("lkgrag train data.root=one", [r"one\ two.csv "]),
        ("lkgrag train 'data.root=one", ["data.root=one two.csv"]),
        # Behind an open quote, bash replaces what stands behind it.
        ('lkgrag train data.root="one', ["one two.csv"]),
        ("lkgrag train data.root='one", ["one two.csv"]),
        ('lkgrag train preset="qu', ["quick"]),
        ("lkgrag completion b", ["bash "]),
    ],
)
def test_bash(line, words):
    assert asked(line) == words


@pytest.mark.slow
@pytest.mark.usefixtures("shell")
@pytest.mark.skipif(not shutil.which("fish"), reason="needs the shell fish")
def test_fish():
    lines = ["tra", "train llm.ad", "train data.split=", "train data.root=on"]
    asks = "; ".join(f"complete -C 'lkgrag {line}'" for line in lines)
    code = f"lkgrag completion fish | source; {asks}"
    out = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True)
    words = [line.partition("\t")[0] for line in out.stdout.splitlines() if line]
    splits = [f"data.split={word}" for word in ("leave_one_out", "rolling", "time")]
    assert words == ["train", "llm.adapter=", *splits, "data.root=one two.csv"]
    assert "what of the language model learns" in out.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("shell")
@pytest.mark.skipif(not shutil.which("zsh"), reason="needs the shell zsh")
@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("lkgrag tra", "lkgrag train "),
        ("lkgrag train llm.ad", "lkgrag train llm.adapter="),
        ("lkgrag train data.split=ro", "lkgrag train data.split=rolling "),
        ("lkgrag train data.root=on", r"lkgrag train data.root=one\ two.csv "),
    ],
)
def test_zsh(typed, line, tmp_path):
    """The line of an interactive zsh after a Tab."""
    setup = """autoload -Uz compinit; compinit -u; eval "$(lkgrag completion zsh)"
show() { print -r -- "$BUFFER|" > line }; zle -N show; bindkey '^X' show; touch ready
"""
    main, side = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=side, stdout=side, stderr=side, start_new_session=True
    )
    try:
        os.write(main, setup.encode())
        wait_for(tmp_path / "ready", main)
        os.write(main, f"{typed}\t\x18".encode())
        assert wait_for(tmp_path / "line", main).rstrip("\n") == f"{line}|"
    finally:
        process.kill()
        process.wait()
        os.close(main)
        os.close(side)


def wait_for(path, terminal):
    """The text of a file that a shell writes; what it prints meanwhile is read, since it would wait otherwise."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
        if path.exists() and (path.name == "ready" or path.read_text().endswith("\n")):
            return path.read_text()
    raise TimeoutError(path)


@pytest.mark.slow
@pytest.mark.usefixtures("shell")
def test_a_shell_is_answered_at_once():
    """In less than .3 seconds, and without the libraries that would take longer."""
    line = "lkgrag train preset="
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    environment |= {"_ARGCOMPLETE_STDOUT_FILENAME": "out", "PYTHONPROFILEIMPORTTIME": "1"}
    seconds = []
    for _ in range(3):
        # Of the processor: other programs do not count.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = subprocess.run(
            ["lkgrag"], env=environment, capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    imported = set(re.findall(r"\| +([\w.]+)$", out.stderr, flags=re.M))
    assert "argcomplete" in imported
    assert not imported & {"torch", "numpy", "pandas", "rich", "omegaconf"}
    assert min(seconds) < 0.3
