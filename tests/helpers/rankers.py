"""Small rankers for tests: a random two-layer Llama on planted or toy data."""

import numpy as np
import torch
from accelerate import Accelerator

from lkgrag.config import Config, DataConfig, KGConfig, LLMConfig, PathsConfig, PromptConfig
from lkgrag.data import Queries, make_split
from lkgrag.kg import build_kg
from lkgrag.llm import LMScorer
from lkgrag.paths import ExamplePaths, GraphPaths, PathFinder
from lkgrag.prompt import Prompter
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.batch import RankerBatch
from lkgrag.ranker.model import RankerModel
from lkgrag.scorer import build_scorer
from lkgrag.testing import planted
from lkgrag.testing.llm import tiny_llama, tiny_tokenizer
from lkgrag.training.loop import Trainer

CANDIDATES = 8


class Planted:
    """Data in which a shared maker decides the next item, and rankings to learn it from."""

    def __init__(self, num_users=120, seed=0, **options):
        self.config = Config(
            kg=KGConfig(behaviour=False, users=False),
            paths=PathsConfig(history=4),
            prompt=PromptConfig(history=2, **options.pop("prompt", {})),
            llm=LLMConfig(lora_r=4, dtype="float32", **options.pop("llm", {})),
            **options,
        )
        self.interactions = planted(num_users, seed=seed)
        self.split = make_split(self.interactions, DataConfig())
        self.data = build_kg(self.interactions, self.split.train_end, self.config.kg)
        self.graph = GraphPaths(self.data, PathFinder(self.data, self.config.paths))
        events = self.split.test
        rng = np.random.default_rng(seed)
        items = np.empty((len(events), CANDIDATES), np.int64)
        for row, target in enumerate(events.target):
            others = np.setdiff1d(np.arange(self.interactions.num_items), [target])
            items[row] = rng.permutation([target, *rng.choice(others, CANDIDATES - 1, False)])
        scores = np.zeros(items.shape, np.float32)
        self.queries = Queries.from_events(self.interactions, events, items, scores, history=4)

    def ranker(self, seed=0, layers=2, hidden=32):
        torch.manual_seed(seed)
        scorer = build_scorer(self.config.scorer, self.data, self.graph.metapaths)
        tokenizer = tiny_tokenizer()
        prompter = Prompter(tokenizer, self.data, self.config.prompt, self.config.llm.readout).fit(
            [self.graph(self.queries)]
        )
        model = tiny_llama(len(tokenizer), seed, hidden_size=hidden, layers=layers)
        return RankerModel(LMScorer(model, self.config.llm, seed), scorer, prompter)

    def trainer(self, ranker, config, *more):
        """A trainer of all lists on the CPU; ``more`` goes on with its checkpoint."""
        order, accelerator = CandidateOrder("random", 0), Accelerator(cpu=True)
        lists = ExamplePaths([self.graph]), self.queries
        return Trainer(ranker, *lists, config, order, accelerator, *more)

    def batch(self, index=slice(0, 4), paths=None):
        queries = self.queries[index]
        paths = self.graph(queries) if paths is None else paths
        order = torch.arange(CANDIDATES).repeat(len(queries), 1)
        return RankerBatch(self.data, paths, order), torch.as_tensor(queries.target)
