"""Engines that take over where one process and its memory end: ``python -m benchmarks.run engines``."""
