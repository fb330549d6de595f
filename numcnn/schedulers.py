"""Learning rates that change as training goes on, named as in ``torch.optim.lr_scheduler``."""

from __future__ import annotations

import math

from .optim import Optimizer
from .shapes import as_count

__all__ = ["OneCycleLR"]


class OneCycleLR:
    """Raise the learning rate to a peak, then let it fall to almost nothing.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2019. The large rates in the middle cover ground; the small ones at the end
    settle. The momentum stays as it is (PyTorch's ``cycle_momentum=False``).

    Parameters
    ----------
    optimizer : Optimizer
        Its ``lr`` is set at once, and by each `step`.
    max_lr : float
        The peak.
    total_steps : int
        Optimizer steps of the whole training.
    pct_start : float
        Share of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}
        Form of rise and fall.
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
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        self.optimizer = optimizer
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
        self.steps = 0
        optimizer.lr = self.rate(0)

    def rate(self, step: int) -> float:
        """Return the learning rate of the optimizer step number `step`, counted from 0."""
        if step == self.peak:
            return self.max_lr
        if step < self.peak:
            begin, end, done = self.first_lr, self.max_lr, step / self.peak
        else:
            length = self.total_steps - 1 - self.peak
            begin, end, done = self.max_lr, self.last_lr, (step - self.peak) / length
        if self.anneal_strategy == "linear":
            return begin + (end - begin) * done
        return end + (begin - end) / 2 * (1 + math.cos(math.pi * done))

    def step(self) -> None:
        """Set the rate of the next optimizer step; call it after each ``optimizer.step()``."""
        if self.steps >= self.total_steps:
            raise ValueError(
                f"the cycle was planned for {self.total_steps} steps, and they are over"
            )
        self.steps += 1
        self.optimizer.lr = self.rate(min(self.steps, self.total_steps - 1))
