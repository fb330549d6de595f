"""Batch normalisation, the loops of ``reference/batch_norm.py``.

The statistics come first, a block of threads for each channel c; so do the two sums of the
backward pass. Thread t of T adds up the numbers t, t + T, t + 2 T ... of the channel, counted
through all pictures, so that neighbouring threads read neighbouring numbers; ``block_sum`` of
``_intrinsics.py`` adds up the threads. Then a thread owns one y[n, c, s] or dx[n, c, s].
Differences from the mean are taken in float64, as in the reference.

Shapes and letters as in ``reference/batch_norm.py``; every output array is overwritten.
"""

import math

import numpy as np

from ._channels import channel_sums, first_of, next_of
from ._cuda import WHOLE_BLOCK, cuda, device, kernel, launch, launch_blocks
from ._index import unravel3
from ._intrinsics import block_sum


def batch_norm_forward(x, weight, bias, eps, mean, var, y):
    """Write mean and var, a block for each channel; then y, a thread for each y[n, c, s]."""
    normalise(x, weight, bias, eps, False, mean, var, y)


def normalise(x, weight, bias, eps, relu, mean, var, y):
    """Do what `batch_norm_forward` does; with `relu`, write max(y, 0)."""
    launch_blocks(_statistics, mean.size, WHOLE_BLOCK, x, mean, var)
    launch(_normalise, y.size, x, weight, bias, eps, relu, mean, var, y)


def batch_norm_update(mean, var, count, momentum, running_mean, running_var):
    """Move the running statistics; a thread owns one channel c."""
    launch(_update, mean.size, mean, var, count, momentum, running_mean, running_var)


def batch_norm_backward_input(dy, x, weight, mean, var, eps, dweight, dbias, dx):
    """Write dweight and dbias, a block for each channel; then dx, a thread for each x."""
    gradients(dy, dy[:0], x, weight, mean, var, eps, dweight, dbias, dx)


def gradients(dy, y, x, weight, mean, var, eps, dweight, dbias, dx):
    """Do what `batch_norm_backward_input` does; dy counts where y > 0, or all of it if y is empty.

    One walk through a channel serves both of its sums.
    """
    of_batch = (mean, var, eps, dweight, dbias)
    launch_blocks(_backward_sums, dweight.size, WHOLE_BLOCK, dy, y, x, *of_batch)
    launch(_backward_input, dx.size, dy, y, x, weight, *of_batch, dx)


def batch_norm_backward_weight(dy, x, mean, var, eps, dweight):
    """Write dweight; a block owns one dweight[c]."""
    launch_blocks(_backward_weight, dweight.size, WHOLE_BLOCK, dy, x, mean, var, eps, dweight)


def batch_norm_backward_bias(dy, dbias):
    """Write dbias; a block owns one dbias[c]."""
    channel_sums(dy, dbias)


@kernel(double=True)
def _statistics(x, mean, var):
    c, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    count = x.shape[0] * x.shape[2]
    own = np.float64(0)
    n, s = first_of(thread, x.shape[2])
    while n < x.shape[0]:
        own += x[n, c, s]
        n, s = next_of(n, s, threads, x.shape[2])
    centre = block_sum(own) / count
    own = np.float64(0)
    n, s = first_of(thread, x.shape[2])
    while n < x.shape[0]:
        own += (x[n, c, s] - centre) * (x[n, c, s] - centre)
        n, s = next_of(n, s, threads, x.shape[2])
    total = block_sum(own)
    if thread == 0:
        mean[c] = centre
        var[c] = total / count


@kernel(double=True)
def _normalise(x, weight, bias, eps, relu, mean, var, y):
    i = cuda.grid(1)
    if i < y.size:
        n, c, s = unravel3(i, y.shape)
        xhat = (x[n, c, s] - mean[c]) / math.sqrt(var[c] + eps)
        value = weight[c] * xhat + bias[c]
        zero = np.float64(0)
        y[n, c, s] = zero if relu and value <= zero else value


@kernel(double=True)
def _update(mean, var, count, momentum, running_mean, running_var):
    c = cuda.grid(1)
    if c < mean.size:
        unbiased = var[c] * count / (count - 1)
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
        running_var[c] = (1 - momentum) * running_var[c] + momentum * unbiased


@device
def _passed(dy, y, n, c, s):
    """Return dy[n, c, s], or 0 where the unit behind was off; without a unit y is empty."""
    zero = dy.dtype.type(0)
    return zero if y.size > 0 and y[n, c, s] <= zero else dy[n, c, s]


@kernel(double=True)
def _backward_sums(dy, y, x, mean, var, eps, dweight, dbias):
    c, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    inverse = 1 / math.sqrt(var[c] + eps)
    own_weight, own_bias = np.float64(0), np.float64(0)
    n, s = first_of(thread, x.shape[2])
    while n < x.shape[0]:
        given = _passed(dy, y, n, c, s)
        own_weight += given * ((x[n, c, s] - mean[c]) * inverse)
        own_bias += given
        n, s = next_of(n, s, threads, x.shape[2])
    of_weight, of_bias = block_sum(own_weight), block_sum(own_bias)
    if thread == 0:
        dweight[c] = of_weight
        dbias[c] = of_bias


@kernel(double=True)
def _backward_input(dy, y, x, weight, mean, var, eps, dweight, dbias, dx):
    i = cuda.grid(1)
    if i < dx.size:
        n, c, s = unravel3(i, dx.shape)
        count = dx.shape[0] * dx.shape[2]
        inverse = 1 / math.sqrt(var[c] + eps)
        xhat = (x[n, c, s] - mean[c]) * inverse
        inner = _passed(dy, y, n, c, s) - dbias[c] / count - xhat * dweight[c] / count
        dx[n, c, s] = weight[c] * inverse * inner


@kernel(double=True)
def _backward_weight(dy, x, mean, var, eps, dweight):
    c, thread, threads = cuda.blockIdx.x, cuda.threadIdx.x, cuda.blockDim.x
    inverse = 1 / math.sqrt(var[c] + eps)
    own = np.float64(0)
    n, s = first_of(thread, x.shape[2])
    while n < x.shape[0]:
        own += dy[n, c, s] * ((x[n, c, s] - mean[c]) * inverse)
        n, s = next_of(n, s, threads, x.shape[2])
    total = block_sum(own)
    if thread == 0:
        dweight[c] = total
