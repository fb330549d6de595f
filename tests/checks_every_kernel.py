"""Calls that reach every compiled kernel, on shapes that fit nothing: no vector, tile or thread.

What is checked of them - races, memory, array bounds - stands in the files that run them, each in
a process of its own.
"""

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from checks_kernels import Out, lay, normal, run
from test_kernels_cpu import GEOMETRIES, Geometry
from test_kernels_fft import LARGER
from test_kernels_gemm import SIZES, product
from test_kernels_threads import THREADED

from numcnn.kernels import cpu, reference
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
EITHER_ORDER = (
    "conv2d",
    "conv_relu2d",
    "max_pool2d",
    "avg_pool2d",
    "adaptive_",
    "batch_norm",
    "bias2d",
)


OWN = {
    "one-channel-in-a-group": Geometry(2, 5, 5, (4, 5), (2, 3), pads=(1, 0, 0, 1), groups=5),
    "small-and-different": Geometry(2, 4, 6, (6, 5), (3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2),
    # what Winograd's algorithm serves: tiles, and vectors of channels, that aren't whole
    "three-by-three": Geometry(2, 3, 5, (6, 7), (3, 3), pads=(1, 0, 0, 1)),
    "pixels-no-window-sees": Geometry(2, 3, 4, (5, 7), (1, 2), (2, 3)),
    # read where they are, several at once, up to the last number of the array
    "pictures-as-they-lie": Geometry(33, 12, 5, (4, 4), (1, 1)),
    "three-and-a-channel-too-many": Geometry(1, 17, 33, (5, 6), (3, 3), pads=(0, 2, 1, 0)),
}
# what reaches every kernel once
SHORT = {
    *("small-and-different", "one-channel-in-a-group", "three-by-three", "small", "row-too-many"),
    *("pixels-no-window-sees", "pictures-as-they-lie"),
}


def _smallest(cases):
    """Return the smallest case of each function, and of those that choose among kernels, all."""
    chosen = {}
    for name, (function, arguments) in cases.items():
        size = sum(each.size for each in arguments if isinstance(each, np.ndarray))
        key = name if function.startswith("max_pool2d") else function
        chosen[key] = min(chosen.get(key, (size, name)), (size, name))
    return {name: cases[name] for _, name in chosen.values()}


def every_case(short: bool = False) -> Iterator[tuple[str, Call]]:
    """Yield names, and functions that call kernels and return what they wrote."""
    for name, (function, arguments) in (_smallest(THREADED) if short else THREADED).items():
        for dtype in (np.float32,) if short else (np.float32, np.float64):
            yield (
                f"{name}, {dtype.__name__}",
                functools.partial(run, cpu, function, arguments, dtype),
            )
        if function.startswith(EITHER_ORDER) and "last" not in name:
            laid = lay(arguments, "last")
            yield f"{name}, channels last", functools.partial(run, cpu, function, laid, np.float32)
    yield from _windows_apart()
    fused = set()
    for (algorithm, module), (shape, geometry) in itertools.product(
        ALGORITHMS.items(), (GEOMETRIES | OWN | LARGER).items()
    ):
        if (short and shape not in SHORT) or not _serves(module, geometry):
            continue
        for function, (arguments, _) in geometry.calls().items():
            yield (
                f"{algorithm}, {function}, {shape}",
                functools.partial(run, module, function, arguments, np.float32),
            )
        if hasattr(module, "convolve") and not (short and algorithm in fused):
            fused.add(algorithm)
            for function in FUSED:
                yield (
                    f"{algorithm}, {function}, {shape}",
                    functools.partial(_fused, module, function, geometry),
                )
    for (size, numbers), turned in itertools.product(SIZES.items(), (False, True)):
        if not short or size in SHORT:
            yield (
                f"gemm, {size}, turned={turned}",
                functools.partial(_product, *numbers, turned, turned, turned, turned),
            )
    yield "peak", _fill_registers


FUSED = ("convolve", "input_gradient", "weight_gradient")


def _windows_apart():
    """Yield max pooling whose windows share no pixel, and leave some out."""
    x, dy = normal(6, 3, 5, 7, 9), normal(7, 3, 5, 3, 2)
    numbers = (2, 3, 2, 4, 0, 1, 1, 1)
    forward = (x, *numbers, Out(dy.shape), Out(dy.shape, np.int32))
    _, argmax = run(reference, "max_pool2d_forward", forward, np.float32)
    for function, given in (
        ("max_pool2d_forward", forward),
        ("max_pool2d_backward_input", (dy, argmax, *numbers, Out(x.shape))),
    ):
        call = functools.partial(run, cpu, function, given, np.float32)
        yield f"{function}, windows apart", call


def _serves(module, geometry):
    """Return whether a file computes a convolution itself, and doesn't hand it on."""
    _, weight, _, _ = geometry.arrays()
    steps = (*geometry.stride, *geometry.dilation, geometry.groups)
    return geometry.batch > 0 and (not hasattr(module, "serves") or module.serves(weight, *steps))


def _fused(module, function, geometry):
    """Run the loops of conv_relu2d, of whichever file `choose` would take."""
    x, weight, bias, dy = geometry.arrays()
    on = normal(5, *dy.shape)
    outputs = {"convolve": dy, "input_gradient": x, "weight_gradient": weight}
    given = {
        "convolve": (x, None, weight, bias, True),
        "input_gradient": (dy, on, weight),
        "weight_gradient": (dy, on, x),
    }
    output = np.full_like(outputs[function], np.nan)
    getattr(module, function)(*given[function], geometry.numbers, output)
    return [output]


def _product(*arguments):
    return [product(*arguments)[0]]


def _fill_registers():
    _peak.multiply_add(3)
    return []
