"""The scorer and the ranker of a run: how they are built, and the scorer's training alone."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.config import NO_LLM
from lkgrag.config.checks import is_scorer_trained
from lkgrag.data.splits import every_training_event
from lkgrag.errors import ConfigError
from lkgrag.llm import LMScorer, load_llm
from lkgrag.prompt import build_prompter
from lkgrag.prompt.resolver import resolve_verbaliser
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.retrieval.crossfit import spread_over_users
from lkgrag.scorer import PathScorer, resolve_scorer
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out, warn_of_idle_parts
from lkgrag.training.negatives import uniform_queries
from lkgrag.training.out_of_fold import OutOfFoldScores, out_of_fold_scores
from lkgrag.training.pretraining import (
    ExampleLists,
    Pretraining,
    pretrain_parts,
    tell_users_apart,
)
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.utils.plugins import is_custom
from lkgrag.utils.progress import activity, bar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.data import Queries
    from lkgrag.data.splits import Events
    from lkgrag.paths import ExamplePaths
    from lkgrag.prompt import BasePrompter
    from lkgrag.retrieval import StageOne
    from lkgrag.run.stages import Stages

#: Folds of the users for scores out of fold, and the file that holds these.
FOLDS = 4
OUT_OF_FOLD = "scores.safetensors"
#: Queries on which a custom scorer is tried.
TRIED = 8


def training_queries(stages: Stages, stage_one: StageOne) -> Queries:
    """The ranker's training examples: cross-fitted lists that hold their target.

    With ``training.negatives=uniform`` they are lists with random negatives, as published.
    """
    config, dataset = stages.config, stages.dataset
    if config.training.negatives == "uniform":
        events = stage_one.examples.events
        if not len(events):
            events = every_training_event(dataset.interactions, dataset.split.train_end)
        events = events[_drawn(events, config)]
        return uniform_queries(
            dataset.interactions, events, config.retrieval.k, config.paths.history, config.seed
        )
    lists = stage_one.examples[stage_one.examples.retrieved]
    return stages.queries(lists[_drawn(lists.events, config)])


def _drawn(events: Events, config: Config) -> NDArray[np.int64]:
    """The examples that are used, int64: all of the windows, but of whole users' only so many."""
    if config.retrieval.crossfit != "users":
        return np.arange(len(events))
    return spread_over_users(events.user, config.retrieval.crossfit_lists, config.seed)


def train_scorer(
    stages: Stages, graphs: ExamplePaths, examples: Queries
) -> tuple[PathScorer, Pretraining]:
    """Train the scorer alone on the examples, or read it from the cache.

    Args:
        stages: of the run.
        graphs: the cross-fitted graphs and their paths.
        examples: the ranker's training examples.

    Returns:
        The scorer, and the result of its training.
    """
    config = stages.config
    # Only types and numbers of nodes are read, which are the same in all graphs.
    make = partial(new_scorer, config.scorer, config.paths.search, graphs.graphs[0], config.seed)

    def build(folder: Path) -> None:
        file = folder / "scorer.safetensors"
        tried, idle = None, []
        if is_custom(resolve_scorer(config.scorer.name)) and len(examples):
            graph, index = next(graphs.parts(examples))
            tried = graph.data, graph(examples[index[:TRIED]])
            idle = try_out(make, *tried, file)
        scorer, pretraining = make(), Pretraining()
        if len(examples) and config.scorer.pretrain_epochs > 0:
            with bar("train the scorer, epochs", may_end_early=True) as update:
                pretraining = pretrain_parts(
                    scorer,
                    find_lists(graphs, examples),
                    config.scorer,
                    config.seed,
                    update,
                )
        if tried is not None:
            if pretraining.curve and not _is_trained_further(config):
                idle = pretraining.idle
            # The language model's loss may still teach what has an effect on the salience alone.
            idle = [name for name in idle if name in pretraining.idle or not pretraining.curve]
            warn_of_idle_parts(scorer, *tried, idle)
        save_scorer(file, scorer)
        write_json(folder / "pretraining.json", asdict(pretraining))

    def load(folder: Path) -> tuple[PathScorer, Pretraining]:
        scorer = make()
        load_scorer(folder / "scorer.safetensors", scorer)
        return scorer, Pretraining(**read_json(folder / "pretraining.json"))

    return stages.cache.load_or_build("scorer", stages.keys.scorer(), build, load)


def _is_trained_further(config: Config) -> bool:
    """Whether the language model's loss trains the scorer after its own training."""
    words_paths = resolve_verbaliser(config.prompt.verbaliser).words_paths
    return config.llm.name != NO_LLM and is_scorer_trained(words_paths, config.llm, config.training)


def score_out_of_fold(stages: Stages, graphs: ExamplePaths, examples: Queries) -> OutOfFoldScores:
    """Score the examples by scorers that have not seen their users, or read the scores from the cache.

    Args:
        stages: of the run.
        graphs: the cross-fitted graphs and their paths.
        examples: the ranker's training examples.

    Returns:
        The scores, in the order of ``examples``.

    Raises:
        ConfigError: the examples are of one user.
    """
    config = stages.config
    if len(np.unique(tell_users_apart(examples.user))) < 2:
        raise ConfigError(
            "training.residual=true needs training lists of at least two users; set it to false"
        )
    make = partial(new_scorer, config.scorer, config.paths.search, graphs.graphs[0], config.seed)

    def build(folder: Path) -> None:
        order = np.concatenate([index for _, index in graphs.parts(examples)])
        with bar("score lists out of fold, folds") as update:
            found = out_of_fold_scores(
                make,
                find_lists(graphs, examples),
                config.scorer,
                config.seed,
                FOLDS,
                update,
            )
        columns = {}
        for name, values in vars(found).items():
            column = np.empty_like(values)
            column[order] = values
            columns[name] = torch.from_numpy(column)
        write_safetensors(folder / OUT_OF_FOLD, columns)

    def load(folder: Path) -> OutOfFoldScores:
        columns = read_safetensors(folder / OUT_OF_FOLD)
        return OutOfFoldScores(**{name: column.numpy() for name, column in columns.items()})

    return stages.cache.load_or_build("out_of_fold", stages.keys.out_of_fold(FOLDS), build, load)


def find_lists(graphs: ExamplePaths, examples: Queries) -> list[ExampleLists]:
    """Find the paths of examples, each in its own graph.

    Args:
        graphs: the cross-fitted graphs and their paths.
        examples: the ranker's training examples.

    Returns:
        One part for each graph that has examples.
    """
    return [
        ExampleLists(graph.data, graph(examples[index]), examples.target[index])
        for graph, index in graphs.parts(examples)
    ]


def build_ranker(
    stages: Stages,
    data: HeteroData,
    scorer: PathScorer,
    pretraining: Pretraining,
    graphs: ExamplePaths,
    examples: Queries,
) -> RankerModel:
    """Build the ranker before its training: LM with new LoRA, trained scorer, fusion from its training.

    Args:
        stages: of the run; the ranker is put on their device.
        data: the graph of all training interactions, for titles and names.
        scorer: the scorer, trained alone.
        pretraining: the result of its training.
        graphs: the graphs of the examples and their paths, which set the grades of the wording.
        examples: the ranker's training examples.
    """
    config, device = stages.config, stages.device
    fusion = Fusion(pretraining.a, pretraining.b, config.training.fuse)
    words_paths = resolve_verbaliser(config.prompt.verbaliser).words_paths
    if config.training.residual:
        # The terms are fixed, and validation fits all weights.
        fusion.requires_grad_(False)
    if not is_scorer_trained(words_paths, config.llm, config.training):
        # DistributedDataParallel would wait for parameters that no loss reaches.
        scorer.requires_grad_(False)
    lm: LMScorer | None = None
    prompter: BasePrompter | None = None
    if config.llm.name != NO_LLM:
        with activity("load the language model"):
            model, tokenizer = load_llm(config.llm, device)
        lm = LMScorer(model, config.llm, config.seed)
        prompter = build_prompter(tokenizer, data, config.prompt, lm.readout.layout)
        with activity("count paths for the wording"):
            prompter.fit(graphs.chunks(examples))
    # The language model is on the device already, and a 4-bit one cannot be moved: only the rest is.
    return RankerModel(lm, scorer.to(device), prompter, fusion.to(device))
