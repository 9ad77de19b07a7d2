"""The language model as a reranker of new items: it reads the twenty that all else puts first.

It is trained on lists of pseudo-new items: the target and the nineteen that the path scorer puts highest. Its score
is then one more evidence beside the base, weighted on other users. The control reads the texts of other items.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator

from benchmarks.language import path_scores
from benchmarks.language.gpu import permute_titles
from benchmarks.language.logit import Lists, cross_validated, figures, ranks_of
from lkgrag.config.loading import load_config
from lkgrag.llm import LMScorer, load_llm
from lkgrag.paths import ExamplePaths, graph_paths
from lkgrag.prompt import Prompter, build_prompter
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.fusion import Fusion
from lkgrag.ranker.model import RankerModel
from lkgrag.ranker.scoring import LM, score_queries
from lkgrag.training.loop import Trainer
from lkgrag.utils.files import atomic
from lkgrag.utils.progress import bar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.language.cold import Cold
    from lkgrag.config import Config
    from lkgrag.data.queries import Queries
    from lkgrag.paths import GraphPaths
    from lkgrag.scorer import PathScorer

#: Candidates of a list, training lists, and prompts of a forward pass that ranks.
SHOWN, EXAMPLES, BATCH = 20, 1000, 16
#: The prompts' texts: the items' own, and those of other items.
ARMS = ("real", "permuted")
#: Options of prompts and training: choices alone teach, as in the preset ``text-first``, by LoRA.
OPTIONS = {
    "prompt.items": "text",
    "prompt.history": "8",
    "training.distill": "0",
    "training.probe": "0",
    "training.aux_scorer": "0",
    "training.wordless": "0.5",
    "training.epochs": "1",
}


def reader_config(config: Config, model: str) -> Config:
    """The same configuration with a language model that reads texts.

    Args:
        config: of the data.
        model: name or folder of the language model.
    """
    reader = load_config({**OPTIONS, "llm.name": model, "seed": str(config.seed)})
    return replace(config, llm=reader.llm, prompt=reader.prompt, training=reader.training)


def hardest(
    scorer: PathScorer, graph: GraphPaths, lists: Queries, number: int, seed: int
) -> Queries:
    """Some lists, each of its target and the candidates that the scorer puts highest, in a random order.

    Args:
        scorer: of paths.
        graph: the graph and its paths.
        lists: with their targets; slots without a candidate come last.
        number: of lists.
        seed: of the order.
    """
    lists = lists[slice(0, number)]
    scores = path_scores.scores(scorer, graph, lists)
    scores[lists.candidate_items < 0] = -np.inf
    rows = np.arange(len(lists))
    scores[rows, lists.target] = np.inf
    # A stable order within equal scores would tell the target's place: shuffled slots do not.
    keys = np.random.default_rng([seed, 0x5F]).random(scores.shape)
    top = np.lexsort((keys, -scores), axis=1)[:, :SHOWN]
    top = np.take_along_axis(top, np.argsort(np.take_along_axis(keys, top, 1), 1), 1)
    items = np.take_along_axis(lists.candidate_items, top, 1)
    # Padding on the right, as everywhere.
    last = np.argsort(items < 0, axis=1, kind="stable")
    top, items = (np.take_along_axis(x, last, 1) for x in (top, items))
    prior = np.where(items >= 0, 0.0, -np.inf).astype(np.float32)
    target = (top == lists.target[:, None]).argmax(1)
    return replace(lists, candidate_items=items, prior=prior, target=target)


def first_twenty(scores: NDArray[np.float32], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """Slots of the best :data:`SHOWN`, best first; equal scores count against the target. int64 ``[E, SHOWN]``."""
    is_target = np.arange(scores.shape[1]) == target[:, None]
    return np.lexsort((is_target, -scores), axis=1)[:, :SHOWN]


def read_lists(cold: Cold, model: str, arm: str, queries: Queries) -> NDArray[np.float32]:
    """The language model's scores of lists of new items, float32 ``[B, SHOWN]``; 0 in padding.

    Args:
        cold: the data and what is deleted.
        model: name or folder of the language model.
        arm: of :data:`ARMS`.
        queries: lists to score.
    """
    config = reader_config(cold.config, model)
    graph = graph_paths(cold.data, config.paths)
    examples = cold.examples()
    scorer, _ = path_scores.train(graph, config, examples)
    lists = hardest(scorer, graph, examples, EXAMPLES, config.seed)
    accelerator = Accelerator(mixed_precision="no")
    base, tokenizer = load_llm(config.llm, accelerator.device)
    lm = LMScorer(base, config.llm, config.seed)
    prompter = build_prompter(tokenizer, graph.data, config.prompt, lm.readout.layout)
    assert isinstance(prompter, Prompter)
    graphs = ExamplePaths([graph])
    prompter.fit(graphs.chunks(lists))
    if arm == "permuted":
        permute_titles(prompter, config.seed)
    # The language model learns alone: neither scorer nor prior has a part in its loss.
    ranker = RankerModel(lm, scorer, prompter, Fusion(0.0, 0.0)).to(accelerator.device)
    ranker.scorer.requires_grad_(False)
    ranker.fusion.requires_grad_(False)
    order = CandidateOrder(config.prompt.order, config.seed)
    training = replace(config.training, max_examples=-1)
    with bar(f"{arm} texts: steps") as update:
        Trainer(ranker, graphs, lists, training, order, accelerator).fit(update)
    with bar(f"{arm} texts: lists") as update:
        found = score_queries(ranker, graph, queries, order, BATCH, progress=update)
    return found.terms[LM].astype(np.float32)


def measure(cold: Cold, base: tuple[str, ...], model: str) -> list[dict[str, Any]]:
    """What the language model adds as a reranker, over the base's own order.

    Args:
        cold: the data and what is deleted.
        base: kinds of evidence of the base.
        model: name or folder of the language model.

    Returns:
        Rows with ``name``, ``evidence`` and :func:`~benchmarks.language.logit.figures`, gains over the base.
    """
    kinds = [x for kind in base for x in cold.kind(kind).values()]
    scores, _ = cross_validated(cold.lists, kinds, cold.config.seed)
    slots = first_twenty(scores, cold.lists.target)
    known = ranks_of(scores, cold.lists)
    hit = slots == cold.lists.target[:, None]
    found = np.flatnonzero(hit.any(1))
    queries = cold.queries(cold.events[found], cold.items[slots[found]])
    own = np.take_along_axis(scores[found], slots[found], 1)
    target, user = hit[found].argmax(1), cold.lists.user[found]
    lists = Lists(target, user, np.ones(own.shape, bool))
    rows = []
    for arm in ARMS:
        file = cold.folder / f"rerank-{arm}.npy"
        if not file.exists():
            read = read_lists(cold, model, arm, queries)
            with atomic(file) as tmp, open(tmp, "wb") as out:
                np.save(out, read)
        both, _ = cross_validated(lists, [own, np.load(file)], cold.config.seed)
        ranks = known.copy()
        ranks[found] = ranks_of(both, lists)
        name = "base + language model as reranker" + (", permuted texts" * (arm != "real"))
        row = {"name": name, "evidence": [*base, f"language model, {arm} texts"]}
        rows.append(row | figures(ranks, cold.events.user, known))
    return rows
