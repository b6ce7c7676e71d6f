"""The C library's heap: large blocks go back to the system when they are freed."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache

M_MMAP_THRESHOLD = -3  # from malloc.h of the GNU C library
LARGE = 3 << 20  # bytes: below a frame of plaintext and a part of an upload, above a segment


@cache
def give_back_large_blocks() -> None:
    """Have every block of 3 MiB or more mapped by itself, in the whole process, where the C library can be told so.

    The GNU one raises that limit to 32 MiB by itself, and then keeps freed frames and parts in a heap for each thread:
    four objects at once were measured to need 500 MiB where 230 are in use.
    """
    with suppress(OSError, AttributeError):  # another C library: nothing to tell, and another heap
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
