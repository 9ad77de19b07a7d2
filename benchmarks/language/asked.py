"""The command ``python -m benchmarks.run requests``: requests in words on Amazon Beauty, measured on validation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, judge, put, save, say
from benchmarks.language.request_page import page_table, target_of
from benchmarks.language.requests import measure_requests
from benchmarks.language.suite import make_runs, read_settings
from lkgrag.data.dataset import Dataset
from lkgrag.kg import load_kg
from lkgrag.retrieval import FusedRetriever, TextRetriever
from lkgrag.serving.saved_run import load_run
from lkgrag.text import EncoderChoice, load_encoder
from lkgrag.utils.layout import KG, RANKER, RETRIEVER

COMMAND = "python -m benchmarks.run requests"
PAGE = ROOT / "docs" / "requests.md"
#: The data set, and the rows of `language.yaml` that give the retrievers with and without an encoder.
DATA, WORDS, ENCODED = "amazon-beauty-clean", "words", "words+minilm"


def asked(options: argparse.Namespace) -> int:
    """Measure requests with the runs of the suite ``language``, which are made if they are missing.

    Args:
        options: of the command line: ``root``, ``threads`` and ``quick``.
    """
    chosen = argparse.Namespace(
        data=[DATA], only=[WORDS, ENCODED], seeds=1, root=options.root, threads=options.threads
    )
    make_runs(read_settings(), chosen)
    rows = measure(options.root / DATA)
    target = target_of(rows)
    values = {
        "L7_paraphrases": target["value"],
        "L7_literal": target["literal"],
    }
    result: dict[str, Any] = {"rows": rows, "targets": judge("L7", values)}
    print(page_table(rows))
    for row in result["targets"]:
        print(f"{row['name']:<14} {row['value']:.3g} of {row['target']:g}{' met' * row['met']}")
    if not options.quick:
        say(f"wrote {save('requests', COMMAND, 0, result)}")
        put(PAGE, "requests", page_table(rows))
    return 0


def measure(runs: Path) -> list[dict[str, Any]]:
    """The rows of every system and kind of request, with the retriever that has an encoder.

    Args:
        runs: folder of the data set's runs.
    """
    folder, config = load_run(str(runs / ENCODED / "0"))
    words, _ = load_run(str(runs / WORDS / "0"))
    data = Dataset.load(config.data)
    choice = EncoderChoice.of(config.text, config.llm)
    tower = FusedRetriever.load(words / RANKER / RETRIEVER).systems[TextRetriever.name]
    if choice is None or not isinstance(tower, TextRetriever):
        raise TypeError(f"{runs}: the runs have no encoder or no text")
    return measure_requests(
        data.interactions,
        FusedRetriever.load(folder / RANKER / RETRIEVER),
        data.split.val,
        load_kg(folder / KG)["item"].x.numpy(),
        load_encoder(choice, "cpu").encode,
        tower,
    )
