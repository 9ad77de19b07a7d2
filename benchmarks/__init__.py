"""Benchmarks: every number of README and docs comes from a JSON file in ``benchmarks/results``."""
