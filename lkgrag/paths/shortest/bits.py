"""What the compiled loops share: bits and their slots, and places in sorted rows."""

from __future__ import annotations

import numpy as np

from lkgrag.paths.shortest.arrays import BITS
from lkgrag.utils.jit import compiled

ZERO, ONE = np.uint64(0), np.uint64(1)
#: The place of a bit is the top six bits of its product with this de Bruijn sequence, so no loop is needed.
_BRUIJN, _SHIFT = np.uint64(0x03F79D71B4CB0A89), np.uint64(58)
SLOT_OF = np.zeros(BITS, np.int64)
SLOT_OF[[(2**slot * int(_BRUIJN) % 2**64) >> 58 for slot in range(BITS)]] = np.arange(BITS)
#: Rows of at most so many nodes are counted through, which the processor does many nodes at a time.
COUNTED = 128
#: Number of rows by which they are fetched before they are read; where they begin is fetched as much earlier.
AHEAD = 4


@compiled(cache=True, nogil=True)
def lowest(bits):  # type: ignore[no-untyped-def]
    """Return the lowest bit of a word that is not 0."""
    return bits & (~bits + ONE)


@compiled(cache=True, nogil=True)
def slot_of(bit):  # type: ignore[no-untyped-def]
    """Return the place of a single bit, 0 to 63."""
    return SLOT_OF[(bit * _BRUIJN) >> _SHIFT]


@compiled(cache=True, nogil=True)
def find_place(nodes, low, high, wanted):  # type: ignore[no-untyped-def]
    """Find a node that is in a rising row ``low:high``: its place."""
    while high - low > COUNTED:
        middle = (low + high) >> 1
        if nodes[middle] <= wanted:
            low = middle
        else:
            high = middle
    row = nodes[low:high]
    before, sought = 0, np.int32(wanted)
    for place in range(len(row)):
        before += row[place] < sought
    return low + before
