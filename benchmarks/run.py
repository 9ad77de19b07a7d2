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
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, data_roots, fell, judge, put, save, say, stored

SCALE = ("graph", "users", "remote")
ENGINES = ("counting", "crossover", "cluster", "index", "bulk", "store", "nodes")
SPEED = ("paths", "lru", "wording", "lm", "lm-avx2", "whole", "serving", "job")


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
    try:
        return {
            "speed": _speed,
            "scale": _scale,
            "quality": _quality,
            "language": _language,
            "requests": _requests,
            "cold": _cold,
            "large": _large,
            "order": _order,
            "service": _service,
            "scorers": _scorers,
            "tune": _tune,
            "update": _update,
            "diversity": _diversity,
            "engines": _engines,
        }[options.suite](options)
    except LkgragError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument(
        "suite",
        choices=(
            "cold",
            "diversity",
            "engines",
            "language",
            "large",
            "order",
            "quality",
            "requests",
            "scale",
            "service",
            "scorers",
            "speed",
            "tune",
            "update",
        ),
    )
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
    if suite == "cold":
        from benchmarks.language.cold_suite import PARTS

        return PARTS
    if suite == "language":
        from benchmarks.language.suite import COSTS
        from benchmarks.language.suite import read_settings as read_language

        return (*read_language()["rows"], COSTS)
    if suite == "scorers":
        from benchmarks.scorers import parts

        return parts()
    if suite != "quality":
        return {"speed": SPEED, "scale": SCALE, "engines": ENGINES}.get(suite, ())
    from benchmarks.quality.rows import read_settings

    return tuple(read_settings()["rows"])


def _quality(options: argparse.Namespace) -> int:
    from benchmarks.quality.run import quality

    return quality(options)


def _language(options: argparse.Namespace) -> int:
    from benchmarks.language.suite import language

    return language(options)


def _cold(options: argparse.Namespace) -> int:
    from benchmarks.language.cold_suite import PARTS, measure

    before = stored("cold") or {}
    # Parts that are not asked for keep their stored result.
    result = {part: before[part] for part in PARTS if part in before}
    for part in options.only or PARTS:
        result[part] = measure(part, data_roots(), options.root, options.seed)
    if not options.quick:
        say(f"wrote {save('cold', 'python -m benchmarks.run cold', options.seed, result)}")
    return 0


def _requests(options: argparse.Namespace) -> int:
    from benchmarks.language.asked import asked

    return asked(options)


def _order(options: argparse.Namespace) -> int:
    from benchmarks.order import measure

    sets = measure(data_roots())
    for name, result in sets.items():
        print(f"{name}: ids rise in {result['rising']['pairs']:.1%} of neighbours")
    if not options.quick:
        # Data sets that are not at hand keep their stored result.
        sets = {**(stored("order") or {"sets": {}})["sets"], **sets}
        say(f"wrote {save('order', 'python -m benchmarks.run order', 0, {'sets': sets})}")
    return 0


def _update(options: argparse.Namespace) -> int:
    from benchmarks import update

    data, sets = options.data or [*update.DATA], (stored("update") or {"sets": {}})["sets"]
    for result in update.measure(data, options.root, options.seed, sets):
        if not options.quick:
            line = "python -m benchmarks.run update"
            say(f"wrote {save('update', line, options.seed, {'sets': result})}")
            put(ROOT / "docs" / "update.md", "update", update.table(result))
        sets = result
    print(update.table(sets))
    return 0


def _service(options: argparse.Namespace) -> int:
    from benchmarks.service import suite as service

    result = service.measure(options.root, options.quick)
    if not options.quick:
        line = "python -m benchmarks.run service"
        say(f"wrote {save('service', line, options.seed, result)}")
        put(ROOT / "docs" / "serve.md", "service", service.table(result))
    print(service.table(result))
    return 0


def _scorers(options: argparse.Namespace) -> int:
    from benchmarks.scorers import scorers

    return scorers(options)


def _diversity(options: argparse.Namespace) -> int:
    from benchmarks import diversity

    data, sets = options.data or [*diversity.DATA], (stored("diversity") or {"sets": {}})["sets"]
    for result in diversity.measure(data, options.root, options.seed, sets):
        if not options.quick:
            line = "python -m benchmarks.run diversity"
            say(f"wrote {save('diversity', line, options.seed, {'sets': result})}")
            put(ROOT / "docs" / "beyond-accuracy.md", "diversity", diversity.table(result))
        sets = result
    print(diversity.table(sets))
    return 0


def _tune(options: argparse.Namespace) -> int:
    from benchmarks import tune

    data, sets = options.data or [*tune.DATA], (stored("tune") or {"sets": {}})["sets"]
    trials = 3 if options.quick else options.trials
    for result in tune.measure(data, options.root, trials, options.test, sets):
        if not options.quick:
            line = f"python -m benchmarks.run tune{' --test' if options.test else ''}"
            say(f"wrote {save('tune', line, options.seed, {'sets': result})}")
            put(ROOT / "docs" / "tune.md", "tune", tune.table(result))
        sets = result
    print(tune.table(sets))
    return 0


def _large(options: argparse.Namespace) -> int:
    import torch

    from benchmarks.large import READOUTS, measure, seconds_a_prompt
    from lkgrag.data.assets.store import fetch_model
    from lkgrag.errors import LkgragError

    if not torch.cuda.is_available() and not options.quick:
        raise LkgragError("large needs a GPU; --quick runs a tiny model on the CPU")
    tokenizer = fetch_model("smollm2-135m")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), tokenizer, options.quick, options.seed)
    result["note"] = (
        "ml-100k, with the tokenizer of SmolLM2; the time of training includes its first step"
    )
    for readout in READOUTS:
        trained, ranked = seconds_a_prompt(result[readout])
        gib = result[readout]["peak_gib"]
        peak = "" if gib is None else f", {gib:.1f} GiB"
        print(
            f"{readout}: a prompt takes {trained:.3g} s to train on, {ranked:.3g} s to rank{peak}"
        )
    if not options.quick:
        say(f"wrote {save('large', 'python -m benchmarks.run large', options.seed, result)}")
    return 0


def _speed(options: argparse.Namespace) -> int:
    parts = options.only or SPEED
    result: dict[str, Any] = {}
    if "paths" in parts:
        from benchmarks.speed import paths

        result["paths"] = paths.measure(data_roots(), options.quick, options.seed)
    if "lru" in parts:
        import torch

        from benchmarks.speed import lru

        result["lru"] = lru.measure(data_roots(), options.quick, torch.get_num_threads())
    if "wording" in parts:
        result["wording"] = _wording(options.seed)
    if "lm" in parts:
        from benchmarks.speed import lm

        result["lm"] = lm.measure(options.quick, options.seed)
    if "lm-avx2" in parts:
        from benchmarks.speed import avx2

        result["lm-avx2"] = avx2.measure(options.quick, options.seed)
    if "whole" in parts:
        from benchmarks.speed import whole

        if options.run is None:
            say("whole: give --run FOLDER of a finished run; left out")
        else:
            result["whole"] = whole.measure(options.run, options.quick)
    if "serving" in parts:
        from benchmarks.speed import serving

        runs = serving.find_rankers(data_roots(), options.rankers, options.quick)
        result["serving"] = serving.measure(runs, options.quick)
    if "job" in parts:
        from benchmarks.speed import job

        result["job"] = job.measure()
    before = stored("speed")
    line = f"python -m benchmarks.run speed{' --run RUN' if options.run else ''}"
    _tell("S", "speed", line, result, options)
    return _check(result, before) if options.check and before is not None else 0


def _scale(options: argparse.Namespace) -> int:
    from benchmarks.scale import graph, remote, users

    parts = options.only or SCALE
    result: dict[str, Any] = {}
    # The quickest first: what fails should fail soon.
    if "remote" in parts:
        result["remote"] = remote.measure(1 if options.quick else 10, options.quick, options.seed)
    if "graph" in parts:
        scales = [1] if options.quick else [1, 10, 100]
        result["graph"] = graph.measure(scales, options.quick, options.seed)
    if "users" in parts:
        result["users"] = users.measure(
            [1] if options.quick else [1, 10], options.quick, options.seed
        )
    _tell("C", "scale", "python -m benchmarks.run scale", result, options)
    return 0


def _engines(options: argparse.Namespace) -> int:
    from benchmarks.engines import bulk, cluster, counting, index, nodes, page, picture, store
    from lkgrag.errors import ConfigError

    parts = options.only or ENGINES
    if "bulk" in parts and options.run is None:
        raise ConfigError("the part bulk needs a ranker: name a finished run by --run FOLDER")
    known = {**counting.SIZES, **index.SIZES, **store.SIZES}
    for name in options.data or []:
        if name not in known:
            raise ConfigError(f"--data {name}: there are {', '.join(known)}")
    sizes = [name for name in options.data or counting.SIZES if name in counting.SIZES]
    sizes = ["1M"] if options.quick else sizes
    items = [name for name in options.data or index.SIZES if name in index.SIZES]
    items = ["10k"] if options.quick else items

    def keep(part: str, found: Any) -> None:
        # Beside the other parts as they are stored now: each may be measured by a call of its own.
        whole = {**(stored("engines") or {}), part: found}
        values = {
            "C5": counting.peak_of(whole.get("counting", {})),
            **bulk.values(whole.get("bulk")),
            **index.values_of(whole.get("index", {})),
            **store.values(whole.get("store")),
        }
        whole["targets"] = judge("C", values, suite="engines")
        if not options.quick:
            line = "python -m benchmarks.run engines"
            say(f"wrote {save('engines', line, options.seed, whole)}")
            page.write_page(whole)
            picture.write_picture()

    if "crossover" in parts:
        scales = counting.SCALES[:1] if options.quick else counting.SCALES
        keep("crossover", counting.crossover(options.seed, scales))
    if "index" in parts:
        before = {} if options.quick else (stored("engines") or {}).get("index", {})
        for found in index.measure(items, [*index.INDICES], options.seed, before):
            keep("index", found)
    if "counting" in parts:
        threads = max(1, options.threads)
        before = {} if options.quick else (stored("engines") or {}).get("counting", {})
        for found in counting.measure(
            list(dict.fromkeys(sizes)), options.root, threads, options.seed, before
        ):
            keep("counting", found)
    if "cluster" in parts:
        of_cluster = [name for name in options.data or ("1M", "10M") if name in counting.SIZES]
        before = {} if options.quick else (stored("engines") or {}).get("cluster", {})
        chosen = ["1M"] if options.quick else of_cluster
        for found in cluster.measure(chosen, options.root, options.seed, before):
            keep("cluster", found)
    if "store" in parts:
        names = [name for name in options.data or store.SIZES if name in store.SIZES]
        before = {} if options.quick else (stored("engines") or {}).get("store", {})
        names = ["1x"] if options.quick else names
        for found in store.measure(names, options.root, options.quick, options.seed, before):
            keep("store", found)
    if "bulk" in parts:
        found = bulk.measure(options.run, options.quick)
        print(bulk.table(found))
        keep("bulk", found)
    if "nodes" in parts:
        found = nodes.measure(data_roots(), options.seed, options.quick)
        print(nodes.table(found))
        keep("nodes", found)
    return 0


def _tell(
    prefix: str, name: str, line: str, result: dict[str, Any], options: argparse.Namespace
) -> None:
    """Compare the values with their targets, print them, and store the result; a part goes into the stored one."""
    from lkgrag.run.provenance import today

    values = {k: v for part in result.values() for k, v in part.pop("values", {}).items()}
    before = stored(name)
    if options.only and before is not None and not options.quick:
        # Parts that were measured now, beside those that were not.
        old = {row["name"]: row["value"] for row in before["targets"]}
        values = {**old, **values}
        parts = {k: v for k, v in before.items() if isinstance(v, dict) and k in parts_of(name)}
        result.update({**parts, **result})
    old_dates = (before or {}).get("measured", {})
    result["measured"] = {p: old_dates.get(p, today()) for p in parts_of(name) if p in result}
    for part in options.only or parts_of(name):
        result["measured"][part] = today()
    result["targets"] = judge(prefix, {} if options.quick else values)
    for row in result["targets"]:
        value = "not measured" if row["value"] is None else f"{row['value']:,.3g}"
        print(f"{row['name']:<12} {value:>14} of {row['target']:<8g} {'met' if row['met'] else ''}")
    if not options.quick:
        say(f"wrote {save(name, line, options.seed, result)}")


def _wording(seed: int) -> dict[str, Any]:
    import numpy as np

    from benchmarks.speed import wording
    from lkgrag.config.loading import load_config
    from lkgrag.data.splits import every_training_event
    from lkgrag.kg import build_kg
    from lkgrag.run.stages import load_dataset
    from lkgrag.training.negatives import uniform_queries

    config = load_config({})
    loaded = load_dataset(config)
    data = build_kg(loaded.interactions, loaded.split.train_end, config.kg)
    events = every_training_event(loaded.interactions, loaded.split.train_end)
    chosen = np.random.default_rng(seed).permutation(len(events))[:256]
    queries = uniform_queries(loaded.interactions, events[chosen], 20, config.paths.history, seed)
    return wording.measure(config, data, queries)


def _check(now: dict[str, Any], before: dict[str, Any]) -> int:
    """Compare the ratios to peers with the stored ones; the exit status is 1 where one fell."""
    status = 0
    for name, result in now.get("paths", {}).get("sets", {}).items():
        old = before.get("paths", {}).get("sets", {}).get(name, {}).get("times", {})
        for peer, ratio in result["times"].items():
            if ratio is not None and old.get(peer) and fell(ratio, old[peer]):
                print(f"{name}, times {peer}: {ratio:.1f}, stored {old[peer]:.1f}", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
