"""For tests, here and in packages that extend this one: toy graphs and inheritable suites."""

from lkgrag.testing.graph import planted, toy_interactions, toy_kg

__all__ = ["planted", "toy_interactions", "toy_kg"]
