"""Engines: counting, an index of items, a store of rows, and rankings of everyone, each at the sizes it is made for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.common import data_roots, judge, save, say, stored
from benchmarks.engines import bulk, cluster, counting, index, nodes, page, picture, store
from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

#: In the order in which they are measured.
PARTS = ("crossover", "index", "counting", "cluster", "store", "bulk", "nodes")
NAME, COMMAND = "engines", "python -m benchmarks.run engines"
#: Sizes of the part cluster, unless others are asked for.
OF_CLUSTER = ("1M", "10M")


def engines(options: argparse.Namespace) -> int:
    """Measure the parts that are asked for; returns the exit status.

    Args:
        options: of the command line: ``only``, ``data``, ``quick``, ``seed``, ``threads``, ``root`` and ``run``.

    Raises:
        ConfigError: a size is unknown, or the part bulk has no run.
    """
    wanted = options.only or PARTS
    if "bulk" in wanted and options.run is None:
        raise ConfigError("the part bulk needs a ranker: name a finished run by --run FOLDER")
    known = {**counting.SIZES, **index.SIZES, **store.SIZES}
    for name in options.data or []:
        if name not in known:
            raise ConfigError(f"--data {name}: there are {', '.join(known)}")
    for part in PARTS:
        if part not in wanted:
            continue
        for found in _measure(part, options):
            whole = _judged({**(stored(NAME) or {}), part: found})
            if not options.quick:
                say(f"wrote {save(NAME, COMMAND, options.seed, whole)}")
                page.write_page(whole)
                picture.write_picture()
    return 0


def _measure(part: str, options: argparse.Namespace) -> Iterator[Any]:
    """Yield a part's result each time that more of it is measured."""
    seed, quick = options.seed, options.quick
    # Stored sizes stay beside those that are measured now.
    before = {} if quick else (stored(NAME) or {}).get(part, {})
    if part == "crossover":
        yield counting.crossover(seed, counting.SCALES[:1] if quick else counting.SCALES)
    elif part == "index":
        yield from index.measure(_sizes(options, index.SIZES), [*index.INDICES], seed, before)
    elif part == "counting":
        sizes, threads = _sizes(options, counting.SIZES), max(1, options.threads)
        yield from counting.measure(sizes, options.root, threads, seed, before)
    elif part == "cluster":
        sizes = _sizes(options, counting.SIZES, OF_CLUSTER)
        yield from cluster.measure(sizes, options.root, seed, before)
    elif part == "store":
        yield from store.measure(_sizes(options, store.SIZES), options.root, quick, seed, before)
    elif part == "bulk":
        found = bulk.measure(options.run, quick)
        print(bulk.table(found))
        yield found
    else:
        measured = nodes.measure(data_roots(), seed, quick)
        print(nodes.table(measured))
        yield measured


def _sizes(
    options: argparse.Namespace, known: Iterable[str], usual: Iterable[str] | None = None
) -> list[str]:
    """The sizes of a part: the smallest with ``--quick``, else those of ``--data`` that it knows."""
    known = [*known]
    if options.quick:
        return known[:1]
    return [name for name in dict.fromkeys(options.data or usual or known) if name in known]


def _judged(whole: dict[str, Any]) -> dict[str, Any]:
    """The result with its targets."""
    values = {
        "C5": counting.peak_of(whole.get("counting", {})),
        **bulk.values(whole.get("bulk")),
        **index.values_of(whole.get("index", {})),
        **store.values(whole.get("store")),
    }
    return {**whole, "targets": judge("C", values, suite=NAME)}
