"""What the processes of a launch must have in common: the package, the options, the data, the folders, the first stages.

Each check is made by all processes together. All of them then raise the same line, which names the first difference.
"""

from __future__ import annotations

import hashlib
import platform
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag import __version__
from lkgrag.config.identity import digest
from lkgrag.errors import RunError, short
from lkgrag.run.provenance import environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.utils.group import Group

#: Options that each machine may have of its own: where things are, and how many cores it has. Folders are compared by
#: what lies in them.
OF_MACHINE = ("out", "threads", "data.root", "cache.root", "engine.memory", "engine.temp")
#: Beginning of the name of a file by which a shared folder is recognised.
PROBE = ".shared-"
#: Seconds until a new file must be seen on another machine: network file systems keep listings for a while.
SEEN = 60.0
#: What to do about a folder that is not shared.
ADVICE = {
    "out": "set out= to a folder that all machines see",
    "cache.root": "set cache.root= to a folder that all machines see, or copy its finished stages to every machine",
}


def refuse_other_versions(group: Group) -> None:
    """Compare the versions and the code of all processes.

    Args:
        group: the processes.

    Raises:
        RunError: on every process, naming the first difference.
    """
    if group.size == 1:
        return
    versions = environment()
    versions["python"] = versions["python"].rpartition(".")[0]
    _compare(group, versions, "{name} {value}", "install the same versions on every machine")
    code = {f"code of lkgrag {__version__}": hash_sources()}
    _compare(group, code, "the {name} with sum {value}", "install the same lkgrag on every machine")


def refuse_other_options(group: Group, options: dict[str, Any]) -> None:
    """Compare the options of all processes.

    Args:
        group: the processes.
        options: of this one, in sections or not.

    Raises:
        RunError: on every process, naming the first difference.
    """
    own = {key: value for key, value in _flat(options).items() if key not in OF_MACHINE}
    _compare(group, own, "{name}={value}", "start the same command on every machine")


def refuse_other_data(group: Group, key: dict[str, Any]) -> None:
    """Compare the data of all processes.

    Args:
        group: the processes.
        key: identifies the data of this one.

    Raises:
        RunError: on every process, naming one whose data differ.
    """
    value = {"data": digest(key)}
    _compare(group, value, "other {name} (sum {value})", "copy the same files to every machine")


def refuse_other_folders(group: Group, folders: dict[str, Path | None]) -> None:
    """Look whether all processes see the same folders. The first one writes a file into each, and deletes it again.

    Args:
        group: the processes.
        folders: by option; None where this process needs none.

    Raises:
        RunError: on every process, naming one that does not see a folder of the first one.
    """
    if group.size == 1:
        return
    for option, folder in folders.items():
        where, name = group.share(str(folder)), group.share(f"{PROBE}{secrets.token_hex(8)}")
        probe = None if folder is None else folder / name
        if group.is_main and probe is not None:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_text("")
        group.gather(None)
        is_seen = probe is None or _is_seen(probe)
        found = group.gather((is_seen, platform.node(), str(folder)))
        if group.is_main and probe is not None:
            probe.unlink(missing_ok=True)
        for rank, (sees, machine, own) in enumerate(found):
            if not sees:
                there = "" if own == where else f", but has {short(own)}"
                raise _error(
                    f"process {rank} ({machine}) does not see the {option}={short(where)} of process 0 "
                    f"({found[0][1]}){there}: {ADVICE[option]}",
                    group,
                )


def refuse_other_stages(group: Group, arrays: Iterable[NDArray[np.generic]]) -> None:
    """Compare what stage one has given: on other kinds of machines it may differ in its last digits.

    Args:
        group: the processes.
        arrays: of the examples and their lists.

    Raises:
        RunError: on every process, naming one whose arrays differ.
    """
    if group.size == 1:
        return
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    value = {"stages": total.hexdigest()[:16]}
    advice = (
        "copy the folder of cache.root from the first machine to the others, or share it, and start "
        "the same command"
    )
    _compare(group, value, "other finished {name} (sum {value})", advice)


def hash_sources() -> str:
    """A sum of the package's code."""
    root = Path(__file__).resolve().parents[1]
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return total.hexdigest()[:16]


def _compare(group: Group, values: dict[str, Any], words: str, advice: str) -> None:
    """Compare values by name.

    Args:
        group: the processes.
        values: of this process.
        words: what a process has, with ``{name}`` and ``{value}``.
        advice: what to do.

    Raises:
        RunError: on every process, naming the first difference.
    """
    if group.size == 1:
        return
    found = group.gather((platform.node(), values))
    machine, first = found[0]
    for rank, (other, own) in enumerate(found):
        for name in [*first, *(n for n in own if n not in first)]:
            if own.get(name) != first.get(name):
                said = [
                    words.format(name=name, value=short(str(v.get(name)))) for v in (own, first)
                ]
                raise _error(
                    f"process {rank} ({other}) has {said[0]}, process 0 ({machine}) {said[1]}: {advice}",
                    group,
                )


def _error(line: str, group: Group) -> RunError:
    error = RunError(line)
    error.is_said = not group.is_first_here
    return error


def _is_seen(probe: Path) -> bool:
    """Whether a file of another machine can be seen, if not at once, then after a while."""
    end = time.monotonic() + SEEN
    while True:
        try:
            # A listing makes a network file system look again.
            if probe.name in {entry.name for entry in probe.parent.iterdir()}:
                return True
        except OSError:
            # There is no such folder at all, or not yet.
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.2)


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options by dotted key."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict) and not prefix:
            out |= _flat(value, f"{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out
