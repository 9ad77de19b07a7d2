"""Text: what the catalogue says of its items, and vectors of it.

``items.py`` writes each item's text, ``encoders`` turns texts into vectors, and ``whitening.py`` gives these equal
spread in every direction.
"""

from lkgrag.text.encoders import (
    EncoderChoice,
    HiddenStateEncoder,
    TextEncoder,
    check_encoder,
    load_encoder,
)
from lkgrag.text.items import item_texts, pick_rarest
from lkgrag.text.whitening import Whitening
from lkgrag.text.words import Words

__all__ = [
    "EncoderChoice",
    "HiddenStateEncoder",
    "TextEncoder",
    "Whitening",
    "Words",
    "check_encoder",
    "item_texts",
    "load_encoder",
    "pick_rarest",
]
