"""Scorer and ranker of a run: built, and the scorer trained alone first."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.config import NO_LLM
from lkgrag.config.checks import is_scorer_trained
from lkgrag.prompt import build_prompter
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.scorer import PathScorer, resolve_scorer
from lkgrag.scorer.resolver import new_scorer
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out
from lkgrag.training.negatives import every_training_event, uniform_queries
from lkgrag.training.pretraining import Pretraining, pretrain
from lkgrag.utils.console import bar
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.data import Queries
    from lkgrag.llm import LMScorer
    from lkgrag.paths import GraphPaths
    from lkgrag.prompt import BasePrompter
    from lkgrag.retrieval import StageOne
    from lkgrag.run.stages import Stages

#: Queries that a custom scorer is tried on.
TRIED = 8


def training_queries(stages: Stages, one: StageOne) -> Queries:
    """Stage two's examples: cross-fitted lists that hold their target, or random ones as published."""
    config, dataset = stages.config, stages.dataset
    if config.training.negatives == "uniform":
        events = one.examples.events
        if not len(events):
            events = every_training_event(dataset.interactions, dataset.split.train_end)
        return uniform_queries(
            dataset.interactions, events, config.retrieval.k, config.paths.history, config.seed
        )
    return stages.queries(one.examples[one.examples.retrieved])


def stage_scorer(
    stages: Stages, graph: GraphPaths, examples: Queries
) -> tuple[PathScorer, Pretraining]:
    """The scorer, trained alone on the examples.

    Args:
        stages: of the run.
        graph: cross-fitted, and its paths.
        examples: stage two's.
    """
    config = stages.config
    make = partial(new_scorer, config.scorer, config.paths.search, graph, config.seed)

    def build(folder: Path) -> None:
        file = folder / "scorer.safetensors"
        if is_custom(resolve_scorer(config.scorer.name)) and len(examples):
            try_out(make, graph.data, graph(examples[slice(0, TRIED)]), file)
        scorer, pretraining = make(), Pretraining()
        if len(examples) and config.scorer.pretrain_epochs > 0:
            with bar("train the scorer") as update:
                pretraining = pretrain(
                    scorer,
                    graph.data,
                    graph(examples),
                    examples.target,
                    config.scorer,
                    config.seed,
                    update,
                )
        save_scorer(file, scorer)
        write_json(folder / "pretraining.json", asdict(pretraining))

    def load(folder: Path) -> tuple[PathScorer, Pretraining]:
        scorer = make()
        load_scorer(folder / "scorer.safetensors", scorer)
        return scorer, Pretraining(**read_json(folder / "pretraining.json"))

    return stages.cache.stage("scorer", stages.keys.scorer(), build, load)


def build_ranker(
    stages: Stages,
    data: HeteroData,
    scorer: PathScorer,
    pretraining: Pretraining,
    fit_graph: GraphPaths,
    examples: Queries,
) -> RankerModel:
    """The ranker before its training: LM with fresh LoRA, trained scorer, fusion as learned so far.

    Args:
        stages: of the run; the ranker goes to their device.
        data: the graph of all training interactions, for titles and names.
        scorer: trained alone.
        pretraining: what the scorer's training gave.
        fit_graph: the graph of the examples, whose paths set the grades of the wording.
        examples: stage two's.
    """
    config, device = stages.config, stages.device
    fusion = Fusion(pretraining.a, pretraining.b, config.training.fuse)
    if not is_scorer_trained(config.prompt, config.llm, config.training):
        # Parameters that no loss reaches would stop DistributedDataParallel, which waits for them.
        scorer.requires_grad_(False)
    lm: LMScorer | None = None
    prompter: BasePrompter | None = None
    if config.llm.name != NO_LLM:
        # Only here: a run without a language model does not wait for transformers.
        from lkgrag.llm import LMScorer, load_llm

        model, tokenizer = load_llm(config.llm, device)
        lm = LMScorer(model, config.llm, config.seed)
        prompter = build_prompter(tokenizer, data, config.prompt, lm.readout.layout)
        prompter.fit(fit_graph.chunks(examples))
    # Not the whole module at once: the language model is there already, and in 4 bits it stays where it is.
    return RankerModel(lm, scorer.to(device), prompter, fusion.to(device))
