"""The provenance of a result: versions, commit, machine, date."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from lkgrag import __version__

#: Packages whose versions are noted.
PACKAGES = ("torch", "torch-geometric", "transformers", "peft", "accelerate", "numpy", "pandas")


def environment() -> dict[str, Any]:
    """Versions of Python, of lkgrag and of the packages that it depends on."""
    versions = {"lkgrag": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = importlib.metadata.version(name)
    return versions


@functools.cache
def commit() -> str | None:
    """The commit of the running package, with ``+`` if files differ from it; None outside git.

    The first call decides, because later commits are not what runs.
    """
    # This file is in a room; the package's root holds all code.
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(root), *words), capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        # A package that is installed inside another repository has no commit.
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(
            git("status", "--porcelain", "--untracked-files=no", ".")
        )
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores and memory of this machine, and the names of this process' GPUs if it uses one."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    memory = None
    if hasattr(os, "sysconf"):
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    description: dict[str, Any] = {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
    }
    # Otherwise the question itself would start CUDA, even in a command that uses no GPU.
    if torch.cuda.is_initialized():
        count = torch.cuda.device_count()
        description["gpus"] = [torch.cuda.get_device_name(index) for index in range(count)]
    return description


def today() -> str:
    """Today's date, ISO 8601."""
    return datetime.date.today().isoformat()
