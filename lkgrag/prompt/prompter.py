"""The prompt of this package: titles of the history, then candidates with worded paths beside them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lkgrag.errors import ConfigError
from lkgrag.prompt.base import BasePrompter
from lkgrag.prompt.budget import Evidence, share_budget
from lkgrag.prompt.bundles import rotate_slots
from lkgrag.prompt.collate import PAD, Prompt, TokenBatch, collate
from lkgrag.prompt.items import item_parts
from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.resolver import OPTION, resolve_verbaliser
from lkgrag.prompt.template import ANSWER, Template
from lkgrag.prompt.titles import SEPARATOR, encode_texts, encode_titles
from lkgrag.prompt.verbalisers.base import Verbaliser
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch
    from lkgrag.prompt.bundles import Bundles, Choice

#: A slot's worded bundles: tokens, and the bundle's number within the prompt.
Worded = list[tuple[list[int], int]]
#: A candidate in the order of the prompt: its slot, the tokens of its title, its worded bundles.
Candidate = tuple[int, list[int], Worded]


class Prompter(BasePrompter):
    """Words and encodes the prompts of a batch; titles and words are encoded once.

    Args:
        tokenizer: of the language model.
        data: the graph; its item names are the titles unless others are given.
        config: of the prompts; ``verbaliser`` names a :class:`~lkgrag.prompt.Verbaliser`.
        layout: of the candidates.
        titles: of the items, by index.

    Raises:
        ConfigError: there is no such verbaliser, it is a whole prompt, or its class cannot be built.
    """

    layouts = (PromptLayout.CANDIDATES, PromptLayout.LETTERS)
    answer = ANSWER

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: HeteroData,
        config: PromptConfig,
        layout: PromptLayout | str = PromptLayout.CANDIDATES,
        titles: Sequence[str] | None = None,
    ) -> None:
        super().__init__(tokenizer, data, config, layout)
        self.verbaliser = _build_verbaliser(tokenizer, data, config)
        names: Sequence[object] = data["item"].name if titles is None else titles
        separator, encode = SEPARATOR, partial(encode_titles, tokenizer, names, config.max_title)
        if config.items == "text":
            texts = item_parts(data, names)
            encode = partial(encode_texts, tokenizer, texts, config.max_title)
            # The parts of a text stand between single ones, so no attribute can pass for evidence.
            separator *= 2
        self.template = Template.of(tokenizer, self.layout, self.verbaliser.words_paths, separator)
        self.titles = encode()
        self._has_letters = self.layout is PromptLayout.LETTERS
        # Behind an index letter a title follows a space.
        self.choices = self.titles
        if self._has_letters:
            self.choices = encode(inside=True)

    def fit(self, batches: Iterable[PathBatch]) -> Prompter:
        """Let the verbaliser learn from the paths of training queries; return itself."""
        with self._guard("fit"):
            self.verbaliser.fit(batches)
        return self

    def tables(self) -> dict[str, Tensor]:
        """What the verbaliser learned, to be saved with a ranker."""
        return self.verbaliser.tables()

    def load_tables(self, tables: dict[str, Tensor]) -> None:
        """Take over what :meth:`tables` gave."""
        self.verbaliser.load_tables(tables)

    def __call__(
        self,
        paths: PathBatch,
        salience: Tensor | None,
        order: Tensor,
        generator: torch.Generator | None = None,
    ) -> TokenBatch:
        """Make the prompts of a batch; see :meth:`BasePrompter.__call__`.

        Without ``salience`` the bundles of the highest grades are worded.
        """
        with self._guard("choose"):
            bundles, choice, grade = self.verbaliser.choose(paths, salience, generator)
        words = self._word(paths, bundles, choice, grade)
        num, slots = paths.candidate_items.shape
        sample, slot = np.divmod(bundles.slot[choice.index], slots)
        if self.config.shuffle:
            slot = rotate_slots(paths)[sample, slot]
        ends = np.searchsorted(sample, np.arange(num + 1))
        items, ratings = paths.history_items.tolist(), paths.history_rating.tolist()
        candidates, orders = paths.candidate_items.tolist(), order.tolist()
        prompts, kept = [], np.ones(len(sample), bool)
        for row in range(num):
            low, high = ends[row], ends[row + 1]
            evidence = [
                (words[i], Evidence(int(slot[i]), int(choice.rank[i]), float(choice.key[i]), 0))
                for i in range(low, high)
            ]
            lines = self._history(items[row], ratings[row])
            prompt, keep = self._prompt(lines, candidates[row], orders[row], evidence)
            prompts.append(prompt)
            kept[low:high] = keep
        index = choice.index[kept]
        worded = np.stack([sample[kept], slot[kept], bundles.metapath[index]], 1)
        path, bundle = _members(bundles.of_path, index, len(bundles))
        return collate(prompts, path, bundle, torch.from_numpy(worded))

    def _word(
        self, paths: PathBatch, bundles: Bundles, choice: Choice, grade: NDArray[np.int64]
    ) -> list[list[int]]:
        """Tokens of the chosen bundles, ``K`` lists of them.

        Raises:
            ConfigError: the verbaliser gives another number of lists, or an empty one.
        """
        with self._guard("word"):
            words = self.verbaliser.word(paths, bundles, choice.index, grade)
        if len(words) != len(choice.index) or not all(len(ids) for ids in words):
            raise ConfigError(
                f"{OPTION}={self.config.verbaliser}: word() must give a list of tokens, not empty, for each "
                f"of {len(choice.index)} bundles; it gave {len(words)} lists, of which "
                f"{sum(not len(ids) for ids in words)} are empty"
            )
        return words

    def _guard(self, method: str) -> AbstractContextManager[None]:
        """Turn what a method of a custom verbaliser raises into one line."""
        cls = type(self.verbaliser)

        def tell(error: BaseException) -> str:
            cause = f"{type(error).__name__}: {error}"
            label = f"{OPTION}={self.config.verbaliser}: {method}() of {cls.__name__}"
            return f"{label} fails ({cause}); --debug shows where"

        return guard_custom_code(tell) if is_custom(cls) else nullcontext()

    def _prompt(
        self,
        history: list[list[int]],
        candidates: list[int],
        order: list[int],
        words: list[tuple[list[int], Evidence]],
    ) -> tuple[Prompt, list[bool]]:
        """One prompt, and which of the worded bundles it holds."""
        template = self.template
        shown = [slot for slot in order if candidates[slot] >= 0]
        titles = {slot: self.choices[candidates[slot]] for slot in shown}
        openings: dict[int, list[int]] = {}
        if self._has_letters:
            # Before the openings are indexed: it refuses more candidates than letters.
            self.letters(len(shown))
            openings = {slot: template.openings[n] for n, slot in enumerate(shown)}
        fixed = len(template.start) + len(template.heading) + len(template.answer)
        fixed += len(shown) * len(template.end) + sum(map(len, openings.values()))
        separator = len(template.separator)
        evidence = [
            e._replace(tokens=len(ids) + (separator if e.rank == 0 else 0)) for ids, e in words
        ]
        first, keep, lengths = share_budget(
            self.config.max_tokens,
            fixed,
            {slot: len(title) for slot, title in titles.items()},
            self.config.max_title,
            [len(line) for line in history],
            evidence,
        )
        titles = {s: openings.get(s, []) + titles[s][: lengths[s]] for s in shown}
        worded: dict[int, Worded] = {}
        number = 0
        for (ids, e), stays in zip(words, keep, strict=True):
            if stays:
                worded.setdefault(e.slot, []).append((ids, number))
                number += 1
        prefix = list(template.start)
        for line in history[first:]:
            prefix += line
        prefix += template.heading
        prompt = Prompt.begin(prefix, len(candidates))
        add = self._add_lettered if self._has_letters else self._add_blocks
        add(prompt, [(slot, titles[slot], worded.get(slot, [])) for slot in shown])
        return prompt, keep

    def _history(self, items: list[int], ratings: list[float]) -> list[list[int]]:
        """The latest titles, a line each, oldest first."""
        template, lines = self.template, []
        seen = [(i, r) for i, r in zip(items, ratings, strict=True) if i >= 0]
        for item, rating in seen[max(0, len(seen) - self.config.history) :]:
            line = list(self.titles[item])
            if self.config.ratings and rating == rating and 0 <= rating <= 10:
                line += template.stars[round(rating)]
            lines.append(line + template.end)
        return lines

    def _add_blocks(self, prompt: Prompt, candidates: list[Candidate]) -> None:
        """Append candidates that cannot see each other and share positions."""
        start = len(prompt.tokens)
        for slot, title, worded in candidates:
            before = len(prompt.tokens)
            # The line break comes first, so that a block ends with its candidate's own words: the state
            # of a line break tells candidates apart only half as well.
            self._line(prompt, self.template.end + title, worded)
            length = len(prompt.tokens) - before
            prompt.positions += range(start, start + length)
            prompt.block += [slot + 1] * length
            prompt.read[slot] = len(prompt.tokens) - 1

    def _add_lettered(self, prompt: Prompt, candidates: list[Candidate]) -> None:
        """Append candidates with index letters, which are all read at the answer's position."""
        for _, title, worded in candidates:
            self._line(prompt, title, worded)
            prompt.add(self.template.end)
        prompt.add(self.template.answer)
        prompt.read_by_letters([slot for slot, _, _ in candidates], self.letters(len(candidates)))

    def _line(self, prompt: Prompt, title: list[int], worded: Worded) -> None:
        """Append one candidate's words: title, separator, evidence."""
        prompt.add(title)
        if worded:
            prompt.add(self.template.separator)
        for ids, number in worded:
            prompt.add(ids, number)


def _build_verbaliser(
    tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig
) -> Verbaliser:
    """The verbaliser that ``prompt.verbaliser`` asks for."""
    cls = resolve_verbaliser(config.verbaliser)
    if issubclass(cls, BasePrompter):
        raise ConfigError(
            f"{OPTION}={config.verbaliser}: {cls.__name__} is a whole prompt; lkgrag.prompt.build_prompter "
            "builds it"
        )

    def tell(error: BaseException) -> str:
        return f"{OPTION}={config.verbaliser}: {cls.__name__} cannot be built: {error!r}"

    with guard_custom_code(tell):
        return cls(tokenizer, data, config)


def _members(
    of_path: NDArray[np.int64], index: NDArray[np.int64], num_bundles: int
) -> tuple[Tensor, Tensor]:
    """Paths of the kept bundles, and the number of each path's bundle among them; both int64 ``[E]``."""
    number = np.full(num_bundles, PAD, np.int64)
    number[index] = np.arange(len(index))
    bundle = number[of_path]
    path = np.flatnonzero(bundle >= 0)
    return torch.from_numpy(path), torch.from_numpy(bundle[path])
