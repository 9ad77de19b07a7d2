"""TokenBatch: a batch of prompts as tokens, and what each token belongs to."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lkgrag.prompt.bundles import pool_salience
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Padding of everything that is an index.
PAD = -1


@dataclass
class Prompt:
    """One prompt, as lists of ``T`` tokens' values, and two of ``C`` candidate slots' values.

    Attributes:
        tokens: token ids.
        positions: position of each token; all candidates start at the same one.
        block: 0 for what all share, ``c + 1`` for the candidate of slot ``c``.
        bundle: the worded bundle of a token, -1 for none; numbered from 0 within the prompt.
        read: where each candidate slot is read, -1 for an empty slot; length ``C``.
        letter: token id of each slot's letter, -1 without; length ``C``.
    """

    tokens: list[int]
    positions: list[int]
    block: list[int]
    bundle: list[int]
    read: list[int]
    letter: list[int]

    @classmethod
    def begin(cls, prefix: list[int], num_slots: int) -> Prompt:
        """A prompt that holds what all candidates share, and none of them yet."""
        n = len(prefix)
        empty = [PAD] * num_slots
        return cls(list(prefix), list(range(n)), [0] * n, [PAD] * n, list(empty), list(empty))

    def add(self, ids: Sequence[int], bundle: int = PAD) -> None:
        """Append tokens and their bundle; positions and blocks are the caller's to append."""
        self.tokens += ids
        self.bundle += [bundle] * len(ids)

    def read_by_letters(self, slots: Sequence[int], letters: Sequence[int]) -> None:
        """Make it a plain text, of which slots are read at the last token.

        Args:
            slots: of the candidates, in the order in which they stand.
            letters: token ids of the letters; at least as many.
        """
        self.positions = list(range(len(self.tokens)))
        self.block = [0] * len(self.tokens)
        for slot, letter in zip(slots, letters, strict=False):
            self.read[slot] = len(self.tokens) - 1
            self.letter[slot] = letter


@dataclass(frozen=True)
class TokenBatch:
    """``B`` prompts of up to ``T`` tokens for ``C`` candidate slots, padded on the right.

    Attributes:
        input_ids: int64 ``[B, T]``; 0 in padding.
        position_ids: int64 ``[B, T]``; 0 in padding.
        block: int64 ``[B, T]``: 0 for what all candidates share, ``c + 1`` for the candidate of slot
            ``c``, -1 for padding.
        read: int64 ``[B, C]``: the token at which a slot is read, -1 for an empty slot. It is the last one
            of the slot's block, or, in a prompt with letters, of the answer slot.
        letter: int64 ``[B, C]``: token id of the letter that stands for a slot; -1 without letters.
        bundle: int64 ``[B, T]``: the worded bundle that a token belongs to, -1 for none.
        bundle_path: int64 ``[E]``: paths of the worded bundles, as indices into the ``PathBatch``.
        bundle_id: int64 ``[E]``: the bundle of each.
        worded: int64 ``[num_bundles, 3]``: sample, candidate slot and meta-path of each bundle.
    """

    input_ids: Tensor
    position_ids: Tensor
    block: Tensor
    read: Tensor
    letter: Tensor
    bundle: Tensor
    bundle_path: Tensor
    bundle_id: Tensor
    worded: Tensor

    __repr__ = sizes

    def __len__(self) -> int:
        """Number of prompts."""
        return self.input_ids.shape[0]

    @property
    def num_bundles(self) -> int:
        """Number of worded bundles."""
        return self.worded.shape[0]

    @property
    def lengths(self) -> Tensor:
        """Tokens of each prompt, int64 ``[B]``."""
        return (self.block >= 0).sum(1)

    def bundle_salience(self, salience: Tensor) -> Tensor:
        """Log-sum-exp of the saliences of each worded bundle's paths, with a gradient to them.

        Args:
            salience: ``[P]``, of the paths that the prompts were made from.

        Returns:
            ``[num_bundles]``.
        """
        return pool_salience(salience[self.bundle_path], self.bundle_id, self.num_bundles)

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch on another device."""
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def collate(
    prompts: Sequence[Prompt], bundle_path: Tensor, bundle_id: Tensor, worded: Tensor
) -> TokenBatch:
    """Pad prompts to a batch.

    Args:
        prompts: bundles numbered within the prompt, in the order of ``worded``.
        bundle_path: as of :class:`TokenBatch`.
        bundle_id: as of :class:`TokenBatch`.
        worded: as of :class:`TokenBatch`.
    """
    num = len(prompts)
    length = max((len(p.tokens) for p in prompts), default=0)
    ids = torch.zeros(num, length, dtype=torch.int64)
    positions = torch.zeros(num, length, dtype=torch.int64)
    block = torch.full((num, length), PAD, dtype=torch.int64)
    bundle = torch.full((num, length), PAD, dtype=torch.int64)
    first = torch.searchsorted(worded[:, 0].contiguous(), torch.arange(num)).tolist()
    for row, prompt in enumerate(prompts):
        n = len(prompt.tokens)
        ids[row, :n] = torch.tensor(prompt.tokens)
        positions[row, :n] = torch.tensor(prompt.positions)
        block[row, :n] = torch.tensor(prompt.block)
        number = torch.tensor(prompt.bundle)
        bundle[row, :n] = torch.where(number >= 0, number + first[row], PAD)
    return TokenBatch(
        input_ids=ids,
        position_ids=positions,
        block=block,
        read=torch.tensor([p.read for p in prompts], dtype=torch.int64),
        letter=torch.tensor([p.letter for p in prompts], dtype=torch.int64),
        bundle=bundle,
        bundle_path=bundle_path,
        bundle_id=bundle_id,
        worded=worded,
    )
