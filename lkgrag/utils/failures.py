"""Errors of the machine (no space, no permission, no memory) as one line, and a guard around custom code.

Any library can raise such an error at any place. So they are recognised once, where a command ends.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lkgrag.errors import ConfigError, LkgragError

#: What to do about an error of the operating system, by its number.
ADVICE = {
    errno.ENOSPC: "free space, or choose another out= and cache.root=",
    errno.EDQUOT: "free space, or choose another out= and cache.root=",
    errno.EFBIG: "raise the limit on the size of files, or choose another out= and cache.root=",
    errno.EROFS: "choose another out= and cache.root=",
    errno.EACCES: "choose another out= and cache.root=, or correct its permissions",
    errno.EPERM: "choose another out= and cache.root=, or correct its permissions",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.EIO: "the disk fails; choose another out= and cache.root=",
    errno.ENOMEM: "",
}
#: What to do about too little memory; the setting that helps most comes first.
MEMORY = (
    "out of memory: lower training.micro_batch or evaluation.batch_size, or set "
    "llm.gradient_checkpointing=true, and the run continues; or start another run with a smaller "
    "prompt.max_tokens or llm.quantization=nf4"
)

#: Characters of an error of custom code that a message shows, and characters of a message about it.
LONGEST_CAUSE, LONGEST_MESSAGE = 300, 1500

#: Words for too little memory in the messages of torch, CUDA's libraries and C++.
NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "alloc_failed", "bad_alloc")


@contextmanager
def guard_custom_code(tell: Callable[[BaseException], str]) -> Iterator[None]:
    """Run custom code in the block, and turn whatever it raises into one line.

    Args:
        tell: gives the line for the error that the custom code raised.

    Raises:
        ConfigError: with that line, shortened. Errors of the machine pass unchanged, and errors of this package
            unless they are long.
    """
    try:
        yield
    except LkgragError as error:
        if len(str(error)) > LONGEST_MESSAGE:
            raise type(error)(shorten(str(error), LONGEST_MESSAGE)) from error
        raise
    except (
        Exception,
        SystemExit,
    ) as error:  # a SystemExit would end the program as if all were well
        if explain(error) is not None:
            raise
        raise ConfigError(tell_shortly(tell, error)) from error


def tell_shortly(tell: Callable[[BaseException], str], error: BaseException) -> str:
    """The line for an error of custom code, without most of a long text of the error.

    Args:
        tell: gives the line, which may hold the error's text.
        error: the error.
    """
    if not _has_text(error):
        return tell(RuntimeError(f"its {type(error).__name__} has no text"))
    line = tell(error)
    for text in (repr(error), str(error)):
        if len(text) > LONGEST_CAUSE:
            line = line.replace(text, shorten(text, LONGEST_CAUSE))
    return shorten(line, LONGEST_MESSAGE)


def _has_text(error: BaseException) -> bool:
    """Whether an error can be put in words: its class may be custom code as well."""
    try:
        return bool(repr(error) + str(error))
    except Exception:
        return False


def shorten(text: str, longest: int) -> str:
    """Cut the middle out of a long text: its begin says what is wrong, and its end may say why."""
    if len(text) <= longest:
        return text
    end = longest // 5
    return (
        f"{text[: longest - end].rstrip()} … {text[-end:].lstrip()} "
        f"[{len(text):,} characters, --debug shows all]"
    )


def explain(error: BaseException | None) -> LkgragError | None:
    """Turn an error of the machine into one line.

    Args:
        error: the error that was caught.

    Returns:
        The error to show; None if it is no error of the machine, but a fault of the program.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return LkgragError(MEMORY)
    text = "" if error is None or not _has_text(error) else str(error)
    if isinstance(error, RuntimeError) and any(w in text.lower() for w in NO_MEMORY):
        return LkgragError(MEMORY)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # Libraries written in Rust and C++ give the system's error number in the text.
        match = re.search(r"\(?(?:os error|errno:?) (\d+)\)?", text)
        number = int(match.group(1)) if match else None
    if number not in ADVICE:
        return None
    if number == errno.ENOMEM:
        return LkgragError(MEMORY)
    file = getattr(error, "filename", None)
    prefix = f"{file}: " if file else ""
    return LkgragError(f"{prefix}{os.strerror(number)}; {ADVICE[number]}")
