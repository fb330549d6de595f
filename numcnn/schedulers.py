"""Learning rates that change as training goes on, named as in ``torch.optim.lr_scheduler``.

Each sets the optimizer's ``lr``; what a call of ``step()`` stands for, a batch or an epoch, is for
the caller to decide. ``Sequential.fit(scheduler=...)`` calls it after each batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .optim import Adam, AdamW, Optimizer
from .shapes import as_count

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class _Moving:
    """Something with a few numbers that move as the training goes on; all others are settings."""

    moving: tuple[str, ...]

    def state_dict(self) -> dict[str, float]:
        """Return the numbers that move, by name."""
        return {name: getattr(self, name) for name in self.moving}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on where `state_dict` was asked for; the optimizer's numbers are its own.

        Raises
        ------
        ValueError
            If a number is missing or unexpected; then nothing changes.
        """
        if set(state) != set(self.moving):
            raise ValueError(
                f"the state of a {type(self).__name__} is {', '.join(self.moving)}; got "
                f"{', '.join(state) or 'nothing'}"
            )
        for name in self.moving:
            setattr(self, name, state[name])


class _Schedule(_Moving):
    """A learning rate that is a function of the number of steps: `rate` gives it."""

    moving = ("steps",)

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.steps = 0
        optimizer.lr = self.rate(0)

    def rate(self, step: int) -> float:
        """Return the learning rate after `step` calls of `step()`."""
        raise TypeError(f"{type(self).__name__} must define rate")

    def step(self) -> None:
        """Set the next learning rate."""
        self.steps += 1
        self.optimizer.lr = self.rate(self.steps)

    def get_last_lr(self) -> list[float]:
        """Return the present learning rate, in a list as PyTorch has it."""
        return [self.optimizer.lr]


class StepLR(_Schedule):
    """Multiply the learning rate by `gamma` after every `step_size` steps.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
    gamma : float
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = as_count(step_size, "step_size")
        self.gamma = float(gamma)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return ``base_lr * gamma ** (step // step_size)``."""
        return self.base_lr * self.gamma ** (step // self.step_size)


class MultiStepLR(_Schedule):
    """Multiply the learning rate by `gamma` at each of the `milestones`.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of int
        Numbers of steps; one that stands there twice counts twice.
    gamma : float
    """

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(as_count(milestone, "milestones", 0) for milestone in milestones)
        self.gamma = float(gamma)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return ``base_lr * gamma ** (number of milestones reached)``."""
        reached = sum(0 < milestone <= step for milestone in self.milestones)
        return self.base_lr * self.gamma**reached


class ExponentialLR(_Schedule):
    """Multiply the learning rate by `gamma` at every step.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = float(gamma)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return ``base_lr * gamma ** step``."""
        return self.base_lr * self.gamma**step


class CosineAnnealingLR(_Schedule):
    """Let the learning rate fall along half a cosine, and rise again if steps go on.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Steps until the lowest rate.
    eta_min : float
        The lowest rate.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = as_count(T_max, "T_max")
        self.eta_min = float(eta_min)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return ``eta_min + (base_lr - eta_min) * (1 + cos(pi * step / T_max)) / 2``."""
        share = (1 + math.cos(math.pi * step / self.T_max)) / 2
        return self.eta_min + (self.base_lr - self.eta_min) * share


class ReduceLROnPlateau(_Moving):
    """Multiply the learning rate by `factor` when a figure has stopped getting better.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Which is better: less, as of a loss, or more, as of an accuracy.
    factor : float
        Below 1.
    patience : int
        Steps without an improvement that are borne.
    threshold : float
        What counts as one: with ``threshold_mode="rel"`` that share of the best figure, with
        "abs" that much.
    threshold_mode : {"rel", "abs"}
    cooldown : int
        Steps after a reduction during which nothing is counted.
    min_lr : float
        The lowest rate.
    eps : float
        A change smaller than this isn't made.

    Raises
    ------
    ValueError
        For arguments that make no schedule.
    """

    moving = ("best", "bad_steps", "resting")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', got {threshold_mode!r}")
        if not factor < 1:
            raise ValueError(f"factor must be below 1, got {factor}")
        self.optimizer = optimizer
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor, self.threshold = float(factor), float(threshold)
        self.patience = as_count(patience, "patience", 0)
        self.cooldown = as_count(cooldown, "cooldown", 0)
        self.min_lr, self.eps = float(min_lr), float(eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = 0
        self.resting = 0

    def step(self, metrics: float) -> None:
        """Take note of the latest figure, and reduce the rate if it is time."""
        if self._better(float(metrics)):
            self.best = float(metrics)
            self.bad_steps = 0
        else:
            self.bad_steps += 1
        if self.resting > 0:
            self.resting -= 1
            self.bad_steps = 0
        if self.bad_steps > self.patience:
            lower = max(self.optimizer.lr * self.factor, self.min_lr)
            if self.optimizer.lr - lower > self.eps:
                self.optimizer.lr = lower
            self.resting = self.cooldown
            self.bad_steps = 0

    def _better(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "abs":
            return sign * value < sign * self.best - self.threshold
        return sign * value < sign * self.best * (1 - sign * self.threshold)


class OneCycleLR(_Schedule):
    """Raise the learning rate to a peak, then let it fall to almost nothing.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2019. The large rates in the middle cover ground; the small ones at the end
    settle. The momentum goes the other way, low in the middle.

    Parameters
    ----------
    optimizer : Optimizer
        Its ``lr`` is set at once, and by each `step`.
    max_lr : float
        The peak.
    total_steps : int, optional
        Optimizer steps of the whole training.
    epochs, steps_per_epoch : int, optional
        Their product, instead of `total_steps`.
    pct_start : float
        Share of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}
        Form of rise and fall.
    cycle_momentum : bool
        Whether to move the momentum of SGD and RMSprop, or the first beta of Adam, as well.
    base_momentum, max_momentum : float
        Momentum at the peak, and at both ends.
    div_factor, final_div_factor : float
        The first rate is ``max_lr / div_factor``, the last the first over `final_div_factor`.

    Raises
    ------
    ValueError
        For arguments that make no cycle; from `step`, after the last step.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR needs total_steps, or both epochs and steps_per_epoch")
            total_steps = as_count(epochs, "epochs") * as_count(steps_per_epoch, "steps_per_epoch")
        self.total_steps = as_count(total_steps, "total_steps")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"pct_start is a share, between 0 and 1; got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not (max_lr > 0 and div_factor > 0 and final_div_factor > 0):
            raise ValueError("max_lr, div_factor and final_div_factor must be above 0")
        self.max_lr = float(max_lr)
        self.first_lr = self.max_lr / div_factor
        self.last_lr = self.first_lr / final_div_factor
        self.peak = pct_start * self.total_steps - 1
        self.anneal_strategy = anneal_strategy
        self.momenta = (max_momentum, base_momentum, max_momentum) if cycle_momentum else None
        if cycle_momentum and not (hasattr(optimizer, "momentum") or hasattr(optimizer, "betas")):
            raise ValueError(
                f"{type(optimizer).__name__} has neither momentum nor betas to be cycled: "
                f"use cycle_momentum=False"
            )
        super().__init__(optimizer)
        self._move_momentum()

    def _between(self, first: float, top: float, last: float, step: int) -> float:
        """Return where the way from `first` over `top` to `last` is at `step`."""
        step = min(step, self.total_steps - 1)
        if step == self.peak:
            return top
        if step < self.peak:
            begin, end, done = first, top, step / self.peak
        else:
            length = self.total_steps - 1 - self.peak
            begin, end, done = top, last, (step - self.peak) / length
        if self.anneal_strategy == "linear":
            return begin + (end - begin) * done
        return end + (begin - end) / 2 * (1 + math.cos(math.pi * done))

    def rate(self, step: int) -> float:
        """Return the learning rate of optimizer step number `step` from 0 on, then the last."""
        return self._between(self.first_lr, self.max_lr, self.last_lr, step)

    def _move_momentum(self) -> None:
        if self.momenta is None:
            return
        value = self._between(*self.momenta, self.steps)
        if isinstance(self.optimizer, (Adam, AdamW)):
            self.optimizer.betas = (value, self.optimizer.betas[1])
        else:
            self.optimizer.momentum = value  # type: ignore[attr-defined]

    def step(self) -> None:
        """Set the rate of the next optimizer step; call it after each ``optimizer.step()``."""
        if self.steps >= self.total_steps:
            raise ValueError(
                f"the cycle was planned for {self.total_steps} steps, and they are over"
            )
        super().step()
        self._move_momentum()
