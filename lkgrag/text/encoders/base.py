"""The contract of a text encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class TextEncoder(Protocol):
    """Turns texts into vectors. Texts of like meaning have vectors of like direction."""

    @property
    def name(self) -> str:
        """What it is called in messages."""

    @property
    def dim(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts.

        A vector depends on its own text only, apart from rounding.

        Args:
            texts: any strings, of any length and script.

        Returns:
            float32 ``[len(texts), dim]`` in the order of the texts; zero for a text that says nothing.
        """
