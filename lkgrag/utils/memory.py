"""How much memory a process can still get: what the machine has free, within the limits of its container."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from lkgrag.errors import ConfigError, short

#: Bytes of a unit, in small letters.
UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}

#: Files of a control group: its limit, its use, and the entry of ``memory.stat`` that can be given back.
VERSIONS = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes of main memory that this process can still get, without swap; None where Linux does not tell.

    The limits of control groups count too, which containers have: of the process' own group and those above it.

    Args:
        root: folder that holds ``proc`` and ``sys``.
    """
    amounts = []
    with suppress(OSError, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = next(line for line in [*lines, ""] if line.startswith("MemAvailable:") or not line)
        amounts.append(int(free.split()[1]) * 1024)
    for folder, version in _groups(root):
        left = _left_in_group(folder, version)
        if left is not None:
            amounts.append(left)
    return min(amounts) if amounts else None


def _groups(root: Path) -> list[tuple[Path, int]]:
    """Folders of the process' control groups and of those above them, and their versions."""
    groups = []
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            number, controllers, place = line.split(":", 2)
            if number == "0":
                base, version = root / "sys/fs/cgroup", 2
            elif "memory" in controllers.split(","):
                base, version = root / "sys/fs/cgroup/memory", 1
            else:
                continue
            # A container sees its own group as the root, whatever the name that the line gives.
            own = base / place.strip("/")
            groups += [(f, version) for f in (own, *own.parents) if f == base or base in f.parents]
    return groups


def _left_in_group(folder: Path, version: int) -> int | None:
    """Bytes that a control group may still take; None without a limit."""
    limit_file, use_file, cache = VERSIONS[version]
    try:
        limit = int((folder / limit_file).read_text())
        use = int((folder / use_file).read_text())
        for line in (folder / "memory.stat").read_text().splitlines():
            name, value = line.split()
            if name == cache:
                use -= int(value)
    except (OSError, ValueError):
        # No such group, or the limit is the word `max`.
        return None
    return max(0, limit - use)


def parse_bytes(text: str, option: str) -> int:
    """Read an amount of memory, as ``8GB``, ``1.5 GiB`` or ``500mb``.

    Args:
        text: a number and a unit: KB, MB, GB, TB, or KiB, MiB, GiB, TiB.
        option: that has the value, for the message.

    Raises:
        ConfigError: it is no such amount.
    """
    found = re.fullmatch(
        r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([kmgt]i?b)\s*", text, re.IGNORECASE | re.ASCII
    )
    if found is None:
        raise ConfigError(
            f"option '{option}': {short(text)!r} is no amount of memory; write a number and a unit, as 8GB or 500MB"
        )
    return int(float(found[1]) * UNITS[found[2].lower()])
