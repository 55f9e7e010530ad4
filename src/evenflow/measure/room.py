"""Memory for copies of the weights, in large pages where the system has some.

A step passes over every page of the copies; with pages of 4 KiB, looking up where they are costs as much as a fifth of
the reading.
"""

from __future__ import annotations

import mmap
from contextlib import suppress

import torch
from torch import Tensor

_PAGE = 2**21  # bytes of a large page on x86-64 and most others
_LINE = 64  # bytes of a cache line


class Room:
    """Room for tensors behind one another; what does not fit gets memory of its own.

    Args:
        size: bytes of all tensors together. Nothing is taken before the first one, and small rooms are not worth it.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._memory: mmap.mmap | None = None
        self._free = 0

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of the same shape and dtype, contiguous, with anything in it."""
        number = tensor.numel()
        size = -(-number * tensor.element_size() // _LINE) * _LINE
        if self._memory is None and self._size >= _PAGE // 2:
            self._memory, self._free = _taken(self._size + _LINE * 64)
        if self._memory is None or number == 0 or self._free + size > len(self._memory):
            return torch.empty_like(tensor, requires_grad=False, memory_format=torch.contiguous_format)
        flat = torch.frombuffer(self._memory, dtype=tensor.dtype, offset=self._free, count=number)
        self._free += size
        return flat.view(tensor.shape)


def _taken(size: int) -> tuple[mmap.mmap | None, int]:
    """Memory for so many bytes, and where in it a large page begins."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None, 0
    memory = mmap.mmap(-1, size + _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without them
        memory.madvise(mmap.MADV_HUGEPAGE)
    begin = torch.frombuffer(memory, dtype=torch.uint8, count=1).data_ptr()
    return memory, -begin % _PAGE
