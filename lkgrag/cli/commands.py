"""The table of commands: ``lkgrag train`` and ``python -m lkgrag.train`` are the same."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

#: Names of commands and the modules that have their ``COMMAND`` and ``main``, in the order of ``lkgrag --help``.
#: They are imported when they are called, since they stand above this room.
COMMANDS = {
    "train": "lkgrag.train",
    "recommend": "lkgrag.recommend",
    "evaluate": "lkgrag.evaluate",
    "serve": "lkgrag.serve",
    "update": "lkgrag.update",
    "tune": "lkgrag.tune",
    "audit": "lkgrag.audit",
    "export": "lkgrag.export",
    "count": "lkgrag.count",
    "report": "lkgrag.report.__main__",
}
#: Shells that ``lkgrag completion`` writes for.
SHELLS = ("bash", "zsh", "fish")
#: What ``lkgrag --help`` says of ``completion``, the command that is no module.
COMPLETION = f"Print the completion of the shell: {', '.join(SHELLS)}."
#: How the console command is called, in front of a command's name.
PROGRAMS = ("lkgrag", "python -m lkgrag")


def load_command(name: str) -> ModuleType:
    """Import the module of a command."""
    return importlib.import_module(COMMANDS[name])


def called(module: str) -> str:
    """How the running command was called, for its line of usage.

    Args:
        module: name of the command, as ``lkgrag.train``.

    Returns:
        ``lkgrag train`` if the console command has started it, otherwise ``python -m lkgrag.train``.
    """
    name = module.rpartition(".")[2]
    programs = [f"{program} {name}" for program in PROGRAMS]
    return sys.argv[0] if sys.argv[0] in programs else f"python -m {module}"
