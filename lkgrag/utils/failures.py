"""What the machine refuses (space, permission, memory), told in one line.

Such errors can come from any library at any place, so they are recognised once, where a command ends.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lkgrag.errors import ConfigError, LkgragError

#: What to do about a refusal of the operating system.
ADVICE = {
    errno.ENOSPC: "free space, or choose another out= and cache.root=",
    errno.EDQUOT: "free space, or choose another out= and cache.root=",
    errno.EFBIG: "raise the limit on the size of files, or choose another out= and cache.root=",
    errno.EROFS: "choose another out= and cache.root=",
    errno.EACCES: "choose another out= and cache.root=, or mend its permissions",
    errno.EPERM: "choose another out= and cache.root=, or mend its permissions",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "the disk fails; choose another out= and cache.root=",
    errno.ENOMEM: "",
}
#: The settings that take memory, the most helpful first.
MEMORY = (
    "out of memory: make training.micro_batch or evaluation.batch_size smaller, or "
    "llm.gradient_checkpointing=true, and the run goes on; or begin another with a smaller "
    "prompt.max_tokens or llm.quantization=nf4"
)

#: What torch, CUDA's libraries and C++ call it.
NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "alloc_failed", "bad_alloc")


@contextmanager
def guard_custom_code(tell: Callable[[BaseException], str]) -> Iterator[None]:
    """Code of someone else's runs within, and may raise anything.

    Args:
        tell: the one line for what it raised.

    Raises:
        ConfigError: that line. Errors of ours and of the machine pass as they are.
    """
    try:
        yield
    except LkgragError:
        raise
    except (Exception, SystemExit) as error:  # an end of the program would look like a success
        if explain(error) is not None:
            raise
        raise ConfigError(tell(error)) from error


def explain(error: BaseException | None) -> LkgragError | None:
    """The one line for an error of the machine; None for any other, which is a fault of the program.

    Args:
        error: as caught.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return LkgragError(MEMORY)
    text = str(error)
    if isinstance(error, RuntimeError) and any(w in text.lower() for w in NO_MEMORY):
        return LkgragError(MEMORY)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # Libraries written in Rust and C++ pass the system's error on as text.
        found = re.search(r"\(?(?:os error|errno:?) (\d+)\)?", text)
        number = int(found.group(1)) if found else None
    if number not in ADVICE:
        return None
    if number == errno.ENOMEM:
        return LkgragError(MEMORY)
    name = getattr(error, "filename", None)
    what = f"{name}: " if name else ""
    return LkgragError(f"{what}{os.strerror(number)}; {ADVICE[number]}")
