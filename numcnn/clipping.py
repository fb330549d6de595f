"""Clipping of gradients: keep a step from being far larger than the others."""

from __future__ import annotations

import math
from collections.abc import Iterable

from .device import CudaDevice
from .layers.base import Layer, Parameter
from .regularization import power_sums

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value", "clip_grad_value_"]

Parameters = Parameter | Iterable[Parameter]


def clip_grad_norm(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Shrink all gradients by one factor, so that their norm is `max_norm` at most.

    The norm is that of all numbers in all gradients together, so the direction of the step stays
    (Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks",
    2013). To be called after ``backward`` and before the optimizer's ``step``; the function of
    ``torch.nn.utils`` with an underscore at its end is the same.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Those without a gradient are passed over.
    max_norm : float
        Above 0.
    norm_type : float
        p of the norm ``(Σ |g|**p)**(1/p)``, above 0; ``math.inf`` means the largest |g|.
    error_if_nonfinite : bool
        Raise where the norm is NaN or infinite. Else, as in PyTorch, NaN makes every gradient
        NaN, and infinity makes finite ones 0 and infinite ones NaN.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    RuntimeError
        If the norm isn't finite and `error_if_nonfinite` is True; no gradient has changed then.
    ValueError
        If `max_norm` or `norm_type` isn't above 0.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"norm_type must be above 0, got {norm_type}")
    held = _with_gradients(parameters)
    sums = power_sums([(p.device, p.grad) for p in held], float(norm_type))
    if any(map(math.isnan, sums)):
        norm = math.nan  # which max() might pass over
    elif norm_type == math.inf:
        norm = max(sums, default=0.0)
    else:
        norm = sum(sums) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"the norm of the gradients is {norm}: some are NaN or infinite, so they can't be "
            f"clipped; a smaller learning rate, or data without NaN and infinity, would help"
        )
    factor = max_norm / (norm + 1e-6)
    if factor >= 1:
        return norm
    for p in held:
        scaled = p.device.empty(p.shape, p.dtype)  # the user may hold the old one
        p.device.kernels.scale_forward(p.grad.reshape(-1), factor, scaled.reshape(-1))
        p.grad = scaled
    return norm


def clip_in_step(parameters: Parameters, max_norm: float) -> None:
    """Shrink all gradients as `clip_grad_norm` does, without telling the norm.

    On the GPU nothing is waited for, so that a step can be repeated there. Sum and root are rounded
    there, so the factor's last digit may be another one.
    """
    held = _with_gradients(parameters)
    devices = {p.device for p in held}
    device = devices.pop() if len(devices) == 1 else None
    if not isinstance(device, CudaDevice):
        clip_grad_norm(held, max_norm)
        return
    for p, scaled in zip(held, device.clipped([p.grad for p in held], max_norm), strict=True):
        p.grad = scaled


def clip_grad_value(parameters: Parameters, clip_value: float) -> None:
    """Move every number of every gradient that is beyond ±`clip_value` to that limit.

    Unlike `clip_grad_norm` this turns the direction of the step. A NaN stays NaN.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Those without a gradient are passed over.
    clip_value : float
        Above 0.

    Raises
    ------
    ValueError
        If `clip_value` isn't above 0.
    """
    if not clip_value > 0:
        raise ValueError(f"clip_value must be above 0, got {clip_value}")
    limit = float(clip_value)
    for p in _with_gradients(parameters):
        clipped = p.device.empty(p.shape, p.dtype)
        p.device.kernels.hardtanh_forward(p.grad.reshape(-1), -limit, limit, clipped.reshape(-1))
        p.grad = clipped


def _with_gradients(parameters: Parameters) -> list[Parameter]:
    if isinstance(parameters, Layer):
        raise TypeError("give the model's parameters, not the model: model.parameters()")
    held = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    for p in held:
        if not isinstance(p, Parameter):
            raise TypeError(f"gradients of Parameters can be clipped, got {type(p).__name__}")
    return [p for p in held if p.grad is not None]


clip_grad_norm_ = clip_grad_norm
clip_grad_value_ = clip_grad_value
