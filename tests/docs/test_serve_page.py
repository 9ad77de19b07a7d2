"""The commands and the example of docs/serve.md, on a small shop; its table is that of the stored result."""

import re
import threading
from importlib import import_module
from pathlib import Path

import pytest
from helpers.film_shop import write_shop
from helpers.pages import blocks, command_lines
from helpers.small_run import small_options

from benchmarks.common import stored
from benchmarks.service import suite as bench
from lkgrag.config.loading import load_config
from lkgrag.run.pipeline import train
from lkgrag.service import server

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.mark.slow
def test_the_commands_and_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LKGRAG_TOKEN", "a-token-of-openssl-rand")
    options = small_options(tmp_path)
    write_shop(tmp_path, [f"u{n}" for n in range(40)], [f"B{n:03}" for n in range(1, 25)], 0)
    options |= {"llm.name": "none", "out": "outputs/shop", "evaluation.explain": "0"}
    train(load_config(options))
    lines = [(m, w) for m, w in command_lines(PAGE) if m == "lkgrag.serve"]
    assert len(lines) == 3
    (example,) = blocks(PAGE, "python")
    run, asked = server.Server.run, []

    def answer_once(self, sockets):
        """Serve in a thread, while the example asks; then end as by a signal."""
        thread = threading.Thread(target=run, args=(self, sockets))
        address = "http://{}:{}".format(*sockets[0].getsockname())
        thread.start()
        if not asked:
            exec(compile(example.replace("http://127.0.0.1:8000", address), str(PAGE), "exec"), {})
        asked.append(address)
        self.handle_exit(15, None)
        thread.join(60)
        assert not thread.is_alive()

    monkeypatch.setattr(server.Server, "run", answer_once)
    for module, words in lines:
        host_is_other = any(word.startswith("host=") for word in words)
        if not host_is_other:
            monkeypatch.delenv("LKGRAG_TOKEN", raising=False)
        else:
            monkeypatch.setenv("LKGRAG_TOKEN", "a-token-of-openssl-rand")
        free = [word for word in words if not word.startswith("port=")]
        monkeypatch.setattr("sys.argv", [module, *free, "port=0"])
        capsys.readouterr()
        assert import_module(module).main() == 0
        assert "served on http://" in capsys.readouterr().out
    assert len(asked) == 3


def test_the_table_of_the_page_is_that_of_the_result():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    table = bench.table(stored("service"))
    assert f"<!-- service -->\n{table}\n<!-- /service -->" in text


def test_the_page_names_every_path_and_status():
    text = PAGE.read_text(encoding="utf-8")
    for path in ("/recommend", "/recommend/batch", "/items", "/info", "/metrics", "/reload"):
        assert path in text
    app = Path(server.__file__).parent
    used = {
        int(number)
        for file in app.glob("*.py")
        for number in re.findall(r"refusal\(\s*(\d{3})", file.read_text(encoding="utf-8"))
    }
    assert used - {500} <= {int(n) for n in re.findall(r"\b[45]\d\d\b", text)}
