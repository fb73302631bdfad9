"""Memory that arrays leave behind is kept for the next ones.

By default glibc gets each array of more than 128 kB from the system and gives it back when it is freed: every array of a training
step then costs a page fault for each 4 kB, which takes longer than the arithmetic on it (3.4 times as long, for a few
elementwise ops on 2 MB). It raises that limit itself, up to 32 MB, to the size of the largest array that it has freed so.
"""

import numpy as np

_LARGEST = (32 << 20) - (1 << 16)  # bytes: glibc looks at nothing larger


def keep_freed_memory() -> None:
    """Free one large array, of which nothing was ever touched: glibc keeps up to twice its size from then on.

    Elsewhere than with glibc this does nothing; neither does it where MALLOC_MMAP_THRESHOLD_ sets the limit.
    """
    np.empty(_LARGEST, np.uint8)
