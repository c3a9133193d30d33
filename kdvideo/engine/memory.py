"""Process-wide settings of the C library's allocator."""

import ctypes

__all__ = ["keep_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


def keep_freed_memory() -> None:
    """Lets glibc reuse the memory of big CPU tensors instead of giving it back to the system after each use.

    By default every tensor above 32 MB is mapped, zeroed page by page and unmapped again in each forward and backward.
    `benchmarks/step_settings.py` measures what that costs. Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
