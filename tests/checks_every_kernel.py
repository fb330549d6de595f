"""Calls that reach every compiled kernel, on shapes that fit nothing: no vector, tile or thread.

What is checked of them - races, memory, array bounds - stands in the files that run them, each in
a process of its own.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from checks_kernels import lay, run
from test_kernels_cpu import GEOMETRIES
from test_kernels_fft import LARGER
from test_kernels_gemm import SIZES, product
from test_kernels_threads import THREADED

from numcnn.kernels import cpu
from numcnn.kernels.cpu import (
    _peak,
    conv2d_direct,
    conv2d_fft,
    conv2d_grouped,
    conv2d_im2col,
    conv2d_loops,
    conv2d_winograd,
)

Call = Callable[[], list[np.ndarray]]

ALGORITHMS = {
    "direct": conv2d_direct,
    "fft": conv2d_fft,
    "grouped": conv2d_grouped,
    "im2col": conv2d_im2col,
    "loops": conv2d_loops,
    "winograd": conv2d_winograd,
}
# families whose kernels have loops of their own for pictures that lie channels last
EITHER_ORDER = ("conv2d", "conv_relu2d", "max_pool2d", "avg_pool2d", "adaptive_", "batch_norm")


# what reaches every kernel once, and tiles and vectors that aren't whole
SHORT = {"all-different", "depthwise", "batch-17", "row-too-many", "many-terms"}


def every_case(short: bool = False) -> Iterator[tuple[str, Call]]:
    """Yield names, and functions that call kernels and return what they wrote."""
    for name, (function, arguments) in THREADED.items():
        for dtype in (np.float32,) if short else (np.float32, np.float64):
            yield (
                f"{name}, {dtype.__name__}",
                functools.partial(run, cpu, function, arguments, dtype),
            )
        if function.startswith(EITHER_ORDER):
            laid = lay(arguments, "last")
            yield f"{name}, channels last", functools.partial(run, cpu, function, laid, np.float32)
    for (algorithm, module), (shape, geometry) in itertools.product(
        ALGORITHMS.items(), (GEOMETRIES | LARGER).items()
    ):
        if short and shape not in SHORT:
            continue
        for function, (arguments, _) in geometry.calls().items():
            yield (
                f"{algorithm}, {function}, {shape}",
                functools.partial(run, module, function, arguments, np.float32),
            )
    for (size, numbers), turned in itertools.product(SIZES.items(), (False, True)):
        if not short or size in SHORT:
            yield (
                f"gemm, {size}, turned={turned}",
                functools.partial(_product, *numbers, turned, turned, turned, turned),
            )
    yield "peak", _fill_registers


def _product(*arguments):
    return [product(*arguments)[0]]


def _fill_registers():
    _peak.multiply_add(3)
    return []
