"""The contract of a prompter: paths and saliences to prompts in tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from lkgrag.errors import LkgragError
from lkgrag.prompt.letters import LETTERS, letter_ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from lkgrag.config import PromptConfig
    from lkgrag.paths import PathBatch
    from lkgrag.prompt.collate import TokenBatch

Self = TypeVar("Self", bound="BasePrompter")


class BasePrompter(ABC):
    """Words and encodes the prompts of a batch.

    Args:
        tokenizer: of the language model.
        config: of the prompts.
        readout: how scores are read off them; one of :attr:`readouts`.

    Attributes:
        readouts: that the prompts can be read by.
        answer: text at the end of a prompt that is read by letters.
        letter_spaces: what may stand between that and a letter; the first that fits is taken.

    Raises:
        ValueError: another readout.
    """

    readouts: ClassVar[tuple[str, ...]]
    answer: ClassVar[str]
    letter_spaces: ClassVar[tuple[str, ...]] = (" ", "")

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, config: PromptConfig, readout: str
    ) -> None:
        if readout not in self.readouts:
            raise ValueError(
                f"{type(self).__name__}: readout must be {' or '.join(self.readouts)}, got {readout!r}"
            )
        self.tokenizer, self.config, self.readout = tokenizer, config, readout
        self._letters: list[int] = []

    def fit(self: Self, batches: Iterable[PathBatch]) -> Self:
        """Learn what the wording needs from the paths of training queries; return itself."""
        return self

    def tables(self) -> dict[str, Tensor]:
        """What :meth:`fit` learned, to be saved with a ranker; nothing by default."""
        return {}

    def load_tables(self, tables: dict[str, Tensor]) -> None:
        """Take over what :meth:`tables` gave.

        Raises:
            LkgragError: there is something, and this wording learns nothing.
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
            generator: where given, what is worded may be sampled by its salience.

        Raises:
            ConfigError: candidates do not fit into ``prompt.max_tokens``, or outnumber the letters.
            ModelError: a letter is no single token.
        """

    def _check_letters(self, count: int) -> None:
        """Make sure that so many letters are known."""
        if count <= len(self._letters):
            return
        # The usual number at once, so that a first short list does not decide.
        usual = max(count, min(26, len(LETTERS)))
        spaces = self.letter_spaces
        try:
            self._letters = letter_ids(self.tokenizer, usual, self.answer, spaces)
        except LkgragError:
            self._letters = letter_ids(self.tokenizer, count, self.answer, spaces)
