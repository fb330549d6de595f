"""How losses are compared with PyTorch's on the same numbers; bounds as in checks_oracle.py."""

import numpy as np
import pytest
from checks_oracle import torch

import numcnn

reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def near(got, want, terms, size):
    """Assert that each number differs from PyTorch's by (terms + 8) eps size at most."""
    got = np.asarray(got)
    assert got.shape == want.shape
    with np.errstate(invalid="ignore"):
        allowed = (terms + 8) * np.finfo(want.dtype).eps * size
        off = np.abs(got.astype(np.float64) - want)
    same = (off <= allowed) | (got == want) | (np.isnan(got) & np.isnan(want))
    assert np.all(same), (
        f"{np.count_nonzero(~same)} of {want.size} numbers are off, by {np.nanmax(off)}: "
        f"{got[~same][:5]}, but PyTorch has {want[~same][:5]}"
    )


def in_torch(options, dtype):
    """Return the options of a loss with arrays as tensors."""
    return {
        name: torch.from_numpy(np.array(value, dtype)) if isinstance(value, np.ndarray) else value
        for name, value in options.items()
    }


def run(name, options, pred, target, upstream, theirs=None):
    """Return (loss, gradient) of numcnn's loss and of PyTorch's, for the same upstream gradient.

    `theirs` stands in for a loss that PyTorch hasn't: an expression of tensors.
    """
    loss = getattr(numcnn, name)(**options)
    before = pred.copy(), target.copy()
    value = loss(pred, target)
    dpred = loss.backward(upstream)
    np.testing.assert_array_equal(pred, before[0])
    np.testing.assert_array_equal(target, before[1])
    assert dpred.dtype == pred.dtype
    if loss.reduction == "none":
        assert value.dtype == pred.dtype
    else:
        assert type(value) is float

    # PyTorch's own backward refuses some predictions in Fortran's order
    leaf = torch.from_numpy(np.ascontiguousarray(pred)).requires_grad_()
    theirs = theirs or getattr(torch.nn, name)(**in_torch(options, pred.dtype))
    result = theirs(leaf, torch.from_numpy(target))
    result.backward(torch.as_tensor(upstream, dtype=result.dtype))
    return (value, dpred), (result.detach().numpy(), leaf.grad.numpy())


def upstream_for(rng, reduction, losses):
    """Draw what follows the loss: a number, or one for each loss."""
    return rng.standard_normal(losses) if reduction == "none" else float(rng.standard_normal())


def spread_out(values, reduction, upstream, divisor=None):
    """Return the sizes of the reduced loss and of the gradient that reaches each loss.

    `divisor` is what the reduction divides by; by default "mean" by the number of losses.
    """
    if reduction == "none":
        return values, np.abs(upstream)
    if divisor is None:
        divisor = values.size if reduction == "mean" else 1
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.divide(1.0, divisor)
        return values.sum() * scale, np.full(values.shape, abs(upstream) * scale)
