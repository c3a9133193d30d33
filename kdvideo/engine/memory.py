"""Settings for how the C library and the kernel manage big CPU tensors."""

import ctypes

from torch import nn

__all__ = ["keep_freed_memory", "use_huge_pages"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25  # from Linux's mman.h
_HUGE_PAGE = 2**21  # bytes


def keep_freed_memory() -> None:
    """Lets glibc reuse the memory of big CPU tensors instead of returning it to the system after each use.

    By default, every tensor above 32 MB is mapped, zeroed page by page and unmapped again in each forward and backward.
    `benchmarks/step_settings.py` measures the cost. With another C library, this function does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # Windows opens no library without a name
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def use_huge_pages(module: nn.Module) -> None:
    """Moves a module's big CPU buffers, such as memory banks, into pages of 2 MB if the kernel supports it.

    Rows are read from all over a bank. With small pages, finding a page's address takes longer than reading the row
    (`benchmarks/bank_scaling.py`). Linux before 6.1 does it gradually in the background. Elsewhere nothing happens.
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
