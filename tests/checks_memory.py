"""Give the arrays of a call other memory, where what reads or writes beside them is seen."""

import ctypes
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Block(NamedTuple):
    """Memory that one or more arrays lie in."""

    begin: int
    end: int
    writable: bool
    copy: np.ndarray


def span(array):
    """Return the addresses where an array begins and ends."""
    begin = end = array.__array_interface__["data"][0]
    if array.size == 0:
        return begin, begin
    for size, stride in zip(array.shape, array.strides, strict=True):
        begin += min(0, (size - 1) * stride)
        end += max(0, (size - 1) * stride)
    return begin, end + array.itemsize


def _blocks(arrays, allocate):
    """Return blocks for the arrays; those that share memory share a block."""
    spans = sorted((*span(array), array.flags.writeable) for array in arrays)
    merged: list[list] = []
    for begin, end, writable in spans:
        if merged and begin < merged[-1][1]:
            merged[-1][1] = max(end, merged[-1][1])
            merged[-1][2] |= writable
        else:
            merged.append([begin, end, writable])
    blocks = []
    for begin, end, writable in merged:
        copy = allocate(end - begin)
        if end > begin:
            ctypes.memmove(copy.ctypes.data, begin, end - begin)
        blocks.append(Block(begin, end, writable, copy))
    return blocks


def move(
    arguments: Sequence, allocate: Callable[[int], np.ndarray]
) -> tuple[list, Callable[[], None]]:
    """Return arguments whose arrays are copies, and a function that brings the copies back.

    Parameters
    ----------
    arguments : sequence
        Those that are no arrays are passed on.
    allocate : callable
        ``allocate(size)`` returns so many bytes as a 1-D array.
    """
    arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
    blocks = _blocks(arrays, allocate)

    def moved(array):
        begin, end = span(array)
        block = next(each for each in blocks if each.begin <= begin and end <= each.end)
        first = array.__array_interface__["data"][0] - block.begin
        return np.ndarray(array.shape, array.dtype, block.copy, first, array.strides)

    def bring_back():
        for block in blocks:
            if block.writable and block.end > block.begin:
                ctypes.memmove(block.begin, block.copy.ctypes.data, block.end - block.begin)

    given = [moved(each) if isinstance(each, np.ndarray) else each for each in arguments]
    return given, bring_back
