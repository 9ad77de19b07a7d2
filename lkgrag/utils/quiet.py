"""A switch for libraries that write to the terminal while they load models."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the bars, notes and warnings of transformers and of bitsandbytes off the terminal."""
    # Only here: what loads no model does not wait for transformers.
    from transformers.utils import logging as hf

    bits = logging.getLogger("bitsandbytes")
    level, shown, before = hf.get_verbosity(), hf.is_progress_bar_enabled(), bits.level
    hf.set_verbosity_error()
    hf.disable_progress_bar()
    bits.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        hf.set_verbosity(level)
        if shown:
            hf.enable_progress_bar()
        bits.setLevel(before)
