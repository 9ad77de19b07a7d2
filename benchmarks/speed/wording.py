"""Tokens of the compact wording against the published one's, for the same evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.common import say
from lkgrag.data.assets.models import load_tokenizer, locate
from lkgrag.kg.path_words import PathWords
from lkgrag.paths import PathFinder
from lkgrag.prompt import build_prompter
from lkgrag.prompt.published import published_title, relation_name

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.data import Queries


def measure(config: Config, data: HeteroData, queries: Queries) -> dict[str, Any]:
    """Word the same paths twice.

    The compact prompts are made; every path that stands in one is then worded as the published prompt
    would: a sentence each, with both titles, relations and the shared entity.

    Args:
        config: of the default prompt.
        data: the graph.
        queries: prompts.

    Returns:
        Tokens of the evidence alone, a prompt, in either wording.
    """
    say("wording: tokens")
    tokenizer = load_tokenizer(locate(config.llm.name))
    finder = PathFinder(data, config.paths)
    paths = finder(queries)
    prompter = build_prompter(tokenizer, data, config.prompt, "candidates").fit([paths])
    order = torch.arange(paths.num_candidates).repeat(len(queries), 1)
    made = prompter(paths, None, order)
    compact = int((made.bundle >= 0).sum())
    words = PathWords(data)
    titles = [published_title(t) for t in data["item"].name]
    # A grade stands for all instances of its bundle; published is a sentence for the strongest alone.
    first = np.unique(made.bundle_id.numpy(), return_index=True)[1]
    lines = []
    for path in made.bundle_path[torch.from_numpy(first)].tolist():
        metapath = paths.metapaths[int(paths.metapath[path])]
        nodes = paths.nodes[path].tolist()
        parts = [f"({int(paths.history[path]) + 1}) {titles[nodes[0]]}"]
        for place, edge_type in enumerate(metapath, start=1):
            name = (
                titles[nodes[place]]
                if edge_type[2] == "item"
                else str(words.name(edge_type[2], nodes[place]) or edge_type[2])
            )
            parts += [relation_name(edge_type), name]
        lines.append(" -> ".join(parts))
    published = sum(len(row) for row in tokenizer(lines, add_special_tokens=False)["input_ids"])
    prompts = len(queries)
    return {
        "prompts": prompts,
        "compact_tokens_a_prompt": compact / prompts,
        "published_tokens_a_prompt": published / prompts,
        "values": {"S9": 100 * compact / published},
    }
