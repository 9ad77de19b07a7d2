"""Files for a training elsewhere: graphs, lists, texts and scores out of fold, under 60 MB."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lkgrag.config import Config
from lkgrag.config.identity import to_yaml
from lkgrag.config.loading import load_config
from lkgrag.data import Queries
from lkgrag.errors import LkgragError
from lkgrag.kg import load_kg, save_kg
from lkgrag.paths import ExamplePaths, GraphPaths, graph_paths
from lkgrag.run.cache import StageCache
from lkgrag.run.ranker_stages import score_out_of_fold, train_scorer, training_queries
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.scorer.state import save_scorer
from lkgrag.training.out_of_fold import OutOfFoldScores
from lkgrag.training.residual import FixedTerms
from lkgrag.utils.files import read_safetensors, write_json, write_safetensors

#: Most bytes that are prepared.
MOST = 60_000_000
#: Most lists of training and of validation that are prepared.
LISTS, VALIDATION = 20_000, 4_000
GRAPHS, FULL = "graphs", "full"


@dataclass(frozen=True)
class Prepared:
    """What the arms are trained on and ranked with.

    Attributes:
        config: of the run.
        graph: of all training interactions.
        graphs: of the training lists.
        training: the training lists, in a seeded order.
        validation: lists that are ranked.
        fixed: scores of the training lists out of fold.
        folder: of the files.
    """

    config: Config
    graph: GraphPaths
    graphs: ExamplePaths
    training: Queries
    validation: Queries
    fixed: FixedTerms
    folder: Path


def prepare(config: Config, out: Path, lists: int = LISTS, validation: int = VALIDATION) -> int:
    """Write what :func:`rank` needs; return the bytes.

    Args:
        config: of a run whose stages are cached, or are made here.
        out: folder to write.
        lists: most training lists.
        validation: most validation lists; only those with their target, since no other can tell weights.

    Raises:
        LkgragError: the files are larger than 60 MB.
    """
    stages = Stages(
        StageCache(Path(config.cache.root), True), config, load_dataset(config), torch.device("cpu")
    )
    stage_one = stages.retrieval()
    graphs = stages.example_paths(stage_one)
    examples = training_queries(stages, stage_one)
    scorer, pretraining = train_scorer(stages, graphs, examples)
    found = score_out_of_fold(stages, graphs, examples)
    chosen = np.random.default_rng([config.seed, 0x69]).permutation(len(examples))[:lists]
    held = stages.queries(stage_one.val[stage_one.val.retrieved])
    ranked = np.random.default_rng([config.seed, 0x6A]).permutation(len(held))[:validation]
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    for number, graph in enumerate(graphs.graphs):
        save_kg(graph.data, out / GRAPHS / str(number))
    save_kg(stages.kg(stages.dataset.split.train_end), out / GRAPHS / FULL)
    np.savez_compressed(out / "training.npz", **vars(examples[chosen]))
    np.savez_compressed(out / "validation.npz", **vars(held[np.sort(ranked)]))
    columns = {n: torch.from_numpy(np.ascontiguousarray(v[chosen])) for n, v in vars(found).items()}
    if graphs.fold is not None:
        columns["fold"] = torch.from_numpy(np.asarray(graphs.fold, np.int64))
    write_safetensors(out / "out_of_fold.safetensors", columns)
    save_scorer(out / "scorer.safetensors", scorer)
    write_json(out / "weights.json", {"a": pretraining.a, "b": pretraining.b})
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    if size > MOST:
        raise LkgragError(f"{out} has {size / 1e6:.0f} MB, more than 60: prepare fewer lists")
    return size


def read_prepared(folder: Path, model: str | None = None) -> Prepared:
    """Read what :func:`prepare` wrote.

    Args:
        folder: of the files.
        model: folder of the language model; None for the run's own.
    """
    config = load_config({"config": str(folder / "config.yaml")})
    if model is not None:
        config.llm = replace(config.llm, name=model)
    numbers = sorted(int(f.name) for f in (folder / GRAPHS).iterdir() if f.name != FULL)
    columns = read_safetensors(folder / "out_of_fold.safetensors")
    fold = columns.pop("fold", None)
    found = OutOfFoldScores(**{name: column.numpy() for name, column in columns.items()})
    training, validation = (
        Queries(**np.load(folder / f"{name}.npz")) for name in ("training", "validation")
    )
    return Prepared(
        config,
        graph_paths(load_kg(folder / GRAPHS / FULL), config.paths),
        ExamplePaths(
            [graph_paths(load_kg(folder / GRAPHS / str(n)), config.paths) for n in numbers],
            None if fold is None else fold.numpy(),
        ),
        training,
        validation,
        FixedTerms.of(found, config.training.fuse),
        folder,
    )
