"""Plant one-line faults, one at a time, and see that a test turns red: ``python tests/mutation.py``.

Run by hand: it takes some minutes. The faults are put into a temporary copy of the tree; the status is 1
if one of them survives its tests. ``python tests/mutation.py WORD`` takes only faults whose text holds
the word.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What the tests need of the tree.
COPIED = ("lkgrag", "tests", "docs", "pyproject.toml")


@dataclass(frozen=True)
class Fault:
    """One line of a file, and what a slip would make of it.

    Attributes:
        room: paths, tie rule, mask, split, metrics or counts.
        what: the fault in words.
        file: within ``lkgrag``.
        old: text that is there once.
        new: in its place.
        tests: that are to notice, within ``tests``.
    """

    room: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS = [
    Fault(
        "paths",
        "the cap counts no shorter paths",
        "paths/metapath_search/finder.py",
        "BestPaths(np.where(pathless, 0, most - taken), length)",
        "BestPaths(np.where(pathless, 0, most), length)",
        ("paths",),
    ),
    Fault(
        "paths",
        "an edge of the prediction's own time counts",
        "paths/metapath_search/best_paths.py",
        "if row < 0 or right.time[b] >= time[sample]:",
        "if row < 0 or right.time[b] > time[sample]:",
        ("paths",),
    ),
    Fault(
        "paths",
        "the cap is one too many",
        "paths/metapath_search/finder.py",
        "most = self.config.max_per_pair",
        "most = self.config.max_per_pair + 1",
        ("paths",),
    ),
    Fault(
        "paths",
        "behaviour is counted with the validation item",
        "kg/base.py",
        "keep = position < train_end[user]",
        "keep = position <= train_end[user]",
        ("kg",),
    ),
    Fault(
        "paths",
        "one full pair stops the search for longer paths",
        "paths/metapath_search/finder.py",
        "if not len(best):",
        "if len(best) < pairs - pathless.sum():",
        ("paths",),
    ),
    Fault(
        "paths",
        "the rows that were used last go first",
        "paths/metapath_search/row_cache.py",
        "popitem(last=False)",
        "popitem(last=True)",
        ("paths/test_store_finder.py",),
    ),
    Fault(
        "split",
        "a custom retriever sees all interactions",
        "retrieval/custom.py",
        "training = copy.deepcopy(interactions.first(train_end))",
        "training = copy.deepcopy(interactions)",
        ("retrieval/test_custom.py",),
    ),
    Fault(
        "tie rule",
        "equal scores of candidates count for the system",
        "evaluation/metrics.py",
        "ahead = not_behind(values, values[rows, place]) & filled",
        "ahead = (values > values[rows, place][:, None]) & filled | (np.arange(values.shape[1]) == place[:, None])",
        ("evaluation",),
    ),
    Fault(
        "tie rule",
        "equal scores of all items count for the system",
        "retrieval/ranks.py",
        "ahead = not_behind(scores, scores[rows, target])",
        "ahead = (scores > scores[rows, target][:, None]) | (np.arange(scores.shape[1]) == target[:, None])",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "tie rule",
        "NaN is no equal of minus infinity",
        "utils/gains.py",
        "out[np.isnan(mine) | np.isneginf(mine)] = True",
        "out[np.isnan(mine)] = True",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "damage",
        "a damaged stage is believed",
        "run/cache.py",
        "if damage := find_damage(folder):",
        "if damage := None:",
        ("run/test_cache.py",),
    ),
    Fault(
        "budget",
        "a long title is paid by other candidates",
        "prompt/budget.py",
        "each = min(longest, room // len(titles)) if titles else 0",
        "each = sum(titles.values()) // len(titles) if titles else 0",
        ("prompt/test_budget.py",),
    ),
    Fault(
        "tie rule",
        "equal scores are cut by index, not by popularity",
        "retrieval/ranks.py",
        "turn[np.lexsort((np.arange(len(popularity)), -popularity))] = np.arange(len(popularity))",
        "turn[:] = np.arange(len(popularity))",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "tie rule",
        "interactions of one time stay in the file's order",
        "data/interactions.py",
        'second = np.where(core["time"].isna(), np.arange(len(core)), tie_key(core, config))',
        "second = np.arange(len(core))",
        ("data/test_interactions.py",),
    ),
    Fault(
        "mask",
        "seen items are proposed",
        "retrieval/ranks.py",
        "ptr = np.searchsorted(seen.row[order], np.arange(len(scores) + 1))",
        "ptr = np.zeros(len(scores) + 1, np.int64)",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "mask",
        "seen items count among those ahead of the target",
        "retrieval/ranks.py",
        "ahead[seen.row, seen.item] = False",
        "ahead[seen.row, seen.item] &= True",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "mask",
        "the oldest item of a history is not masked",
        "retrieval/ranks.py",
        "return cls(row, np.concatenate(histories).astype(np.int64))",
        "return cls(row[1:], np.concatenate(histories).astype(np.int64)[1:])",
        ("retrieval/test_ranks.py",),
    ),
    Fault(
        "split",
        "the validation item is trained on",
        "data/splits/last.py",
        "train_end = count - test_n - val_n",
        "train_end = count - test_n",
        ("data/splits/test_last.py",),
    ),
    Fault(
        "split",
        "what happens at the point in time is trained on",
        "data/splits/time.py",
        "earlier = interactions.time < point",
        "earlier = interactions.time <= point",
        ("data/splits/test_time.py",),
    ),
    Fault(
        "split",
        "a history holds the item to be predicted",
        "data/queries.py",
        "index = (interactions.indptr[events.user] + events.position - length)[:, None] + offset",
        "index = (interactions.indptr[events.user] + events.position - length)[:, None] + offset + 1",
        ("data/test_queries.py",),
    ),
    Fault(
        "split",
        "fusion weights of cross-fitted lists come from their own users",
        "retrieval/crossfit.py",
        "others = [fold.of(~inside) for fold in folds]",
        "others = list(folds)",
        ("retrieval/test_crossfit.py",),
    ),
    Fault(
        "metrics",
        "NDCG's logarithm is of rank + 2",
        "utils/gains.py",
        "np.log2(1.0 + np.maximum(rank, 1))",
        "np.log2(2.0 + np.maximum(rank, 1))",
        ("evaluation/test_metrics.py",),
    ),
    Fault(
        "metrics",
        "the cut-off k leaves rank k out",
        "utils/gains.py",
        "(rank > 0) & (rank <= k)",
        "(rank > 0) & (rank < k)",
        ("evaluation/test_metrics.py",),
    ),
    Fault(
        "metrics",
        "a missed target counts as rank 1",
        "utils/gains.py",
        "np.where(rank > 0, 1.0 / np.maximum(rank, 1), 0.0)",
        "np.where(rank >= 0, 1.0 / np.maximum(rank, 1), 0.0)",
        ("evaluation/test_metrics.py",),
    ),
    Fault(
        "counts",
        "queries keep the weakest partners",
        "kg/large/behaviour.py",
        "order by weight desc, target",
        "order by weight, target",
        ("kg/test_large.py",),
    ),
    Fault(
        "counts",
        "an unknown time hides behind a known one",
        "kg/large/behaviour.py",
        "case when a.time > b.time or a.time is null then",
        "case when a.time > b.time then",
        ("kg/test_large.py",),
    ),
    Fault(
        "counts",
        "sums of equal numbers are not rounded as in arrays",
        "retrieval/large.py",
        "+= sums[count[here] - 1]",
        "+= sums[0] * count[here]",
        ("retrieval/test_large.py",),
    ),
    Fault(
        "tie rule",
        "interactions without a time come last in files",
        "data/large/cleaning.py",
        "coalesce(time, '-infinity'::double)",
        "coalesce(time, 'infinity'::double)",
        ("data/test_large.py",),
    ),
]


def run_tests(tree: Path, tests: list[str]) -> tuple[int, str]:
    """Run tests in a tree; the status, and the name of the first that failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [*command, *(f"tests/{test}" for test in tests)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest did not run:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.returncode, found[1] if found else ""


def caught_by(tree: Path, fault: Fault) -> str:
    """The test that notices a fault; empty if none does."""
    path = tree / "lkgrag" / fault.file
    source = path.read_text(encoding="utf-8")
    if source.count(fault.old) != 1:
        raise SystemExit(f"{fault.file}: {fault.old!r} is there {source.count(fault.old)} times")
    path.write_text(source.replace(fault.old, fault.new), encoding="utf-8")
    try:
        return run_tests(tree, list(fault.tests))[1]
    finally:
        path.write_text(source, encoding="utf-8")


def main() -> int:
    """Plant every fault; the status is 1 if one survives."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    chosen = [f for f in FAULTS if word in f"{f.room} {f.what} {f.file}"]
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy2
            copy(source, tree / name)
        status, failed = run_tests(tree, sorted({test for f in chosen for test in f.tests}))
        if status:
            raise SystemExit(f"{failed} fails without any fault")
        print(f"{'room':<9}{'fault':<66}caught by", flush=True)
        for fault in chosen:
            start = time.perf_counter()
            test = caught_by(tree, fault)
            survivors += not test
            seconds = f"{time.perf_counter() - start:.0f} s"
            print(f"{fault.room:<9}{fault.what:<66}{test or 'NOTHING'} ({seconds})", flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} faults turn a test red")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
