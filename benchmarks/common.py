"""What the benchmarks share: data sets at hand, targets, stored results, timing, progress."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lkgrag.run.provenance import commit, environment, hardware, today
from lkgrag.utils.files import atomic, read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TARGETS = Path(__file__).with_name("targets.yaml")
#: Folders of data sets below LKGRAG_DATA.
ROOTS = ("ml-latest-small", "amazon-beauty")


def data_roots() -> dict[str, str]:
    """Folders of the data sets that are at hand, by name."""
    root = os.environ.get("LKGRAG_DATA")
    folders = {name: Path(root) / name for name in ROOTS} if root else {}
    return {name: str(folder) for name, folder in folders.items() if folder.is_dir()}


def judge(
    prefix: str, values: dict[str, float | None], data: str | None = None, suite: str | None = None
) -> list[dict[str, Any]]:
    """Compare every target whose name begins with ``prefix`` with the measured value.

    Args:
        prefix: as ``S``.
        values: measured, by name; a name that is missing was not measured.
        data: the data set, where targets differ by it; a target that has none for it is left out.
        suite: of the targets that name one; by default those that name none.

    Returns:
        ``{name, what, value, target, met}``; ``value: null, met: false`` where not measured.
    """
    rows = []
    entries: Any = OmegaConf.to_container(OmegaConf.load(TARGETS))
    for name, entry in entries.items():
        if not name.startswith(prefix) or entry.get("suite") != suite:
            continue
        value = values.get(name)
        goal = entry["target"]
        if isinstance(goal, dict):
            if data not in goal:
                continue
            goal = goal[data]
        met = value is not None and (value >= goal if entry["at"] == "least" else value <= goal)
        rows.append(
            {"name": name, "what": entry["what"], "value": value, "target": goal, "met": bool(met)}
        )
    return rows


def save(name: str, command: str, seed: int, result: dict[str, Any]) -> Path:
    """Write ``results/NAME.json`` with what is needed to trust it."""
    path = RESULTS / f"{name}.json"
    write_json(path, {**provenance(command), "seed": seed, **result})
    return path


def provenance(command: str) -> dict[str, Any]:
    """Where a result comes from: command, date, hardware, versions, commit."""
    return {
        "command": command,
        "date": today(),
        "hardware": hardware(),
        "versions": environment(),
        "commit": commit(),
    }


def stored(name: str) -> dict[str, Any] | None:
    """The stored result of that name, if there is one."""
    path = RESULTS / f"{name}.json"
    return dict(read_json(path)) if path.exists() else None


def rate(work: Callable[[], Any], amount: int, seconds: float = 1.0, least: int = 1) -> float:
    """Amount a second, of the fastest repeat within a time; a first call warms up.

    Args:
        work: that is repeated.
        amount: that one call does.
        seconds: to spend; more if one call takes longer.
        least: repeats at least.
    """
    work()
    best, spent, repeats = float("inf"), 0.0, 0
    while spent < seconds or repeats < least:
        start = time.perf_counter()
        work()
        took = time.perf_counter() - start
        best, spent, repeats = min(best, took), spent + took, repeats + 1
    return amount / best


def forget_peak() -> None:
    """Reset the system's count of this process's peak memory, where it can be reset (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        say("the peak of memory cannot be reset here; it is that of the whole process")


def peak_mib() -> float | None:
    """Peak memory of this process since :func:`forget_peak`, in MiB; None where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return peak[0] / 1024 if peak else None


def say(text: str) -> None:
    """Print progress on standard error."""
    print(text, file=sys.stderr, flush=True)


def fell(now: float, before: float, share: float = 1 / 3) -> bool:
    """Whether a ratio has fallen by more than a share of the stored one."""
    return now < (1 - share) * before


def probability(p: float) -> str:
    """A p value with three digits."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")


def interval(gap: dict[str, Any]) -> str:
    """A difference with its 95 % interval and p."""
    return f"{gap['mean']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}], {probability(gap['p'])}"


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between a name's markers on a page."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = page.read_text(encoding="utf-8")
    if begin not in whole or end not in whole:
        raise SystemExit(f"{page}: no markers {begin} and {end}")
    before, rest = whole.split(begin, 1)
    after = rest.split(end, 1)[1]
    with atomic(page) as tmp:
        tmp.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
