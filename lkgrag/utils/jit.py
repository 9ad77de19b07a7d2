"""Compiling of inner loops by numba, which is a dependency.

Where numba is not available, NumPy does the frequent loops. The search for shortest paths then runs as plain
Python: it gives the same paths, but slowly.
"""

from __future__ import annotations

from typing import Any

try:
    from numba import njit as _njit
except ImportError:  # pragma: no cover - a dependency; see above
    JIT = False
    compiled: Any = lambda **options: lambda function: function  # noqa: E731
else:
    JIT = True
    compiled = _njit
