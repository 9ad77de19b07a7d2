"""What a run learns: the graph, stage one, the scorer and the ranker, in the order of the data's flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lkgrag.config import NO_LLM
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.evaluation.score_cache import ScoreCache
from lkgrag.paths import graph_paths
from lkgrag.prompt.order import CandidateOrder
from lkgrag.retrieval.ranks import ndcg
from lkgrag.run.agreement import refuse_other_stages
from lkgrag.run.ranker_stages import build_ranker, train_scorer, training_queries
from lkgrag.run.ranker_training import CHECKPOINTS, SKIP_LLM, train_ranker
from lkgrag.run.shared_training import fit_lrurec_together
from lkgrag.utils.group import Group
from lkgrag.utils.watching import tell_figure

if TYPE_CHECKING:
    from lkgrag.config import LLMConfig
    from lkgrag.paths import GraphPaths
    from lkgrag.ranker.model import RankerModel
    from lkgrag.retrieval import StageOne
    from lkgrag.run.context import RunContext
    from lkgrag.run.ranker_training import RankerTraining
    from lkgrag.run.stages import Stages
    from lkgrag.training.pretraining import Pretraining

#: How to shorten the ranking with the language model, or to do without it.
EVALUATION_ADVICE = f"evaluation.max_events ranks fewer, {SKIP_LLM}"


@dataclass(frozen=True)
class Learned:
    """Everything that was learned, before it is evaluated.

    Attributes:
        stage_one: the retriever, and the candidates of all events.
        graph: the graph of all training interactions, and its paths.
        model: the trained ranker.
        pretraining: of the scorer alone.
        training: of the ranker.
    """

    stage_one: StageOne
    graph: GraphPaths
    model: RankerModel
    pretraining: Pretraining
    training: RankerTraining


def learn(stages: Stages, context: RunContext) -> Learned:
    """Carry out the stages up to the trained ranker, and tell whoever watches how good the candidates are.

    Args:
        stages: of the run.
        context: how the run is carried out.
    """
    config, show = stages.config, context.display
    show.start("knowledge graph")
    data = stages.kg(stages.dataset.split.train_end)
    show.show_graph(data)
    show.start("retrieval: LRURec, counts, graph, text, fusion")
    group = Group.of(context.accelerator.device)
    fit_lrurec_together(stages, group)
    stage_one = stages.retrieval()
    show.show_retrieval(stage_one, config.retrieval.k)
    tracking = context.tracking
    for name in ("lrurec", "text"):
        curve = stage_one.report.get(f"{name}_curve") or []
        word = "ndcg@10" if name == "lrurec" else "loss"
        tracking.log_curve(name, [{word: value} for value in curve])
    if len(stage_one.val):
        tell_figure("candidates", 1, 1, float(stage_one.val.retrieved.mean()))
        tell_figure("retriever", 1, 1, ndcg(stage_one.val.ranks["retriever"], 10))
    show.start("paths and scorer")
    graph = graph_paths(data, config.paths)
    fit_graphs = stages.example_paths(stage_one)
    examples = training_queries(stages, stage_one)
    scorer, pretraining = train_scorer(stages, fit_graphs, examples)
    lists = (examples.candidate_items, examples.target, stage_one.val.items, stage_one.test.items)
    refuse_other_stages(group, lists)
    show.show_scorer(graph, examples, pretraining)
    tracking.log_curve("scorer", pretraining.curve)
    show.start(_ranker_title(config.llm))
    if config.llm.name != NO_LLM:
        show.say(str(context.budget))
    model = build_ranker(stages, data, scorer, pretraining, fit_graphs, examples)
    training = train_ranker(stages, context, model, fit_graphs, examples)
    return Learned(stage_one, graph, model, pretraining, training)


def build_evaluator(stages: Stages, context: RunContext, graph: GraphPaths) -> Evaluator:
    """The evaluator of a run, which ranks within its budget of prompts.

    Args:
        stages: of the run.
        context: how the run is carried out.
        graph: the graph of all training interactions, and its paths.
    """
    config = stages.config
    _, options = context.budget.apply(config.training, config.evaluation)
    return Evaluator(
        stages.dataset.interactions,
        graph,
        options,
        CandidateOrder(config.prompt.order, config.seed),
        config.paths.history,
        context.accelerator,
        ScoreCache(context.folder / CHECKPOINTS, stages.keys.scores()),
        advice=EVALUATION_ADVICE,
    )


def _ranker_title(llm: LLMConfig) -> str:
    """The title of the stage in which the ranker is trained: what of it learns."""
    if llm.name == NO_LLM:
        return "ranker: no language model (llm.name=none), fusion"
    learns = {"lora": "LoRA", "full": "all its weights", "auto": "LoRA or all its weights"}
    return f"ranker: language model, {learns[llm.adapter]}, fusion"
