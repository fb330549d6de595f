"""Keep freed memory for the next array, instead of giving it back to the system at once.

A training step makes and frees the same large arrays again and again. By default the C library
maps each from the system and unmaps it afterwards; the system then fills every page with zeros
once more, and each first touch of a page interrupts the loop that writes it. Training LeNet took
10% longer so. The price is that a process keeps the memory of its largest moment.

This concerns glibc, and the whole process. Other C libraries stay as they are; so does glibc
where its environment variables already say how it shall behave.
"""

import ctypes
import os

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
TRIM = 2**31 - 1  # bytes free at the end of the heap that stay with us
MMAP = (2**30, 2**25)  # bytes from which an array is mapped; old versions refuse more than 2**25
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory():
    """Tell glibc to keep what is freed; return whether it was told."""
    if any(name in os.environ for name in SETTINGS):
        return False
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
        library.gnu_get_libc_version()  # other libraries' mallopt may count otherwise
    except (AttributeError, OSError, TypeError):  # TypeError: Windows
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, TRIM)) and any(
        mallopt(M_MMAP_THRESHOLD, size) for size in MMAP
    )
