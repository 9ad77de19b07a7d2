"""Whitening: vectors of texts with equal spread in every direction.

Mean hidden states lie in a narrow cone, where a few directions hide all others. Centred on the catalogue, and with each
principal axis divided by its deviation, their cosines tell items apart (Su and others, *Whitening Sentence
Representations for Better Semantics and Faster Retrieval*, arXiv 2103.15316).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lkgrag.errors import LkgragError

if TYPE_CHECKING:
    from torch import Tensor

#: Principal axes that are kept at most.
AXES = 192
#: Rows that are converted to float64 at a time.
CHUNK = 8192


@dataclass(frozen=True)
class Whitening:
    """A linear map from an encoder's vectors to whitened ones, fitted on a catalogue.

    Attributes:
        mean: of the catalogue's vectors, float32 ``[D]``.
        axes: principal axes by falling deviation, float32 ``[D, K]``. The largest entry of each is positive.
        deviations: standard deviation along each axis, float32 ``[K]``.
    """

    mean: Tensor
    axes: Tensor
    deviations: Tensor

    @classmethod
    def fit(cls, vectors: Tensor, axes: int = AXES) -> Whitening:
        """Fit the map on a catalogue.

        Args:
            vectors: float32 ``[I, D]``; zero rows, which stand for no text, are left out.
            axes: largest number of axes. There are fewer if the vectors have a lower rank, and none if all of
                them are the same.
        """
        known = vectors[vectors.any(1)].cpu()
        width = vectors.shape[1]
        mean = known.double().mean(0) if len(known) else torch.zeros(width, dtype=torch.float64)
        covariance = torch.zeros(width, width, dtype=torch.float64)
        for part in known.split(CHUNK):
            centred = part.double() - mean
            covariance += centred.T @ centred / max(1, len(known))
        variances, directions = torch.linalg.eigh(covariance)
        variances, directions = variances.flip(0), directions.flip(1)
        largest = float(known.abs().max()) if len(known) else 0.0
        # A spread below the rounding of the vectors is no direction of theirs.
        least = width * (torch.finfo(torch.float32).eps * largest) ** 2
        count = min(axes, int((variances > least).sum()))
        kept = directions[:, :count]
        peaks = kept.gather(0, kept.abs().argmax(0, keepdim=True)) if count else kept[:1]
        return cls(
            mean.float(),
            (kept * peaks.sign()).float().contiguous(),
            variances[:count].sqrt().float(),
        )

    def apply(self, vectors: Tensor) -> Tensor:
        """Whiten vectors of items or of other texts.

        Args:
            vectors: float32 ``[N, D]`` of the same encoder.

        Returns:
            float32 ``[N, K]``; rows of length 1, and of zeros for rows of zeros.

        Raises:
            LkgragError: the vectors have another width.
        """
        if vectors.shape[1] != len(self.mean):
            raise LkgragError(
                f"vectors of {vectors.shape[1]} numbers, but the catalogue's have {len(self.mean)}: use the same "
                "text.encoder"
            )
        mean, axes, deviations = (
            t.to(vectors.device) for t in (self.mean, self.axes, self.deviations)
        )
        known = vectors.any(1, keepdim=True)
        white = (vectors - mean) @ axes / deviations * known
        return torch.nn.functional.normalize(white, dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """The map as plain tensors, for safetensors."""
        return dict(vars(self))

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor]) -> Whitening:
        """The map of :meth:`tensors`.

        Raises:
            LkgragError: a tensor is missing.
        """
        try:
            return cls(*(tensors[name] for name in cls.__dataclass_fields__))
        except KeyError as error:
            raise LkgragError(f"whitening: the tensor {error} is missing; train again") from error
