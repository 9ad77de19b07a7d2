"""Print the lowest versions that pyproject.toml allows as constraints: ``python .ci/lowest.py [EXTRA ...]``."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> list[str]:
    """Pin each requirement to its lower bound.

    Raises:
        ValueError: a requirement has no lower bound, or more than one.
    """
    pins = []
    for text in requirements:
        requirement = Requirement(text)
        bounds = [part.version for part in requirement.specifier if part.operator == ">="]
        if len(bounds) != 1:
            raise ValueError(f"{PROJECT}: {text!r} needs one lower bound, as name>=1.0")
        marker = f"; {requirement.marker}" if requirement.marker else ""
        pins.append(f"{requirement.name}=={bounds[0]}{marker}")
    return pins


def main() -> None:
    """Print the pins of the dependencies and of the extras that are named."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    named = [requirement for extra in sys.argv[1:] for requirement in extras[extra]]
    print("\n".join(lowest(project["dependencies"] + named)))


if __name__ == "__main__":
    main()
