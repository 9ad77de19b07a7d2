"""Inner loops are compiled by numba, a dependency; without it the same code runs, slowly."""

from __future__ import annotations

from typing import Any

try:
    from numba import njit as _njit
except ImportError:  # pragma: no cover - see above
    compiled: Any = lambda **options: lambda function: function  # noqa: E731
else:
    compiled = _njit
