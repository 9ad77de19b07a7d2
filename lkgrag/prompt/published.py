r"""The published prompts: of LlamaRec (arXiv 2311.02089) and LlamaRec-LKG-RAG (arXiv 2506.07449).

::

    ### Instruction:
    Given user history in chronological order and the relations, recommend an item from the candidate
    pool with its index letter.

    ### Input:
    User history: (1) Alien (1979)
     (2) Blade Runner (1982);
     Relations: The user rated the (1) Alien (1979) 5.0 stars. (1) Alien (1979) -> DIRECTED_BY ->
    Ridley Scott -> IS_THE_DIRECTOR_OF -> (B) Thelma & Louise (1991)
     ...;
     Candidate pool: (A) Casablanca (1942)
     (B) Thelma & Louise (1991)

    ### Response:

Lines are joined by a space, a line break and a space, as published. LlamaRec's prompt has no relations.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.kg.naming import REVERSE
from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.budget import Evidence, within_budget
from lkgrag.prompt.collate import PAD, Prompt, TokenBatch, collate
from lkgrag.prompt.letters import LETTERS
from lkgrag.prompt.pieces import encode_pieces, start_tokens
from lkgrag.prompt.titles import clean_title, encode_titles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch

INSTRUCTION = (
    "Given user history in chronological order, recommend an item from the candidate pool with its "
    "index letter."
)
INSTRUCTION_RELATIONS = (
    "Given user history in chronological order and the relations, recommend an item from the candidate "
    "pool with its index letter."
)
ANSWER = "### Response:\n"
#: Between the lines of a list, and what opens the lists behind the first.
JOINT, RELATIONS, POOL = " \n", " \n Relations:", " \n Candidate pool:"
#: What parts of a prompt are encoded behind.
ANCHOR = "a"
#: What closes a list, and a sentence about a history item.
STOP, POINT = ";", "."
#: Published names of relations and of their inverses.
NAMES = {
    "has_genre": ("GENRE_IS", "GENRE_INCLUDES"),
    "released_in": ("RELEASED_YEAR_IS", "YEAR_INCLUDES"),
    "directed_by": ("DIRECTED_BY", "IS_THE_DIRECTOR_OF"),
    "starring": ("HAS_ACTOR", "ACTED_IN"),
    "has_brand": ("BRAND_IS", "BRAND_INCLUDES"),
    "has_category": ("CATEGORY_IS", "CATEGORY_INCLUDES"),
}
#: Longest name of a node that is no item, in characters.
MAX_NAME = 120

_ARTICLE = re.compile(r"^(.*), (a|an|the)( \(\d{4}\))?$", re.IGNORECASE)


def relation_name(edge_type: EdgeType) -> str:
    """The published name of a relation, or one made like it: ``WRITTEN_BY``, ``WRITTEN_BY_OF``."""
    relation = edge_type[1]
    name = relation.removeprefix(REVERSE)
    names = NAMES.get(name, (name.upper(), f"{name.upper()}_OF"))
    return names[relation.startswith(REVERSE)]


def published_title(title: str) -> str:
    """A title as the published prompts have it: article in front, nothing behind the first comma."""
    found = _ARTICLE.match(title.strip())
    if found:
        title = f"{found[2]} {found[1]}{found[3] or ''}"
    return title.split(",")[0].strip() or title


class PublishedPrompter(BasePrompter):
    """Words and encodes the published prompts.

    With relations, one path a history item is worded: the most salient one; of equals that whose
    candidate stands first. A prompt that is too long loses the relations of the oldest history items
    first, then the oldest history; the published one lost its beginning, instruction and all.

    Args:
        tokenizer: of the language model.
        data: the graph, for titles and names.
        config: of the prompts; ``verbaliser`` is ``reference`` or ``llamarec``.
        readout: must be ``letters``.
        titles: of the items, by index; the graph's by default.
    """

    readouts = ("letters",)
    answer = ANSWER
    # The answer follows a line break.
    letter_spaces = ("", " ")

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: HeteroData,
        config: PromptConfig,
        readout: str = "letters",
        titles: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tokenizer, config, readout)
        self._data = data
        self._relations = config.verbaliser == "reference"
        names = data["item"].name if titles is None else titles
        self.titles = encode_titles(
            tokenizer, [published_title(str(t)) for t in names], config.max_title, inside=True
        )
        instruction = INSTRUCTION_RELATIONS if self._relations else INSTRUCTION
        head = f"### Instruction:\n{instruction}\n\n### Input:\nUser history:"
        first = tokenizer([head], add_special_tokens=False)["input_ids"][0]
        self._head = [*start_tokens(tokenizer), *(int(i) for i in first)]
        self._known: dict[str, list[int]] = {}
        self._anchor = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
        self._anchor_text = str(tokenizer.decode(self._anchor))

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
        chosen = self._choose(paths, salience, order) if self._relations else _NONE
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

    def _choose(self, paths: PathBatch, salience: Tensor | None, order: Tensor) -> np.ndarray:
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
        """One prompt, and those of the chosen paths that it holds."""
        candidates = paths.candidate_items[row].tolist()
        shown = [slot for slot in order if candidates[slot] >= 0]
        self._check_letters(len(shown))
        letter = {slot: LETTERS[place] for place, slot in enumerate(shown)}
        pool = [self._ids(f" ({letter[s]})") + self.titles[candidates[s]] for s in shown]
        items = paths.history_items[row].tolist()
        slots = [h for h, item in enumerate(items) if item >= 0]
        slots = slots[max(0, len(slots) - self.config.history) :]
        number = {h: place for place, h in enumerate(slots, start=1)}
        history = [self._ids(f" ({number[h]})") + self.titles[items[h]] for h in slots]
        told = [p for p in chosen if int(paths.history[p]) in number]
        lines = [self._line(paths, p, number, letter) for p in told]
        joint, between, opening = (self._ids(text) for text in (JOINT, RELATIONS, POOL))
        answer = self._ids("\n\n" + ANSWER)
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
            _add(prompt, between)
            _join(prompt, worded, joint, bundles=True)
            self._close(prompt, STOP)
        _add(prompt, opening)
        _join(prompt, pool, joint)
        _add(prompt, answer)
        prompt.positions = list(range(len(prompt.tokens)))
        prompt.block = [0] * len(prompt.tokens)
        for place, slot in enumerate(shown):
            prompt.read[slot] = len(prompt.tokens) - 1
            prompt.letter[slot] = self._letters[place]
        return prompt, [p for p, stays in zip(told, keep, strict=True) if stays]

    def _line(
        self, paths: PathBatch, path: int, number: dict[int, int], letter: dict[int, str]
    ) -> list[int]:
        """One path: the user's own edge, then the way from the history item to the candidate."""
        h = int(paths.history[path])
        row = int(paths.sample[path])
        rating = float(paths.history_rating[row, h])
        nodes = paths.nodes[path].tolist()
        item = self._ids(f" ({number[h]})") + self.titles[nodes[0]]
        if rating == rating:
            out = self._ids(" The user rated the") + item + self._ids(f" {round(rating, 2)} stars.")
        else:
            out = self._ids(" The user chose the") + item
            out = out[:-1] + self._glued(out[-1], POINT)
        out = out + item
        metapath = paths.metapaths[int(paths.metapath[path])]
        for place, edge_type in enumerate(metapath, start=1):
            out = out + self._ids(f" -> {relation_name(edge_type)} ->")
            if place == len(metapath):
                out = out + self._ids(f" ({letter[int(paths.candidate[path])]})")
            if edge_type[2] == "item":
                out = out + self.titles[nodes[place]]
            else:
                out = out + self._ids(f" {self._name(edge_type[2], nodes[place])}")
        return out

    def _name(self, node_type: str, node: int) -> str:
        """The name of a value; of a combination, its parts."""
        parts = str(self._data[node_type].name[node]).split("|")
        return "|".join(clean_title(part, fallback=node_type) for part in parts)[:MAX_NAME]

    def _ids(self, text: str) -> list[int]:
        """Tokens of a text as it stands within a prompt, remembered."""
        if text not in self._known:
            (self._known[text],) = encode_pieces(self.tokenizer, [text], before=ANCHOR)
        return self._known[text]

    def _glued(self, token: int, text: str) -> list[int]:
        """A token with punctuation behind it, which tokenizers may make one token of."""
        before = self._within(token)
        (ids,) = encode_pieces(self.tokenizer, [before + text], before=ANCHOR)
        if self._within(*ids) != before + text or "\ufffd" in before:
            return [token, *self._ids(text)]
        return ids

    def _within(self, *tokens: int) -> str:
        """What tokens say behind others: at the start of a text, some tokenizers drop its space."""
        return str(self.tokenizer.decode([*self._anchor, *tokens])).removeprefix(self._anchor_text)

    def _close(self, prompt: Prompt, text: str) -> None:
        """Put punctuation behind the last token, in its bundle."""
        token, bundle = prompt.tokens.pop(), prompt.bundle.pop()
        _add(prompt, self._glued(token, text), bundle)


_NONE = np.zeros(0, np.int64)


def _add(prompt: Prompt, ids: list[int], bundle: int = PAD) -> None:
    prompt.tokens += ids
    prompt.bundle += [bundle] * len(ids)


def _join(prompt: Prompt, lines: list[list[int]], joint: list[int], bundles: bool = False) -> None:
    """Append lines with joints between them, each as a bundle of its own where wanted."""
    for number, ids in enumerate(lines):
        if number:
            _add(prompt, joint)
        _add(prompt, ids, number if bundles else PAD)
