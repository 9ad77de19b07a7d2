"""The prompters of the published prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.budget import Evidence, within_budget
from lkgrag.prompt.collate import PAD, Prompt, TokenBatch, collate
from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.letters import LETTERS
from lkgrag.prompt.pieces import start_tokens
from lkgrag.prompt.published.encoder import TextEncoder
from lkgrag.prompt.published.words import (
    ANSWER,
    INSTRUCTION,
    INSTRUCTION_RELATIONS,
    JOINT,
    POINT,
    POOL,
    RELATIONS,
    STOP,
    published_title,
    relation_name,
    value_name,
)
from lkgrag.prompt.titles import encode_titles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch


class PublishedPrompter(BasePrompter):
    """Words and encodes the prompts of LlamaRec-LKG-RAG.

    One path a history item is worded: the most salient one; of equals that whose candidate stands first.
    A prompt that is too long loses the relations of the oldest history items first, then the oldest
    history. The published one lost its beginning, instruction and all.

    Args:
        tokenizer: of the language model.
        data: the graph, for titles and names.
        config: of the prompts.
        layout: must be ``letters``.
        titles: of the items, by index; the graph's by default.
    """

    layouts = (PromptLayout.LETTERS,)
    answer = ANSWER
    # The answer follows a line break.
    letter_spaces = ("", " ")
    #: The sentence that opens a prompt.
    instruction: ClassVar[str] = INSTRUCTION_RELATIONS

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: HeteroData,
        config: PromptConfig,
        layout: PromptLayout | str = PromptLayout.LETTERS,
        titles: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tokenizer, data, config, layout)
        names = data["item"].name if titles is None else titles
        self.titles = encode_titles(
            tokenizer, [published_title(str(t)) for t in names], config.max_title, inside=True
        )
        head = f"### Instruction:\n{self.instruction}\n\n### Input:\nUser history:"
        first = tokenizer([head], add_special_tokens=False)["input_ids"][0]
        self._head = [*start_tokens(tokenizer), *(int(i) for i in first)]
        self._encode = TextEncoder(tokenizer)

    def __call__(
        self,
        paths: PathBatch,
        salience: Tensor | None,
        order: Tensor,
        generator: torch.Generator | None = None,
    ) -> TokenBatch:
        """Make the prompts of a batch; see :meth:`BasePrompter.__call__`.

        Without ``salience`` the shortest paths are worded; nothing is ever sampled.
        """
        chosen = self._choose(paths, salience, order)
        ends = np.searchsorted(paths.sample.numpy()[chosen], np.arange(paths.num_prompts + 1))
        prompts: list[Prompt] = []
        kept: list[int] = []
        for row in range(paths.num_prompts):
            low, high = ends[row], ends[row + 1]
            prompt, told = self._prompt(paths, row, order[row].tolist(), chosen[low:high].tolist())
            prompts.append(prompt)
            kept += told
        index = torch.tensor(kept, dtype=torch.int64)
        worded = [paths.sample[index], paths.candidate[index], paths.metapath[index]]
        return collate(prompts, index, torch.arange(len(index)), torch.stack(worded, 1))

    def _choose(
        self, paths: PathBatch, salience: Tensor | None, order: Tensor
    ) -> NDArray[np.int64]:
        """The path of each (prompt, history item), sorted by these; int64 ``[K]``."""
        if salience is None:
            length = torch.tensor([len(m) for m in paths.metapaths], dtype=torch.float64)
            salience = -length[paths.metapath]
        place = torch.empty_like(order).scatter_(
            1, order, torch.arange(order.shape[1]).expand_as(order)
        )
        group = (paths.sample * paths.history_items.shape[1] + paths.history).numpy()
        value = salience.detach().double().numpy()
        rank = np.lexsort((place[paths.sample, paths.candidate].numpy(), -value, group))
        _, first = np.unique(group[rank], return_index=True)
        return rank[first]

    def _prompt(
        self, paths: PathBatch, row: int, order: list[int], chosen: list[int]
    ) -> tuple[Prompt, list[int]]:
        """One prompt, and which of the chosen paths it holds."""
        candidates = paths.candidate_items[row].tolist()
        shown = [slot for slot in order if candidates[slot] >= 0]
        letter_ids = self.letters(len(shown))
        letter = {slot: LETTERS[place] for place, slot in enumerate(shown)}
        pool = [self._encode(f" ({letter[s]})") + self.titles[candidates[s]] for s in shown]
        items = paths.history_items[row].tolist()
        slots = [h for h, item in enumerate(items) if item >= 0]
        slots = slots[max(0, len(slots) - self.config.history) :]
        number = {h: place for place, h in enumerate(slots, start=1)}
        history = [self._encode(f" ({number[h]})") + self.titles[items[h]] for h in slots]
        told = [p for p in chosen if int(paths.history[p]) in number]
        lines = [self._line(paths, p, number, letter) for p in told]
        joint, between, opening = (self._encode(text) for text in (JOINT, RELATIONS, POOL))
        answer = self._encode("\n\n" + ANSWER)
        # Two closing semicolons at most.
        fixed = len(self._head) + len(opening) + len(answer) + 2
        fixed += sum(map(len, pool)) + len(joint) * max(0, len(pool) - 1)
        evidence = [
            # The section's heading goes with the last line to go, that of the latest history item.
            Evidence(h, 0, h, len(ids) + len(between if n == len(lines) - 1 else joint))
            for n, (h, ids) in enumerate(zip(paths.history[told].tolist(), lines, strict=True))
        ]
        first, keep = within_budget(
            self.config.max_tokens, fixed, [len(x) + len(joint) for x in history], evidence
        )
        prompt = Prompt.begin(self._head, len(candidates))
        _join(prompt, history[first:], joint)
        self._close(prompt, STOP)
        worded = [ids for ids, stays in zip(lines, keep, strict=True) if stays]
        if worded:
            prompt.add(between)
            _join(prompt, worded, joint, bundles=True)
            self._close(prompt, STOP)
        prompt.add(opening)
        _join(prompt, pool, joint)
        prompt.add(answer)
        prompt.read_by_letters(shown, letter_ids)
        return prompt, [p for p, stays in zip(told, keep, strict=True) if stays]

    def _line(
        self, paths: PathBatch, path: int, number: dict[int, int], letter: dict[int, str]
    ) -> list[int]:
        """One path: the user's own edge, then the way from the history item to the candidate."""
        h = int(paths.history[path])
        row = int(paths.sample[path])
        rating = float(paths.history_rating[row, h])
        nodes = paths.nodes[path].tolist()
        item = self._encode(f" ({number[h]})") + self.titles[nodes[0]]
        if rating == rating:
            out = (
                self._encode(" The user rated the")
                + item
                + self._encode(f" {round(rating, 2)} stars.")
            )
        else:
            out = self._encode(" The user chose the") + item
            out = out[:-1] + self._encode.glue(out[-1], POINT)
        out = out + item
        metapath = paths.metapaths[int(paths.metapath[path])]
        for place, edge_type in enumerate(metapath, start=1):
            out = out + self._encode(f" -> {relation_name(edge_type)} ->")
            if place == len(metapath):
                out = out + self._encode(f" ({letter[int(paths.candidate[path])]})")
            if edge_type[2] == "item":
                out = out + self.titles[nodes[place]]
            else:
                name = str(self.data[edge_type[2]].name[nodes[place]])
                out = out + self._encode(f" {value_name(name, edge_type[2])}")
        return out

    def _close(self, prompt: Prompt, text: str) -> None:
        """Put punctuation behind the last token, in its bundle."""
        token, bundle = prompt.tokens.pop(), prompt.bundle.pop()
        prompt.add(self._encode.glue(token, text), bundle)


class LlamaRecPrompter(PublishedPrompter):
    """Words and encodes the prompts of LlamaRec, which hold no relations."""

    words_paths = False
    instruction = INSTRUCTION

    def _choose(
        self, paths: PathBatch, salience: Tensor | None, order: Tensor
    ) -> NDArray[np.int64]:
        """No path."""
        return np.zeros(0, np.int64)


def _join(prompt: Prompt, lines: list[list[int]], joint: list[int], bundles: bool = False) -> None:
    """Append lines with joints between them; where wanted, each is a bundle."""
    for number, ids in enumerate(lines):
        if number:
            prompt.add(joint)
        prompt.add(ids, number if bundles else PAD)
