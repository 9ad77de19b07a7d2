"""What the client of the Hugging Face Hub raises, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RevisionNotFoundError,
)

from lkgrag.errors import AssetError, LkgragError, short

LOGIN = "give token=, or log in by `hf auth login`"
#: What to do about an answer of the Hub, by its status.
STATUS = {
    401: f"there is no such repository, or the Hub does not know who asks (401); check the name, and {LOGIN}",
    403: "the token may not do this (403); it needs the right to write under this name",
    404: f"the Hub has no such repository (404), and there is no such folder here; check the name, or, if it is private, {LOGIN}",
    409: "the repository changed meanwhile (409); try again",
    413: "the Hub finds it too large (413)",
    429: "too many requests (429); wait some minutes and try again",
}
#: Kinds of errors, by the names of their classes: the client's library for HTTP has changed before.
NO_ANSWER = {
    "ConnectError",
    "ConnectionError",
    "NetworkError",
    "OfflineModeIsEnabled",
    "ProxyError",
    "TimeoutException",
}
CUT_SHORT = "a file came cut short; try again, perhaps with force_download=True"


@contextmanager
def explained(repo_id: str, what: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one line.

    Args:
        repo_id: the repository.
        what: ``pushed`` or ``fetched``.
        revision: that was asked for.

    Raises:
        AssetError: saying what to do.
    """
    try:
        yield
    except LkgragError:
        raise
    except Exception as error:  # the client raises errors of its own, of HTTP and of the system
        reason = _find_reason(error, revision or "main", what == "fetched")
        raise AssetError(f"{repo_id}: cannot be {what}: {reason}") from error


def _find_reason(error: Exception, revision: str, is_fetched: bool) -> str:
    """Why the Hub did not answer as it should, and what to do."""
    chain = list(_chain(error))
    kinds = {kind.__name__ for link in chain for kind in type(link).__mro__}
    status = next((s for s in map(_status, chain) if s is not None), None)
    if any(isinstance(link, GatedRepoError) for link in chain):
        return f"its owner must grant you access first; then {LOGIN}"
    if any(isinstance(link, RevisionNotFoundError) for link in chain):
        return f"it has no revision '{short(revision)}'; name a branch, a tag or a commit"
    if isinstance(error, LocalTokenNotFoundError):
        return STATUS[401]
    if status in STATUS:
        return STATUS[status]
    if status is not None and status >= 500:
        return f"the Hub has a fault of its own ({status}); try again later"
    if "RemoteProtocolError" in kinds or "consistency check failed" in str(error).lower():
        return CUT_SHORT
    if kinds & NO_ANSWER:
        if is_fetched:
            return "the Hub cannot be reached, and it is neither in its cache nor a folder here; check the network and the name"
        return "the Hub cannot be reached; check the network"
    if isinstance(error, LocalEntryNotFoundError):
        return (
            "it is neither a folder here nor complete in the Hub's cache, and the network may not be asked "
            "(LKGRAG_OFFLINE or HF_HUB_OFFLINE is set)"
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; free space, or set cache_dir="
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.ENOTDIR):
        return f"{error.filename}: {error.strerror}; set cache_dir= to a folder that can be written"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {short(first)}" if first else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that caused it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The status of the answer that an error holds."""
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) else None
