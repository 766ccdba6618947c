"""Have the C library return freed arrays to the system at once."""

import ctypes

LEAST = 2**18
"""Bytes from which a freed array is returned."""

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # in malloc.h of glibc


def return_freed_arrays() -> None:
    """Make the process smaller by the gaps that freed arrays leave.

    By default glibc keeps freed arrays below 32 MB for later ones. After a network has run, these gaps add up to
    hundreds of megabytes. Threads share one heap for the same reason. The settings hold for the whole process. Other C
    libraries stay as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return
    mallopt(_MMAP_THRESHOLD, LEAST)
    mallopt(_ARENA_MAX, 1)
