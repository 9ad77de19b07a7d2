"""docs/nodes.md: its commands as the launcher reads them, its lines as they are raised, its table. A test of two machines runs its first command."""

import re
import shlex
from pathlib import Path

import pytest
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env
from helpers.pages import blocks, command_lines

from benchmarks.common import stored
from benchmarks.engines import nodes
from lkgrag.config.loading import load_config
from lkgrag.run.shared_training import WORTH

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "nodes.md"
LAUNCH = [block.split("accelerate launch ", 1)[1] for block in blocks(PAGE, "bash")]


@pytest.mark.parametrize(("number", "processes"), [(0, "1"), (1, "4")])
def test_the_launcher_takes_the_commands_of_the_page(number, processes, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(LAUNCH[number].replace("\\\n", " "))
    parsed, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    parsed.machine_rank = 1
    prepare_multi_gpu_env(parsed)
    assert (parsed.nnodes, parsed.nproc_per_node, parsed.node_rank) == ("2", processes, 1)
    assert parsed.rdzv_endpoint == "10.0.0.1:29500"
    assert (ROOT / parsed.config_file).exists()


def test_the_options_of_the_page_are_options():
    for module, words in command_lines(PAGE):
        assert module == "lkgrag.train"
        load_config(dict(word.split("=", 1) for word in words))


def test_the_page_is_short_and_names_lines_that_are_raised():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert f"from {WORTH} labels a step on" in text
    source = "".join(
        (ROOT / "lkgrag" / name).read_text(encoding="utf-8")
        for name in ("utils/meeting.py", "utils/heartbeat.py", "run/agreement.py")
    )
    rows = re.findall(r"^\| (the first|another|the processes)(.*?) \|", text, re.M)
    assert len(rows) == 3
    for begin, rest in rows:
        words = re.sub(
            r"RANK=1|at \.\.\.", lambda m: {"RANK=1": "RANK={place.rank}"}.get(m[0], "at"), rest
        )
        assert f"{begin}{words}" in source, words


def test_the_table_is_that_of_the_result():
    found = (stored("engines") or {}).get("nodes")
    table = f"{nodes.table(found)}\n" if found else ""
    assert f"<!-- nodes -->\n{table}<!-- /nodes -->" in PAGE.read_text(encoding="utf-8")
