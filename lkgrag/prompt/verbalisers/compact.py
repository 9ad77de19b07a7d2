"""The default wording: a word for the meta-path and a grade, about two tokens a bundle."""

from __future__ import annotations

from itertools import chain, product
from string import ascii_lowercase
from typing import TYPE_CHECKING

from lkgrag.kg.naming import short, short_metapath
from lkgrag.prompt.pieces import encode_pieces
from lkgrag.prompt.titles import clean_title
from lkgrag.prompt.verbalisers.base import Verbaliser

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch
    from lkgrag.paths.batch import MetaPath
    from lkgrag.prompt.bundles import Bundles

#: Longest wording of a meta-path, in tokens.
MAX_WORD = 5


class Compact(Verbaliser):
    """A word for the meta-path and a grade, about two tokens a bundle: ``next7 fans2``."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, data: HeteroData, config: PromptConfig
    ) -> None:
        super().__init__(tokenizer, data, config)
        self._digits = encode_pieces(tokenizer, [str(grade) for grade in range(10)], before="a")
        self._metapaths: list[MetaPath] = []
        self._words: list[list[int]] = []

    def word(
        self,
        paths: PathBatch,
        bundles: Bundles,
        index: NDArray[np.int64],
        grade: NDArray[np.int64],
    ) -> list[list[int]]:
        """The meta-path's word and the grade; see :meth:`Verbaliser.word`."""
        words = self._words_of(paths.metapaths)
        metapath, digit = bundles.metapath[index].tolist(), grade[index].tolist()
        return [words[m] + self._digits[g] for m, g in zip(metapath, digit, strict=True)]

    def _words_of(self, metapaths: list[MetaPath]) -> list[list[int]]:
        """Tokens of each meta-path's word; encoded again only where the meta-paths changed."""
        if metapaths is not self._metapaths:
            if metapaths != self._metapaths:
                words = [f" {word}" for word in distinct_words(metapaths)]
                encoded = encode_pieces(self.tokenizer, words, before="a")
                self._words = [ids[:MAX_WORD] for ids in encoded]
            self._metapaths = metapaths
        return self._words


def distinct_words(metapaths: Sequence[MetaPath]) -> list[str]:
    """A few words for each meta-path, no two alike.

    A meta-path gets its shortest wording where that is free, else the words of every edge, else these
    with a letter behind them. A number there would read as a grade. Short meta-paths choose first.
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
