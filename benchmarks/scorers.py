"""Scorers: what graph neural networks rank better or worse than the default scorer, and what they cost.

``python -m benchmarks.run scorers`` trains every row of ``scorers.yaml`` on the same lists, ranks validation alone and
over the retriever, and compares users. Nothing of test is read. The part ``tries`` is the light search for settings.
Every finished row is kept below ``--root``, so a call that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from omegaconf import OmegaConf

from benchmarks.common import ROOT, interval, put, save, say, stored
from benchmarks.language.suite import compare, gains
from benchmarks.language.suite import overrides as language_overrides
from benchmarks.language.suite import read_settings as read_language
from lkgrag.config import ScorerConfig
from lkgrag.config.identity import digest
from lkgrag.config.loading import load_config
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.paths import graph_paths
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.ranker.scoring import score_queries
from lkgrag.run.cache import StageCache
from lkgrag.run.ranker_stages import find_lists, training_queries
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.scorer.resolver import new_scorer
from lkgrag.training.pretraining import pretrain_parts
from lkgrag.utils.device import set_threads
from lkgrag.utils.files import read_json, write_json, write_parquet

if TYPE_CHECKING:
    from lkgrag.config import Config
    from lkgrag.paths import GraphPaths
    from lkgrag.training.pretraining import ExampleLists

FILE = Path(__file__).with_name("scorers.yaml")
NAME, COMMAND, PAGE = (
    "scorers",
    "python -m benchmarks.run scorers",
    ROOT / "docs" / "gnn-scorers.md",
)
#: The part that tries settings, and the row of language.yaml that has the common stage one.
TRIES, STAGE_ONE = "tries", "without"
#: What is compared: fused with the retriever, and alone.
SYSTEMS = ("ranker", "scorer")
#: Validation prompts that are timed.
TIMED = 256


def read_settings() -> dict[str, Any]:
    """What ``scorers.yaml`` says."""
    content: Any = OmegaConf.to_container(OmegaConf.load(FILE))
    return dict(content)


def parts() -> tuple[str, ...]:
    """What ``--only`` takes."""
    return (*read_settings()["rows"], TRIES)


def scorer_of(row: dict[str, Any]) -> ScorerConfig:
    """The options of a row."""
    config = ScorerConfig(name=row["name"], kwargs=dict(row.get("kwargs", {})))
    return replace(config, pretrain_lr=row["lr"]) if "lr" in row else config


def configuration(data: str, seed: int, root: Path) -> Config:
    """The options of a set, whose stages are cached below ``root/cache``."""
    return load_config(language_overrides(read_language(), data, STAGE_ONE, seed, root))


@dataclass(frozen=True)
class Lists:
    """One set and seed: all that every scorer is trained and ranked with."""

    config: Config

    @cached_property
    def stages(self) -> Stages:
        """The cached stages."""
        cache = StageCache(Path(self.config.cache.root))
        return Stages(cache, self.config, load_dataset(self.config), torch.device("cpu"))

    @cached_property
    def training(self) -> list[ExampleLists]:
        """The cross-fitted lists and their paths."""
        stage_one = self.stages.retrieval()
        graphs = self.stages.example_paths(stage_one)
        return find_lists(graphs, training_queries(self.stages, stage_one))

    @cached_property
    def graph(self) -> GraphPaths:
        """The graph of all training interactions."""
        return graph_paths(self.stages.kg(self.stages.dataset.split.train_end), self.config.paths)

    def measure(self, scorer_config: ScorerConfig) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Train a scorer and rank validation.

        Returns:
            The ranks of every validation event, and what the scorer cost.
        """
        config = self.config
        scorer = new_scorer(scorer_config, config.paths.search, self.graph, config.seed)
        lists, start = self.training, time.process_time()
        found = pretrain_parts(scorer, lists, scorer_config, config.seed)
        seconds = time.process_time() - start
        model = RankerModel(None, scorer, None, Fusion(found.a, found.b, config.training.fuse))
        frame = self._rank(model)
        return frame, {
            "parameters": sum(p.numel() for p in scorer.parameters() if p.requires_grad),
            "seconds": seconds,
            "epochs": found.curve[-1]["epoch"],
            "best_epoch": found.best_epoch,
            "milliseconds": self._milliseconds(model),
        }

    def _rank(self, model: RankerModel) -> pd.DataFrame:
        """The ranks of validation; the list of test events is empty."""
        stage_one, config = self.stages.retrieval(), self.config
        evaluator = Evaluator(
            self.stages.dataset.interactions,
            self.graph,
            config.evaluation,
            CandidateOrder(config.prompt.order, config.seed),
            config.paths.history,
        )
        nothing = stage_one.test[np.zeros(len(stage_one.test), bool)]
        val = evaluator.evaluate(model, {"val": stage_one.val, "test": nothing}).val
        frame = pd.DataFrame({"split": "val", "user": val.user, "position": val.position})
        for system in ("retriever", *SYSTEMS):
            frame[f"rank_{system}"] = val.ranks[system]
        return frame

    def _milliseconds(self, model: RankerModel) -> float:
        """CPU time of a prompt, its paths included, once the nodes' vectors are there."""
        stage_one, config = self.stages.retrieval(), self.config
        queries = self.stages.queries(stage_one.val[stage_one.val.retrieved])
        queries = queries[np.arange(min(TIMED, len(queries)))]
        order, size = CandidateOrder(config.prompt.order, config.seed), config.evaluation.batch_size
        score_queries(model, self.graph, queries[np.arange(1)], order, size)
        start = time.process_time()
        score_queries(model, self.graph, queries, order, size)
        return 1000 * (time.process_time() - start) / len(queries)


def cells(settings: dict[str, Any], options: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Sets, seeds and rows in the order in which they are measured."""
    wanted = options.only or list(settings["rows"])
    for seed in settings["seeds"][: options.seeds]:
        for data in options.data or settings["data"]:
            for row in settings["rows"]:
                if row in wanted:
                    yield data, seed, row


def folder_of(root: Path, data: str, seed: int, row: dict[str, Any]) -> Path:
    """Where a row's result is kept: other options have another folder."""
    config = scorer_of(row)
    identity = digest({"name": config.name, "kwargs": config.kwargs, "lr": config.pretrain_lr})
    return root / "cells" / data / str(seed) / f"{config.name}-{identity}"


def make_cell(
    root: Path, data: str, seed: int, row: dict[str, Any], known: dict[Any, Lists]
) -> Path:
    """Measure a row unless it is there; returns its folder.

    Args:
        root: of the cells and the cached stages.
        data: name of a set.
        seed: of everything.
        row: of the settings.
        known: the lists of the latest set and seed, which is kept.
    """
    folder = folder_of(root, data, seed, row)
    if (folder / "cost.json").exists():
        return folder
    if (data, seed) not in known:
        known.clear()
        known[data, seed] = Lists(configuration(data, seed, root))
    start = time.perf_counter()
    frame, cost = known[data, seed].measure(scorer_of(row))
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / "ranks.parquet", frame)
    # Written last: a folder without it is made again.
    write_json(folder / "cost.json", cost)
    say(f"{data}, seed {seed}, {json.dumps(row)}: {time.perf_counter() - start:.0f} s")
    return folder


def figures(folders: list[Path]) -> dict[str, Any]:
    """NDCG@10 of each system and the costs, one value for each folder."""
    costs = [read_json(folder / "cost.json") for folder in folders]
    found = {
        system: [float(gains(folder, "val", system)["gain"].mean()) for folder in folders]
        for system in ("retriever", *SYSTEMS)
    }
    return {**found, **{name: [cost[name] for cost in costs] for name in costs[0]}}


def gather(settings: dict[str, Any], root: Path) -> dict[str, Any]:
    """Figures of all rows that are there, and their differences to the default scorer, by set."""
    out: dict[str, Any] = {}
    for data in settings["data"]:
        there = {
            name: {
                seed: folder
                for seed in settings["seeds"]
                if ((folder := folder_of(root, data, seed, row)) / "cost.json").exists()
            }
            for name, row in settings["rows"].items()
        }
        rows, differences = {}, []
        for name, folders in there.items():
            if not folders:
                continue
            rows[name] = {"seeds": list(folders), **figures(list(folders.values()))}
            seeds = [s for s in folders if s in there[settings["base"]]]
            if name == settings["base"] or not seeds:
                continue
            for system in SYSTEMS:
                left, right = (
                    [gains(there[side][s], "val", system) for s in seeds]
                    for side in (name, settings["base"])
                )
                differences.append({"row": name, "system": system, **compare(left, right)})
        if rows:
            out[data] = {"rows": rows, "differences": differences}
    return out


def try_settings(settings: dict[str, Any], root: Path) -> dict[str, Any]:
    """The light search: figures of each setting, by network."""
    tries = settings[TRIES]
    known: dict[Any, Lists] = {}
    data, seed = tries["data"], settings["seeds"][0]
    out: dict[str, Any] = {}
    for name in tries["networks"]:
        rows = [{"name": name, **setting} for setting in tries["settings"]]
        made = [make_cell(root, data, seed, row, known) for row in rows]
        out[name] = [
            {"setting": setting, **{k: v[0] for k, v in figures([folder]).items()}}
            for setting, folder in zip(tries["settings"], made, strict=True)
        ]
    return {"data": data, "seed": seed, "networks": out}


def scorers(options: argparse.Namespace) -> int:
    """Measure what is missing, store and show the result; returns the exit status.

    Args:
        options: of the command line: ``data``, ``seeds``, ``only``, ``root``, ``threads`` and ``quick``.
    """
    settings = read_settings()
    for name in options.data or ():
        if name not in settings["data"]:
            say(f"--data {name}: there are {', '.join(settings['data'])}")
            return 2
    set_threads(options.threads)
    before = stored(NAME) or {}
    result = {part: before[part] for part in (TRIES, "sets") if part in before}
    if TRIES in (options.only or ()):
        result[TRIES] = try_settings(settings, options.root)
    known: dict[Any, Lists] = {}
    for data, seed, row in cells(settings, options):
        make_cell(options.root, data, seed, settings["rows"][row], known)
    result["sets"] = {**result.get("sets", {}), **gather(settings, options.root)}
    print(shown(result))
    if not options.quick:
        say(f"wrote {save(NAME, COMMAND, settings['seeds'][0], result)}")
        put(PAGE, NAME, shown(result))
    return 0


def shown(result: dict[str, Any] | None) -> str:
    """What stands on the page."""
    return table(result["sets"]) if result and result.get("sets") else "Not measured yet."


def table(sets: dict[str, Any]) -> str:
    """The table of the docs: means over seeds, and the difference to the default scorer."""
    lines = [
        "| data | scorer | NDCG@10 over the retriever | against the default | alone | parameters | seconds | ms a prompt |",
        "|---|---|---:|---|---:|---:|---:|---:|",
    ]
    for data, result in sets.items():
        gaps = {(g["row"], g["system"]): g for g in result["differences"]}
        for name, row in result["rows"].items():
            gap = gaps.get((name, "ranker"))
            cells = [data, name, _mean(row["ranker"]), interval(gap) if gap else "–"]
            cells += [_mean(row["scorer"]), f"{row['parameters'][0]:,}"]
            cells += [f"{np.mean(row['seconds']):,.0f}", f"{np.mean(row['milliseconds']):.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _mean(values: list[float]) -> str:
    """The mean without its leading zero."""
    return f"{np.mean(values):.4f}".replace("0.", ".", 1)
