"""Verbalisers: bundles of paths in words.

A custom one derives from :class:`Verbaliser` and is named by ``prompt.verbaliser`` as
``package.module:Class``, or by its name after :func:`register_verbaliser`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain, product
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.config import PUBLISHED
from lkgrag.errors import ConfigError, nearest
from lkgrag.kg.schema import short, short_metapath
from lkgrag.prompt.bundles import Bundles, Choice, Grades, bundle_paths, by_chance, choose
from lkgrag.prompt.pieces import encode_pieces
from lkgrag.prompt.titles import clean_title
from lkgrag.utils.plugins import imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch
    from lkgrag.paths.batch import MetaPath

#: Longest wording of a meta-path, in tokens.
MAX_WORD = 5


class Verbaliser(ABC):
    """Says which bundles a prompt words, and how.

    Args:
        tokenizer: of the language model.
        data: the graph, for names.
        config: of the prompts.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig
    ) -> None:
        self.tokenizer, self.data, self.config = tokenizer, data, config
        self.grades: Grades | None = None

    def fit(self, batches: Iterable[PathBatch]) -> None:
        """Take the grades' thresholds from the paths of training queries."""
        bundles, num_metapaths = [], 0
        for paths in batches:
            num_metapaths = len(paths.metapaths)
            bundles.append(bundle_paths(paths, self.config.decay))
        self.grades = Grades.fit(bundles, num_metapaths)

    def choose(
        self, paths: PathBatch, salience: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Bundles, Choice, np.ndarray]:
        """The bundles of a batch, which of them are worded, and the grade of every bundle.

        Raises:
            ValueError: :meth:`fit` was not called, or for other meta-paths.
        """
        if self.grades is None or len(self.grades.thresholds) != len(paths.metapaths):
            raise ValueError("the verbaliser does not know these meta-paths: call fit first")
        bundles = bundle_paths(paths, self.config.decay, salience)
        grade = self.grades(bundles)
        chance = by_chance(paths, bundles) if self.config.choice == "random" else None
        return bundles, choose(bundles, grade, self.config.paths, generator, chance), grade

    @abstractmethod
    def word(
        self, paths: PathBatch, bundles: Bundles, index: np.ndarray, grade: np.ndarray
    ) -> list[list[int]]:
        """Tokens of bundles, as they stand behind a candidate's title.

        Args:
            paths: of the batch.
            bundles: of the batch.
            index: int64 ``[K]``, the bundles to word.
            grade: int64 ``[N]``, of every bundle.

        Returns:
            ``K`` token lists, none empty.
        """


class Compact(Verbaliser):
    """A word for the meta-path and a grade: ``next7 fans2``, two tokens a bundle or little more."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig
    ) -> None:
        super().__init__(tokenizer, data, config)
        self._digits = encode_pieces(tokenizer, [str(grade) for grade in range(10)], before="a")
        self._metapaths: list[MetaPath] = []
        self._words: list[list[int]] = []

    def word(
        self, paths: PathBatch, bundles: Bundles, index: np.ndarray, grade: np.ndarray
    ) -> list[list[int]]:
        """The meta-path's word and the grade."""
        if paths.metapaths is not self._metapaths:
            if paths.metapaths != self._metapaths:
                words = [f" {word}" for word in distinct_words(paths.metapaths)]
                self._words = [
                    ids[:MAX_WORD] for ids in encode_pieces(self.tokenizer, words, before="a")
                ]
            self._metapaths = paths.metapaths
        metapath, digit = bundles.metapath[index].tolist(), grade[index].tolist()
        return [self._words[m] + self._digits[g] for m, g in zip(metapath, digit, strict=True)]


class Silent(Verbaliser):
    """Words nothing: the prompt holds titles only."""

    def choose(
        self, paths: PathBatch, salience: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Bundles, Choice, np.ndarray]:
        """No bundle."""
        none = np.zeros(0, np.int64)
        bundles = bundle_paths(paths, self.config.decay)
        return bundles, Choice(none, none, np.zeros(0)), np.zeros(len(bundles), np.int64)

    def word(
        self, paths: PathBatch, bundles: Bundles, index: np.ndarray, grade: np.ndarray
    ) -> list[list[int]]:
        """Nothing."""
        return []


def distinct_words(metapaths: Sequence[MetaPath]) -> list[str]:
    """A few words for each meta-path, no two alike.

    The shortest wording is taken where it is free, then the words of every edge, then these with a
    letter (a number would read as a grade). Short meta-paths choose first.
    """
    words = [""] * len(metapaths)
    for index in sorted(range(len(metapaths)), key=lambda i: (len(metapaths[i]), i)):
        metapath = metapaths[index]
        plain = (short_metapath(metapath), " ".join(short(edge) for edge in metapath))
        options = [clean_title(text, fallback="path") for text in plain]
        letters = (
            "".join(suffix)
            for length in (1, 2, 3)
            for suffix in product(ascii_lowercase, repeat=length)
        )
        free = chain(options, (f"{options[1]} {letter}" for letter in letters))
        words[index] = next(word for word in free if word not in words)
    return words


_VERBALISERS: dict[str, type[Verbaliser]] = {"compact": Compact, "none": Silent}


def register_verbaliser(name: str, verbaliser: type[Verbaliser]) -> None:
    """Make a verbaliser known by a name of ``prompt.verbaliser``, in this process."""
    _VERBALISERS[name] = verbaliser


def resolve_verbaliser(name: str) -> type[Verbaliser]:
    """The class that ``prompt.verbaliser`` means, where it is no published prompt.

    Args:
        name: a registered name, or ``package.module:Class``.

    Raises:
        ConfigError: no such verbaliser, it cannot be imported, or it is none.
    """
    if name in _VERBALISERS:
        return _VERBALISERS[name]
    if ":" in name:
        return imported(name, "prompt.verbaliser", Verbaliser)
    known = [*_VERBALISERS, *PUBLISHED]
    raise ConfigError(
        f"prompt.verbaliser={name}: no such verbaliser.{nearest(name, known)} "
        f"There are: {', '.join(known)}; write your own as package.module:Class"
    )
