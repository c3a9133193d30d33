"""How the C library and the kernel hold big tensors of the CPU."""

import ctypes

from torch import nn

__all__ = ["keep_freed_memory", "use_huge_pages"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # from Linux's mman.h
_HUGE_PAGE = 2**21  # bytes


def keep_freed_memory() -> None:
    """Lets glibc reuse the memory of big CPU tensors instead of giving it back to the system after each use.

    By default every tensor above 32 MB is mapped, zeroed page by page and unmapped again in each forward and backward.
    `benchmarks/step_settings.py` measures what that costs. Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows opens no library without a name
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def use_huge_pages(module: nn.Module) -> None:
    """Puts a module's big CPU buffers, such as memory banks, into pages of 2 MB where the kernel is willing.

    Rows are read from all over a bank; with small pages, looking up where a page is takes longer than the row itself
    (`benchmarks/bank_scaling.py`). Linux before 6.1 does it bit by bit in the background; elsewhere nothing happens.
    """
    try:
        madvise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError, TypeError):  # Windows opens no library without a name
        return
    for buffer in module.buffers():
        start = -(-buffer.data_ptr() // _HUGE_PAGE) * _HUGE_PAGE
        length = (buffer.data_ptr() + buffer.nbytes - start) // _HUGE_PAGE * _HUGE_PAGE
        if buffer.device.type == "cpu" and length > 0:
            for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
                madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), advice)
