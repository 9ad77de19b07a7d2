"""What the service bears: p50, p99 and requests a second of 1, 8 and 64 clients; a kill and a swap under load.

Every answer is compared with what :class:`lkgrag.Ranker` gives for the same user. The runs are taken from ``--root``,
and trained there if they are missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmarks.common import ROOT, data_roots, put, save, say
from benchmarks.service.answers import compare, truth
from benchmarks.service.clients import PATIENCE, Told, body_of, load
from benchmarks.service.process import served
from lkgrag.config.loading import load_config
from lkgrag.run.pipeline import train
from lkgrag.serving.ranker import Ranker
from lkgrag.utils.layout import RANKER

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

NAME = "service"
CLIENTS = (1, 8, 64)
#: Requests of a client count, of a kill or a swap, and with a language model.
REQUESTS = {1: 300, 8: 943, 64: 1886}
WITH_LM = 30


def find_run(root: Path, name: str, options: dict[str, str]) -> Path:
    """A finished run; it is trained if it is missing."""
    folder = root / name
    if not (folder / RANKER).is_dir():
        say(f"service: train {folder}")
        roots = data_roots()
        where = {"data.root": roots["ml-100k"]} if "ml-100k" in roots else {}
        train(load_config({**options, **where, "out": str(folder)}))
    return folder


def measure(root: Path, quick: bool = False) -> dict[str, Any]:
    """All parts.

    Args:
        root: of the runs.
        quick: a tenth of the requests, and no language model.
    """
    run = find_run(root, "ml-100k", {"preset": "quick", "data.name": "ml-100k"})
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    note = f"other work on the machine at the start: a load average of {busy:.1f}"
    result = {"note": note, **measure_run(run, 0.1 if quick else 1.0)}
    if not quick:
        with_lm = find_run(root, "ml-100k-lm", {"data.name": "ml-100k"})
        result["with_lm"] = measure_lm(with_lm, WITH_LM)
    return result


def measure_run(run: Path, share: float = 1.0) -> dict[str, Any]:
    """A run without a language model: load, what sharing a forward pass gives, a kill, a swap.

    Args:
        run: its folder.
        share: of the requests.
    """
    ranker = Ranker.from_pretrained(run, "cpu", "never")
    users = ranker.users()
    right = truth(ranker, users)
    result: dict[str, Any] = {"load": {}, "one_at_a_time": {}}
    for part, options in (("load", ()), ("one_at_a_time", ("together=1",))):
        with served(run, "watch=0", "serving.lm=never", *options) as process:
            asyncio.run(load(process.port, [body_of(u) for u in users[:64]], 4))
            for clients in CLIENTS:
                asked = _turns(users, max(clients, int(REQUESTS[clients] * share)))
                before = process.cpu_seconds()
                told = asyncio.run(load(process.port, [body_of(u) for u in asked], clients))
                cpu = (process.cpu_seconds() - before) / len(asked) * 1000
                row = {**told.figures(), "cpu_ms_a_request": cpu, **compare(told, asked, right)}
                result[part][str(clients)] = row
                say(f"service, {part}, {clients}: {row}")
    result["kill"] = _kill(run, users, right)
    say(f"service, kill: {result['kill']}")
    with tempfile.TemporaryDirectory() as folder:
        result["swap"] = _swap(run, Path(folder) / "run", users, right)
    say(f"service, swap: {result['swap']}")
    return result


def measure_lm(run: Path, requests: int) -> dict[str, Any]:
    """One client of a run with its language model."""
    ranker = Ranker.from_pretrained(run, "cpu", "always")
    users = ranker.users()[:requests]
    right = truth(ranker, users)
    with served(run, "watch=0", "serving.lm=always") as process:
        asyncio.run(load(process.port, [body_of(u) for u in users[:3]], 1))
        before = process.cpu_seconds()
        told = asyncio.run(load(process.port, [body_of(u) for u in users], 1))
        cpu = (process.cpu_seconds() - before) / len(users) * 1000
    return {**told.figures(), "cpu_ms_a_request": cpu, **compare(told, users, right)}


def _turns(users: Sequence[str], number: int) -> list[str]:
    return [users[n % len(users)] for n in range(number)]


def _kill(run: Path, users: Sequence[str], right: dict[str, bytes]) -> dict[str, Any]:
    """Every user's ranking once, while the process is killed and started again after a third."""
    with served(run, "watch=0", "serving.lm=never") as process:
        third = len(users) // 3

        def kill(done: int) -> None:
            if done == third:
                process.kill()
                process.start()

        told = asyncio.run(load(process.port, [body_of(u) for u in users], 8, kill))
    return {"retries": told.retries, **compare(told, users, right)}


def _swap(run: Path, copy: Path, users: Sequence[str], right: dict[str, bytes]) -> dict[str, Any]:
    """Rankings without end, while the run is updated; afterwards all are of the new ranker."""
    shutil.copytree(run, copy)
    with served(copy, "watch=1", "serving.lm=never") as process:
        asked: list[str] = []
        told = Told()
        updating = _start_update(copy)
        end = time.monotonic() + PATIENCE
        rounds_after = 0
        # Two more rounds after the update: the service has looked, loaded and exchanged it by then.
        while rounds_after < 2:
            part = _turns(users, 400)
            one = asyncio.run(load(process.port, [body_of(u) for u in part], 8))
            told.answers.update({len(asked) + n: a for n, a in one.answers.items()})
            told.retries += one.retries
            asked += part
            has_new = _digest(process.port) != _digest_of(run)
            rounds_after += has_new
            if time.monotonic() > end:
                raise RuntimeError("the new ranker was not taken")
        if updating.wait(PATIENCE) != 0:
            raise RuntimeError("the update failed")
    new = truth(Ranker.from_pretrained(copy, "cpu", "never"), users)
    return {"retries": told.retries, **compare(told, asked, right, new)}


def _start_update(run: Path) -> subprocess.Popen[bytes]:
    """Add a user by ``lkgrag.update`` in a process of its own."""
    ids = Ranker.from_pretrained(run, "cpu", "never").context.catalogue.ids[:5]
    new = run.with_name("new.csv")
    pd.DataFrame({"user": "newcomer", "item": ids, "timestamp": range(5)}).to_csv(new, index=False)
    line = [sys.executable, "-m", "lkgrag.update", f"run={run}", f"data.root={new}"]
    line += ["data.reader=table", "unchosen=false"]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, env=os.environ)


def _digest(port: int) -> str:
    """The digest that the service tells of its ranker."""
    # Only here: nothing else needs a whole client.
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as response:
        return str(json.load(response)["ranker"])


def _digest_of(run: Path) -> str:
    from lkgrag.service.served import digest_of

    return str(digest_of(run / RANKER))


def table(result: dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        "| clients | p50, ms | p99, ms | requests a second | together=1 | processor, ms a request | together=1 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for clients, row in result["load"].items():
        alone = result["one_at_a_time"][clients]
        cells = [f"{row[name]:,.0f}" for name in ("p50_ms", "p99_ms", "requests_a_second")]
        cells += [f"{alone['requests_a_second']:,.0f}"]
        cells += [f"{r['cpu_ms_a_request']:.1f}" for r in (row, alone)]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    if "with_lm" in result:
        row = result["with_lm"]
        cells = [f"{row[name]:,.0f}" for name in ("p50_ms", "p99_ms")]
        cells += [f"{row['requests_a_second']:.1f}", "–", f"{row['cpu_ms_a_request']:.0f}", "–"]
        lines.append(f"| 1, language model | {' | '.join(cells)} |")
    return "\n".join(lines)


def service(options: argparse.Namespace) -> int:
    """Measure, store and show; returns the exit status.

    Args:
        options: of the command line: ``root``, ``seed`` and ``quick``.
    """
    result = measure(options.root, options.quick)
    if not options.quick:
        command = f"python -m benchmarks.run {NAME}"
        say(f"wrote {save(NAME, command, options.seed, result)}")
        put(ROOT / "docs" / "serve.md", NAME, table(result))
    print(table(result))
    return 0
