"""Inner loops are compiled by numba, a dependency. Where it cannot be had, NumPy does the frequent ones.

The searches for shortest paths then run as the plain Python that they are written in: right, but slow.
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
