"""Scorer and ranker of a run: built, and the scorer trained alone first."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lkgrag.config.identity import to_dict
from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import Ranker
from lkgrag.run.stages import queries_for, retrieval_key
from lkgrag.scorer import PathScorer, Pretraining, build_scorer, code_of, resolve_scorer
from lkgrag.scorer.state import load_scorer, save_scorer
from lkgrag.scorer.trial import try_out
from lkgrag.training.negatives import every_training_event, uniform_queries
from lkgrag.training.objective import learns
from lkgrag.training.pretraining import pretrain
from lkgrag.utils.console import bar
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.plugins import of_others

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.data import Queries
    from lkgrag.paths import Finder, PathBatch
    from lkgrag.retrieval import StageOne
    from lkgrag.run.cache import StageCache
    from lkgrag.run.stages import Loaded

#: Queries whose paths are found at once where all are gone through.
CHUNK = 64
#: Queries that a scorer of someone else's is tried on.
TRIED = 8
#: The word for `llm.name` that leaves the language model out.
NO_LLM = "none"


def training_queries(config: Config, loaded: Loaded, one: StageOne) -> Queries:
    """Stage two's examples: cross-fitted lists that hold their target, or random ones as published."""
    if config.training.negatives == "uniform":
        events = one.examples.events
        if not len(events):
            events = every_training_event(loaded.interactions, loaded.split.train_end)
        return uniform_queries(
            loaded.interactions, events, config.retrieval.k, config.paths.history, config.seed
        )
    return queries_for(config, loaded, one.examples[one.examples.retrieved])


def chunks(finder: Finder, queries: Queries) -> Iterator[PathBatch]:
    """Paths of many queries, a part at a time; of none, one empty part, which tells the meta-paths."""
    for start in range(0, max(1, len(queries)), CHUNK):
        yield finder(queries[slice(start, start + CHUNK)])


def new_scorer(config: Config, data: HeteroData, finder: Finder) -> PathScorer:
    """A fresh scorer whose initial weights follow from the run's seed.

    Raises:
        ConfigError: it cannot be built, or not for paths of kinds that are not known beforehand.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        scorer = build_scorer(config.scorer, data, finder.metapaths)
    if config.paths.search == "shortest" and not scorer.open_metapaths:
        raise ConfigError(
            f"scorer.name={config.scorer.name} must know all meta-paths beforehand, but "
            "paths.search=shortest finds them as it goes: set paths.search=metapaths, or scorer.name to "
            "published or shortest"
        )
    return scorer


def stage_scorer(
    cache: StageCache,
    config: Config,
    loaded: Loaded,
    data: HeteroData,
    finder: Finder,
    examples: Queries,
) -> tuple[PathScorer, Pretraining]:
    """The scorer, trained alone on the examples.

    Args:
        cache: of stages.
        config: of the run.
        loaded: its data.
        data: the cross-fitted graph.
        finder: its paths.
        examples: stage two's.
    """

    def build(folder: Path) -> None:
        file = folder / "scorer.safetensors"
        if of_others(resolve_scorer(config.scorer.name)) and len(examples):
            make = partial(new_scorer, config, data, finder)
            try_out(make, data, finder(examples[slice(0, TRIED)]), file)
        scorer = new_scorer(config, data, finder)
        found = Pretraining()
        if len(examples) and config.scorer.pretrain_epochs > 0:
            with bar("train the scorer") as update:
                found = pretrain(
                    scorer,
                    data,
                    finder(examples),
                    examples.target,
                    config.scorer,
                    config.seed,
                    update,
                )
        save_scorer(file, scorer)
        write_json(folder / "pretraining.json", asdict(found))

    def load(folder: Path) -> tuple[PathScorer, Pretraining]:
        scorer = new_scorer(config, data, finder)
        load_scorer(folder / "scorer.safetensors", scorer)
        return scorer, Pretraining(**read_json(folder / "pretraining.json"))

    depends = {
        **retrieval_key(config, loaded),
        "paths": to_dict(config.paths),
        "scorer": to_dict(config.scorer),
        # Of what the lists are made that it learns from.
        "negatives": config.training.negatives,
    }
    code = code_of(config.scorer.name)
    if code is not None:
        # A scorer that was edited is another one, whatever its name.
        depends["code"] = code
    return cache.stage("scorer", depends, build, load)


def build_ranker(
    config: Config,
    data: HeteroData,
    scorer: PathScorer,
    finder: Finder,
    examples: Queries,
    pretraining: Pretraining,
    device: torch.device,
) -> Ranker:
    """The ranker before its training: LM with fresh LoRA, trained scorer, fusion as learned so far.

    Args:
        config: of the run.
        data: the graph, for titles and names.
        scorer: trained alone.
        finder: of the examples' paths, which set the grades of the wording.
        examples: stage two's.
        pretraining: what the scorer's training found.
        device: to put it on.
    """
    fusion = Fusion(pretraining.a, pretraining.b, config.training.fuse)
    if not learns(config):
        # Parameters that no loss reaches would stop DistributedDataParallel, which waits for them.
        scorer.requires_grad_(False)
    if config.llm.name == NO_LLM:
        return Ranker(None, scorer, None, fusion).to(device)
    from lkgrag.llm import LMScorer, load_llm
    from lkgrag.prompt import build_prompter

    model, tokenizer = load_llm(config.llm, device)
    prompter = build_prompter(tokenizer, data, config.prompt, config.llm.readout)
    prompter.fit(chunks(finder, examples))
    lm = LMScorer(model, config.llm, config.seed)
    return Ranker(lm, scorer.to(device), prompter, fusion.to(device))
