"""What an update is worth: a ranker as it was, updated, and trained again, after 1, 5 and 20 % new interactions.

Interactions are ordered by time. The last tenth tests: each user's first five choices there, by one list that is made
when it begins. The new interactions are those right before it, and all earlier ones trained the ranker. Runs and stages
below ``--root`` are kept, so a call that was stopped goes on.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.by_data import keep_sets, stored_sets
from benchmarks.common import ROOT, data_roots, say
from benchmarks.language.setting import SUSPECT
from lkgrag.config import DataConfig
from lkgrag.config.loading import load_config
from lkgrag.data.growth_tables import as_tables
from lkgrag.data.interactions import Interactions
from lkgrag.run.pipeline import train
from lkgrag.run.stages import load_dataset
from lkgrag.serving.ranker import Ranker
from lkgrag.serving.ranking import rank
from lkgrag.serving.requests import Request
from lkgrag.utils.files import read_json
from lkgrag.utils.gains import discounted_gain
from lkgrag.utils.layout import METRICS

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from lkgrag.config import Config

NAME, PAGE = "update", ROOT / "docs" / "update.md"
DATA = ("ml-100k", "amazon-beauty")
#: Shares of all interactions that are new. The last one is measured soon: it tells the most.
SHARES = (0.05, 0.2, 0.01)
#: Share of all interactions that tests, and how many of a user's.
TEST, ROLLING = 0.1, 5
TOP = 10
#: Columns of the docs' table: the rankers, and what they are called there.
COLUMNS = {
    "stale": "stale",
    "stale, with today's histories": "with today's histories",
    "stale, all old interactions counted": "recounted",
    "updated": "updated",
    "trained again": "trained again",
}
#: Resamples of the users for standard errors.
RESAMPLES = 1000
#: The data in memory are filtered already.
ALL = DataConfig(min_user=1, min_item=1)


@dataclass(frozen=True)
class Timeline:
    """A data set cut at two points in time.

    Attributes:
        whole: all interactions.
        new_from: where the new ones begin.
        test_from: where the test begins.
    """

    whole: Interactions
    new_from: float
    test_from: float

    @classmethod
    def of(cls, whole: Interactions, share: float) -> Timeline:
        """Cut so that about a share of the interactions is new."""
        ordered = np.sort(whole.time)
        points = [ordered[int((1 - TEST - s) * len(ordered))] for s in (share, 0.0)]
        return cls(whole, *points)

    def before(self, point: float) -> Interactions:
        """The interactions before a point, their users and items alone."""
        tables = as_tables(self.whole)
        early = tables.interactions[self.whole.time < point]
        return Interactions.from_tables(replace(tables, interactions=early), ALL)

    def events(self) -> list[tuple[str, str]]:
        """Users and items of the test, where the item was chosen before it."""
        x = self.whole
        there = set(x.item[x.time < self.test_from].tolist())
        found = []
        for user in range(x.num_users):
            part = slice(x.indptr[user], x.indptr[user + 1])
            later = x.item[part][x.time[part] >= self.test_from][:ROLLING]
            found += [(x.user_ids[user], x.item_ids[i]) for i in later.tolist() if i in there]
        return found


def configuration(data: str, root: Path, seed: int) -> Config:
    """The options of a data set: without a language model, and without relations that may come from later."""
    options = {
        "llm.name": "none",
        "seed": str(seed),
        "threads": "1",
        "cache.root": str(root / "cache"),
        "retrieval.crossfit_folds": "1",
        "evaluation.faithfulness": "0",
        "evaluation.explain": "0",
        "evaluation.bootstrap": "100",
        "training.tracker": "none",
    }
    if data == "amazon-beauty":
        options |= {"preset": data, "kg.exclude": f"[{','.join(SUSPECT)}]"}
    roots = data_roots()
    if data in roots:
        options["data.root"] = roots[data]
    return load_config(options)


def trained(config: Config, interactions: Interactions, folder: Path) -> tuple[Ranker, float]:
    """A ranker trained on interactions, and the seconds that it took."""
    train(replace(config, out=str(folder)), interactions)
    return Ranker.from_pretrained(folder), float(read_json(folder / METRICS)["seconds"]["total"])


def histories(ranker: Ranker, users: list[str], of: Interactions | None) -> list[Request]:
    """Requests of users with the ranker's own histories, or with those of some interactions.

    Items that the ranker does not know are left out, and so are users that it does not know.
    """
    context, requests = ranker.context, []
    place = {item: n for n, item in enumerate(context.catalogue.ids)}
    index = None if of is None else {user: n for n, user in enumerate(of.user_ids)}
    for user in users:
        if of is None or index is None:
            row = context.users.find(user)
            history = context.users.rows(row, row + 1)[0][1] if row >= 0 else ((), ())
        else:
            row = index.get(user, -1)
            part = slice(*of.indptr[row : row + 2]) if row >= 0 else slice(0)
            known = [place.get(of.item_ids[i], -1) for i in of.item[part].tolist()]
            keep = np.asarray(known, np.int64) >= 0
            history = np.asarray(known, np.int64)[keep], of.rating[part][keep]
        items, ratings = (np.asarray(column) for column in history)
        requests.append(
            Request(
                items.astype(np.int64),
                ratings.astype(np.float32),
                user=user,
                index=context.users.find(user),
            )
        )
    return requests


def gains(
    ranker: Ranker, events: list[tuple[str, str]], of: Interactions | None = None
) -> NDArray[np.float64]:
    """NDCG@10 of each event, float64 ``[E]``."""
    users = list(dict.fromkeys(user for user, _ in events))
    lists = rank(ranker.model, ranker.context, histories(ranker, users, of), TOP, False)
    places = {user: {i.item: i.rank for i in r.items} for user, r in zip(users, lists, strict=True)}
    missed = np.iinfo(np.int64).max
    ranks = np.asarray([places[user].get(item, missed) for user, item in events], np.int64)
    return discounted_gain(ranks, TOP)


def figure(
    values: NDArray[np.float64], user: NDArray[np.int64], mask: NDArray[np.bool_]
) -> dict[str, float] | None:
    """Mean and standard error over users of some events; None without any."""
    if not mask.any():
        return None
    number = int(user.max()) + 1
    total = np.bincount(user[mask], values[mask], number)
    count = np.bincount(user[mask], minlength=number)
    draws = np.random.default_rng(0).multinomial(number, np.full(number, 1 / number), RESAMPLES)
    means = (draws @ total) / np.maximum(draws @ count, 1)
    return {"mean": float(values[mask].mean()), "error": float(means.std())}


def compare(data: str, share: float, root: Path, seed: int) -> dict[str, Any]:
    """One data set and one share: every ranker's figures and seconds."""
    config = configuration(data, root, seed)
    timeline = Timeline.of(load_dataset(config).interactions, share)
    old, now = timeline.before(timeline.new_from), timeline.before(timeline.test_from)
    again, seconds_again = trained(config, now, root / f"{data}-again")
    stale, seconds_old = trained(config, old, root / f"{data}-{share:g}")
    updated = copy.deepcopy(stale)
    tables = as_tables(timeline.whole)
    new = tables.interactions[
        (timeline.whole.time >= timeline.new_from) & (timeline.whole.time < timeline.test_from)
    ]
    start = time.perf_counter()
    updated.update(new, tables.items, unchosen=False)
    updated.save_pretrained(root / f"{data}-{share:g}-updated")
    seconds = time.perf_counter() - start
    recounted = copy.deepcopy(stale).update(new[:0], tables.items, unchosen=False)
    events = timeline.events()
    known_items, known_users = set(old.item_ids), set(old.user_ids)
    is_new = np.asarray([item not in known_items for _, item in events])
    of_new_user = np.asarray([user not in known_users for user, _ in events])
    user = np.unique([u for u, _ in events], return_inverse=True)[1]
    rows = {
        "stale": (gains(stale, events), 0.0),
        "stale, with today's histories": (gains(stale, events, now), 0.0),
        "stale, all old interactions counted": (gains(recounted, events), None),
        "updated": (gains(updated, events), seconds),
        "trained again": (gains(again, events), seconds_again),
    }
    groups = {
        "all": np.ones(len(events), bool),
        "new_items": is_new,
        "known_items": ~is_new,
        "new_users": of_new_user,
    }
    return {
        "interactions": {
            "old": len(old),
            "new": len(new),
            "users": old.num_users,
            "items": old.num_items,
        },
        "new": updated.context.updates[-1],
        "events": {name: int(mask.sum()) for name, mask in groups.items()},
        "seconds_of_first_training": seconds_old,
        "rows": {
            name: {
                "seconds": spent,
                **{group: figure(values, user, mask) for group, mask in groups.items()},
                "gain_over_stale": figure(values - rows["stale"][0], user, groups["all"]),
            }
            for name, (values, spent) in rows.items()
        },
    }


def measure(data: list[str], root: Path, seed: int, before: dict[str, Any]) -> Any:
    """Yield the result after each part; parts of ``before`` that are not asked for stay.

    Args:
        data: names of data sets.
        root: of runs and caches.
        seed: of everything.
        before: a stored result.
    """
    sets = {name: dict(parts) for name, parts in before.items()}
    for name in data:
        for share in SHARES:
            say(f"update: {name}, {share:.0%} new")
            sets.setdefault(name, {})[f"{share:g}"] = compare(name, share, root, seed)
            yield sets


def table(sets: dict[str, Any]) -> str:
    """The table of the docs: NDCG@10 with its standard error, of all events and of new items, and seconds."""
    lines = [
        f"| data, new | {' | '.join(COLUMNS.values())} | new items, updated | new items, again | seconds |",
        "|---|" + "---:|" * (len(COLUMNS) + 3),
    ]
    for data, parts in sets.items():
        for share in sorted(parts, key=float):
            rows = parts[share]["rows"]
            cells = [_shown(rows[name]["all"]) for name in COLUMNS]
            cells += [_shown(rows[name]["new_items"]) for name in ("updated", "trained again")]
            seconds = [f"{rows[name]['seconds']:,.0f}" for name in ("updated", "trained again")]
            cells.append(" / ".join(seconds))
            lines.append(f"| {data}, {float(share):.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shown(value: dict[str, float] | None) -> str:
    return (
        "–" if value is None else f"{value['mean']:.4f} ± {value['error']:.4f}".replace("0.", ".")
    )


def growing(options: argparse.Namespace) -> int:
    """Measure, store and show; returns the exit status.

    Args:
        options: of the command line: ``data``, ``root``, ``seed`` and ``quick``.
    """
    data, before = options.data or [*DATA], stored_sets(NAME)
    results = measure(data, options.root, options.seed, before)
    return keep_sets(NAME, PAGE, results, table, options)
