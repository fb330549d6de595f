"""Arrays on the GPU without asking its driver each time, and copies that nobody waits for.

A training step makes the same arrays again and again. Asking the driver for memory costs more than
many a kernel, and giving memory back makes the host wait for the GPU. So what an array leaves
behind is kept and lent to the next one of about its size: after the first step of a training the
driver is asked for nothing. Work of one stream runs in order, so an array may be lent to the next
while the GPU still computes with it for the last time.

Copies go through pinned memory, the only kind that the GPU can fetch by itself, on a stream of
their own: while it fetches the next batch it computes with this one.
"""

import ctypes
import functools
import math
import weakref

import numpy as np

from . import _cuda, _recording

__all__ = ["POOL", "Parcel", "Pool", "Reading", "empty", "send", "to_device"]

LEAST = 512  # bytes; also what addresses are multiples of
PINNED = 2  # pinned arrays of each size: one is filled while the GPU fetches the other


def rounded(nbytes):
    """Return the size of the block that so many bytes get: at most an eighth more, or 511."""
    step = max(LEAST, 1 << max(0, nbytes.bit_length() - 4))
    return -(-nbytes // step) * step


class Block:
    """A piece of the GPU's memory that the pool got from the driver and never gives back."""

    def __init__(self, size, lasting):
        self.size = size
        self.lasting = lasting
        self.slab = _cuda.cuda.device_array(size, np.uint8)
        self.lent = None  # Numba's handle of the array it is lent to


class Pool:
    """Blocks of memory, lent to arrays and taken back when the last view of an array is gone.

    Attributes
    ----------
    asked : int
        How often the driver was asked for memory.
    held : int
        Bytes that it gave.
    """

    def __init__(self):
        self.asked = 0
        self.held = 0
        self._free = {}

    def empty(self, shape, dtype, lasting=False):
        """Return an array on the GPU, its contents undefined.

        What is there to last, as a parameter is, has blocks of its own: an optimizer that makes
        its arrays at the end of the first step must not take what the second will need.
        """
        shape = (int(shape),) if np.ndim(shape) == 0 else tuple(map(int, shape))
        dtype = np.dtype(dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes == 0:
            return _cuda.empty(shape, dtype)
        lend = _lend_simulated if _cuda.SIMULATED else _lend
        return lend(self._take(rounded(nbytes), lasting), self._give_back, shape, dtype)

    def _take(self, size, lasting):
        """Return a block that nobody has; what else runs, the collector too, may give some back."""
        try:
            return self._free[size, lasting].pop()
        except (KeyError, IndexError):
            pass
        try:
            block = Block(size, lasting)
        except (MemoryError, _cuda.cuda.cudadrv.driver.CudaAPIError):
            if not self.trim():
                raise
            block = Block(size, lasting)
        self.asked += 1
        self.held += size
        return block

    def _give_back(self, block):
        block.lent = None
        self._free.setdefault((block.size, block.lasting), []).append(block)

    def trim(self):
        """Give all that nobody uses back to the driver; return how many bytes."""
        unused, self._free = self._free, {}
        freed = sum(block.size for blocks in unused.values() for block in blocks)
        self.held -= freed
        return freed


def _lend(block, give_back, shape, dtype):
    """Return an array in a block; Numba counts its views and calls ``give_back`` after the last.

    As Numba's own allocator does it: the handle lives until its count is 0.
    """
    driver, arrays = _cuda.cuda.cudadrv.driver, _cuda.cuda.cudadrv.devicearray
    memory = block.slab.gpu_data
    block.lent = driver.AutoFreePointer(
        memory.context,
        memory.device_pointer,
        block.size,
        finalizer=functools.partial(give_back, block),
    )
    strides = np.cumprod((dtype.itemsize, *shape[:0:-1]))[::-1].tolist()
    return arrays.DeviceNDArray(shape, strides, dtype, gpu_data=block.lent.own())


def _lend_simulated(block, give_back, shape, dtype):
    """Return the same in the simulator, where arrays are NumPy's; filled with NaN."""
    nbytes = math.prod(shape) * dtype.itemsize
    whole = block.slab[:nbytes]
    whole[:] = 0xFF
    held = (ctypes.c_char * nbytes).from_buffer(whole.view("u1")._ary)
    weakref.finalize(held, give_back, block)
    return type(whole)(np.frombuffer(held, dtype).reshape(shape))


POOL = Pool()


def empty(shape, dtype):
    """Return an array on the GPU, its contents undefined, from the pool."""
    return POOL.empty(shape, dtype)


def to_device(host):
    """Return a copy on the GPU, in C order, in memory of the pool."""
    _recording.refuse("copies an array to the GPU")
    host = np.asarray(host, order="C")
    array = POOL.empty(host.shape, host.dtype, lasting=True)
    if host.size:
        array.copy_to_device(host)
    return array


# ---- copies that run beside the kernels ---------------------------------------------------------


@functools.cache
def _copies():
    """Return the stream of copies to the GPU."""
    return _cuda.cuda.stream()


class _Pinned:
    """A pinned array on the host, and the end of the last copy from or to it."""

    def __init__(self, size):
        self.bytes = _cuda.cuda.pinned_array(size, np.uint8)
        self.copied = _cuda.cuda.event()

    def numbers(self, shape, dtype):
        """Return its beginning as an array."""
        count = math.prod(shape)
        return self.bytes[: count * dtype.itemsize].view(dtype).reshape(shape)


_rings = {}


def _next_pinned(size):
    """Return the pinned array of this size that was filled longest ago; the two take turns."""
    if size not in _rings:
        _rings[size] = [_Pinned(size) for _ in range(PINNED)]
    ring = _rings[size]
    ring.append(ring.pop(0))
    return ring[-1]


def send(host, array):
    """Copy the host's numbers to an array on the GPU, behind the kernels launched so far.

    The host goes on at once, and may change its numbers. Kernels launched from now on see them.
    """
    if not array.size:
        return
    pinned = _next_pinned(rounded(array.size * array.dtype.itemsize))
    pinned.copied.synchronize()
    staged = pinned.numbers(array.shape, array.dtype)
    np.copyto(staged, host, casting="unsafe")
    array.copy_to_device(staged, stream=_cuda.stream())
    pinned.copied.record(_cuda.stream())


class Parcel:
    """An array on its way to the GPU. The host goes on at once; so does the GPU.

    Parameters
    ----------
    host : ndarray
        Copied at once, so it may change afterwards.
    dtype : numpy.dtype
        What it becomes on the GPU.
    """

    def __init__(self, host, dtype):
        self._arrived = None
        _recording.refuse("sends an array to the GPU")
        host, dtype = np.asarray(host), np.dtype(dtype)
        self._array = empty(host.shape, dtype)
        if not host.size:
            return
        pinned = _next_pinned(rounded(host.size * dtype.itemsize))
        pinned.copied.synchronize()
        staged = pinned.numbers(host.shape, dtype)
        np.copyto(staged, host, casting="unsafe")
        before = _cuda.cuda.event()
        before.record(_cuda.stream())  # kernels may still read what the array's memory held before
        before.wait(_copies())
        self._array.copy_to_device(staged, stream=_copies())
        pinned.copied.record(_copies())
        self._arrived = _cuda.cuda.event()
        self._arrived.record(_copies())

    def receive(self):
        """Return the array; kernels launched from now on wait until it has arrived."""
        if self._arrived is not None:
            self._arrived.wait(_cuda.stream())
            self._arrived = None
        return self._array

    def __del__(self):
        if self._arrived is not None:
            self.receive()  # its memory is lent out again, which the copy must not disturb


_readings = {}  # for each size pinned arrays that no reading waits for


class Reading:
    """Numbers on their way to the host; ``wait`` returns them.

    Parameters
    ----------
    array : device array of one axis
        Read when the kernels launched so far are done.
    """

    def __init__(self, array):
        self._size = rounded(array.size * array.dtype.itemsize)
        try:
            self._pinned = _readings[self._size].pop()
        except (KeyError, IndexError):
            self._pinned = _Pinned(self._size)
        self._array = array
        self._target = self._pinned.numbers(array.shape, array.dtype)
        array.copy_to_host(self._target, stream=_cuda.stream())
        self._pinned.copied.record(_cuda.stream())

    def wait(self):
        """Return a list of the numbers, once they are there."""
        self._pinned.copied.synchronize()
        return self._target.tolist()

    def __del__(self):
        if hasattr(self, "_pinned"):  # what is still on its way is written before what follows
            _readings.setdefault(self._size, []).append(self._pinned)
