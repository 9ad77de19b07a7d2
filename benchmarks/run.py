"""The benchmark suite: ``python -m benchmarks.run SUITE [--list] [--only PART] [--quick]``.

``quality`` makes the rows of ``benchmarks/quality/quality.yaml`` on every data set and seed (``--data``, ``--seeds`` and
``--only`` take some of them), resumable, below ``--root``, and writes ``benchmarks/results/quality-DATA.json``
with the per-user ranks beside it. ``language`` makes the rows of ``benchmarks/language/language.yaml``: what text adds, and
its controls, on validation (``--test``: on test); ``requests`` measures requests in words, and
``cold`` what text adds for new items and for unseen relations. ``speed`` compares each part with what a user would pick instead and with the
physical limit, on the machine at hand, and writes ``benchmarks/results/speed.json``. Only ratios hold on other
machines. ``scale`` builds and searches graphs of up to 100 times Amazon Beauty's size. ``large`` trains and ranks in
4 bits with a model of Llama-2-7B's shape. ``order`` tells what the order of items of one time does to the stored gains.
``update`` compares a ranker as it was, updated, and trained again, in the order of time. ``service`` asks a service of
ml-100k from 1, 8 and 64 clients, kills it, and exchanges its ranker under load. ``scorers`` compares the path
scorers of ``benchmarks/scorers.yaml`` with the default one, on validation. ``diversity`` tells what more varied
lists cost in NDCG@10, on validation. ``tune`` goes on with studies of ``--trials`` on validation; with ``--test`` it
compares the best and the defaults on test. ``engines`` counts
up to 500 million interactions within 8 GB (``--data 10M`` takes one size; stored sizes are not measured again), and
ranks everyone of ``--run`` by one and two workers of a Ray cluster. ``--only cluster`` counts by one and two workers,
and compares engines of clusters. It also compares an index of up to a million
items with a score of every item (``--only index --data 100k``), and paths from a graph database with those of mapped
tables (``--only store --data 10x``). ``--only nodes`` compares LRURec's training by two processes with that by one.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

#: Module and function of each suite; a suite with parts tells them by ``PARTS`` or ``parts()`` of its module.
SUITES = {
    "cold": ("benchmarks.language.cold_suite", "cold"),
    "diversity": ("benchmarks.diversity", "diversity"),
    "engines": ("benchmarks.engines.suite", "engines"),
    "language": ("benchmarks.language.suite", "language"),
    "large": ("benchmarks.large", "large"),
    "order": ("benchmarks.order", "order"),
    "quality": ("benchmarks.quality.run", "quality"),
    "requests": ("benchmarks.language.asked", "asked"),
    "scale": ("benchmarks.scale.suite", "scale"),
    "scorers": ("benchmarks.scorers", "scorers"),
    "service": ("benchmarks.service.suite", "service"),
    "speed": ("benchmarks.speed.suite", "speed"),
    "tune": ("benchmarks.tune", "tuning"),
    "update": ("benchmarks.update", "growing"),
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 0, 1 where ``--check`` finds a fall, 2 for bad options."""
    from lkgrag.cli.command import prepare_environment
    from lkgrag.errors import LkgragError

    prepare_environment()
    options = _parser().parse_args(argv)
    # Requests are measured with runs of the suite language.
    shared = "language" if options.suite == "requests" else options.suite
    options.root = options.root or Path("outputs", shared)
    parts = parts_of(options.suite)
    if options.list:
        print("\n".join(parts))
        return 0
    for part in options.only or []:
        if part not in parts:
            print(f"--only {part}: there are {', '.join(parts)}", file=sys.stderr)
            return 2
    # One suite alone is imported: each has libraries of its own.
    module, function = SUITES[options.suite]
    try:
        return int(getattr(import_module(module), function)(options))
    except LkgragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--list", action="store_true", help="print the parts and stop")
    parser.add_argument("--only", action="append", metavar="PART", help="measure this part only")
    parser.add_argument(
        "--quick", action="store_true", help="short, no targets, nothing is written"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail where a ratio of speed fell by a third; of quality, make nothing, and fail where "
        "stored figures do not follow from the ranks stored beside them",
    )
    parser.add_argument(
        "--run", type=Path, help="a finished run of lkgrag.train, for the parts whole and bulk"
    )
    parser.add_argument(
        "--rankers",
        type=Path,
        default=Path("outputs/speed"),
        help="of the part serving, which trains those that are missing",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the prompts of speed")
    parser.add_argument("--data", action="append", metavar="NAME", help="this data set only")
    parser.add_argument("--seeds", type=int, metavar="N", help="so many seeds only")
    parser.add_argument("--threads", type=int, default=-1, metavar="N", help="CPU threads a run")
    parser.add_argument(
        "--root", type=Path, help="of the runs (default: outputs/ and the suite's name)"
    )
    parser.add_argument(
        "--test",
        action="store_true",
        help="of language: read test instead of validation; of tune: compare on test, too",
    )
    parser.add_argument("--trials", type=int, default=50, metavar="N", help="of tune, in all")
    return parser


def parts_of(suite: str) -> tuple[str, ...]:
    """The parts of a suite, which ``--only`` takes: of quality and language, their rows."""
    module = import_module(SUITES[suite][0])
    if hasattr(module, "parts"):
        return tuple(module.parts())
    return tuple(getattr(module, "PARTS", ()))


if __name__ == "__main__":
    sys.exit(main())
