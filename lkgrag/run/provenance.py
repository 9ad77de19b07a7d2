"""What a result was made with: versions, commit, machine, date."""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from lkgrag import __version__

PACKAGES = ("torch", "torch-geometric", "transformers", "peft", "accelerate", "numpy", "pandas")


def environment() -> dict[str, Any]:
    """Versions of Python, this package and those that it stands on, for the record of a result."""
    versions = {"lkgrag": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = importlib.metadata.version(name)
    return versions


@functools.cache
def commit() -> str | None:
    """The commit that this package is run at, with ``+`` where files differ from it; None outside git.

    Asked once: later commits are not what runs.
    """
    # This file lies in a room of the package, whose root holds all that runs.
    here = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        done = subprocess.run(
            ("git", "-C", str(here), *words), capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout.strip()

    try:
        # Installed into an environment inside some other repository, it has no commit.
        git("ls-files", "--error-unmatch", "__init__.py")
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(
            git("status", "--porcelain", "--untracked-files=no", ".")
        )
    except (OSError, subprocess.SubprocessError):
        return None


def hardware() -> dict[str, Any]:
    """Processor, cores and memory of this machine, and by name the GPUs that this process can use, if it uses one."""
    import torch

    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    memory = None
    if hasattr(os, "sysconf"):
        memory = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30)
    found: dict[str, Any] = {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_gib": memory,
    }
    # To ask is to start CUDA, which no command should do that computes nothing on a GPU.
    if torch.cuda.is_initialized():
        count = torch.cuda.device_count()
        found["gpus"] = [torch.cuda.get_device_name(index) for index in range(count)]
    return found


def today() -> str:
    """The date, ISO 8601."""
    return datetime.date.today().isoformat()
