"""Whether products of float32 may be made by tensor cores.

Those round each factor to TF32, 10 of its 23 binary digits, and add up in float32, with errors near
1e-3 instead of 1e-7. Off unless asked for (``get_device("cuda").allow_tf32 = True``), as for
matrices in PyTorch.
"""

from . import _cuda

_allowed = False


def allow_tf32(allowed):
    """Switch tensor cores on or off for the convolutions and matrix products that follow."""
    global _allowed  # noqa: PLW0603
    _allowed = bool(allowed)


def tf32_allowed():
    """Return whether tensor cores were switched on."""
    return _allowed


def tensor_cores():
    """Return whether the next product takes tensor cores: allowed, and compute capability 8.0."""
    return _allowed and _cuda.capability() >= (8, 0)


def copies_run_ahead():
    """Return whether this GPU copies to shared memory while its threads go on."""
    return _cuda.capability() >= (8, 0)
