"""Options as others may see them: without secrets, and without the folders of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from lkgrag.config.fields import config_fields, default_of, new_config, value_of

if TYPE_CHECKING:
    from lkgrag.config.schema import Config

#: Words in the name of an option that holds a secret; other packages choose the names in ``kwargs``.
_SECRET_NAME = re.compile(
    r"(?i)token(?!s|iz)|secret|passw|passphrase|api.?key|access.?key|private.?key|credential|(?<![a-z])auth(?!or)|bearer"
)
#: Values that are secrets whatever their name: the user of an address, and keys of well-known services.
_SECRET_VALUE = re.compile(
    r"(?<=://)[^/@\s]+@|\b(?:hf|ghp|gho|github_pat|glpat|sk|pk|xox[bp])[-_][\w-]{16,}|\bAKIA[0-9A-Z]{16}\b|"
    r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+|(?<=[?&])(?:sig|signature|token|key|password)=[^&\s]+"
)
#: How files and folders begin, on any system.
_PLACE = re.compile(r"~|/|\\\\|\.{1,2}[\\/]|[A-Za-z]:[\\/]")
MASK = "***"


def public_config(config: Config) -> Config:
    """The same options for others to read.

    Folders of results, data and caches have their defaults. Of any other place on this machine, such as a language
    model's folder, the last part is left. Secrets are masked: in mappings by their names, everywhere by their form.

    Args:
        config: of a run; it stays as it is.
    """
    values = {}
    for key, f in config_fields():
        value = value_of(config, key)
        values[key] = (
            default_of(f) if f.metadata["path"] else _public(value, key.endswith("kwargs"))
        )
    return new_config(values)


def public_text(text: str) -> str:
    """A text of an option without secrets; of a file or folder of this machine, the last part."""
    return PureWindowsPath(text).name if _is_place(text) else without_secrets(text)


def without_secrets(text: str) -> str:
    """A text in which secrets that can be told by their form are hidden."""
    return _SECRET_VALUE.sub(lambda m: MASK + ("@" if m[0].endswith("@") else ""), text)


def _public(value: Any, has_secrets: bool) -> Any:
    """A value without secrets and places, in the types that it had.

    Args:
        value: of an option.
        has_secrets: whether names within it may be those of secrets.
    """
    if isinstance(value, dict):
        return {
            key: MASK
            if has_secrets and _SECRET_NAME.search(str(key))
            else _public(inner, has_secrets)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(_public(inner, has_secrets) for inner in value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return value
    return public_text(value)


def _is_place(text: str) -> bool:
    """Whether a text is a file or folder of this machine; ``owner/name`` is one only if it is there."""
    if not PureWindowsPath(text).name or "://" in text or "\n" in text:
        return False
    if _PLACE.match(text):
        return True
    try:
        return ("/" in text or os.sep in text) and Path(text).exists()
    except (OSError, ValueError):
        return False
