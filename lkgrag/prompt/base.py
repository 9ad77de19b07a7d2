"""The contract of a prompter: paths and saliences to prompts in tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from lkgrag.errors import ConfigError, LkgragError
from lkgrag.prompt.layout import PromptLayout
from lkgrag.prompt.letters import LETTERS, letter_ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor
    from torch_geometric.data import HeteroData
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch
    from lkgrag.prompt.collate import TokenBatch

Self = TypeVar("Self", bound="BasePrompter")


class BasePrompter(ABC):
    """Words and encodes the prompts of a batch.

    A subclass is a whole prompt. To change only how paths are worded, derive from
    :class:`~lkgrag.prompt.Verbaliser`, which :class:`~lkgrag.prompt.Prompter` uses.

    Args:
        tokenizer: of the language model.
        data: the graph, for titles and names.
        config: of the prompts.
        layout: of the candidates; one of :attr:`layouts`.

    Attributes:
        layouts: that the prompts can have.
        words_paths: whether prompts hold paths in words.
        answer: text at the end of a prompt with letters.
        letter_spaces: what may stand between the answer slot and a letter; the first that fits is taken.

    Raises:
        ConfigError: the prompts cannot have that layout.
    """

    layouts: ClassVar[tuple[PromptLayout, ...]]
    words_paths: ClassVar[bool] = True
    answer: ClassVar[str]
    letter_spaces: ClassVar[tuple[str, ...]] = (" ", "")

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        data: HeteroData,
        config: PromptConfig,
        layout: PromptLayout | str,
    ) -> None:
        self.tokenizer, self.data, self.config = tokenizer, data, config
        self.layout = self.check_layout(layout, config.verbaliser)
        self._letters: list[int] = []

    @classmethod
    def check_layout(cls, layout: PromptLayout | str, verbaliser: str) -> PromptLayout:
        """The layout, where the prompts can have it.

        Args:
            layout: asked for by the readout.
            verbaliser: the word of ``prompt.verbaliser``, for the message.

        Raises:
            ConfigError: the prompts cannot have it.
            ValueError: there is no such layout.
        """
        layout = PromptLayout(layout)
        if layout not in cls.layouts:
            raise ConfigError(
                f"prompt.verbaliser={verbaliser}: its prompts have the layout {' or '.join(cls.layouts)}, "
                f"but llm.readout reads the layout {layout}; set llm.readout={cls.layouts[0]}, or another "
                "prompt.verbaliser"
            )
        return layout

    def fit(self: Self, batches: Iterable[PathBatch]) -> Self:
        """Learn what the wording needs from the paths of training queries; return itself."""
        return self

    def tables(self) -> dict[str, Tensor]:
        """What :meth:`fit` learned, to be saved with a ranker; nothing by default."""
        return {}

    def load_tables(self, tables: dict[str, Tensor]) -> None:
        """Take over what :meth:`tables` gave.

        Raises:
            LkgragError: there are tables, and this wording learns nothing.
        """
        if tables:
            raise LkgragError(f"{type(self).__name__} learns nothing, but got {', '.join(tables)}")

    @abstractmethod
    def __call__(
        self,
        paths: PathBatch,
        salience: Tensor | None,
        order: Tensor,
        generator: torch.Generator | None = None,
    ) -> TokenBatch:
        """Make the prompts of a batch.

        Args:
            paths: ``P`` paths of ``B`` prompts, on the CPU.
            salience: ``[P]``, decides which paths are worded; None without a scorer.
            order: int64 ``[B, C]``, the candidate slot that stands at each place. It moves blocks and
                letters only; every result is by slot.
            generator: where given, the worded paths may be sampled by their salience.

        Raises:
            ConfigError: candidates do not fit into ``prompt.max_tokens``, or outnumber the letters.
            ModelError: a letter is no single token.
        """

    def letters(self, count: int) -> list[int]:
        """Token ids of at least so many index letters, as they stand in the answer slot.

        Raises:
            ConfigError: more candidates than letters.
            ModelError: a letter is no single token.
        """
        if count > len(self._letters):
            # The usual number at once, so that a first short list does not decide.
            usual = max(count, min(26, len(LETTERS)))
            spaces = self.letter_spaces
            try:
                self._letters = letter_ids(self.tokenizer, usual, self.answer, spaces)
            except LkgragError:
                self._letters = letter_ids(self.tokenizer, count, self.answer, spaces)
        return self._letters
