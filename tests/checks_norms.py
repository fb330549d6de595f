"""How the compiled normalisations are compared: `numcnn.norm_bounds` says how near is near."""

import numpy as np
from checks_kernels import Out

from numcnn.norm_bounds import BATCH, DOUBLE, GROUPS, ROWS, Plan, bound, magnitudes, spread, terms

__all__ = [
    "BATCH",
    "DOUBLE",
    "GROUPS",
    "ROWS",
    "Double",
    "Plan",
    "bound",
    "call",
    "magnitudes",
    "spread",
    "terms",
]


class Double:
    """An input or output that is float64 in float32 calls too: mean and variance of a batch."""

    def __init__(self, values):
        self.values = values


def call(module, name, arguments, dtype):
    """Call a kernel with arrays of `dtype`, but those marked float64; return what it wrote."""
    given, outputs, inputs = [], [], []
    for argument in arguments:
        if isinstance(argument, Out):
            given.append(argument.fresh(dtype))
            outputs.append(given[-1])
        elif isinstance(argument, Double | np.ndarray):
            double = isinstance(argument, Double)
            given.append(argument.values.copy() if double else argument.astype(dtype))
            inputs.append((given[-1], given[-1].copy()))
        else:
            given.append(argument)
    with np.errstate(all="ignore"):
        assert getattr(module, name)(*given) is None
    for now, before in inputs:
        np.testing.assert_array_equal(now, before, f"{name} changed an input")
    return outputs
