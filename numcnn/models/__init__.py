"""The zoo: networks of the literature and of the course, ready to train."""

from __future__ import annotations

from collections.abc import Callable

from ..model import Sequential
from .cifar_demo import cifar_demo
from .lenet import lenet
from .mlp import mlp

__all__ = ["ZOO", "cifar_demo", "lenet", "mlp"]

ZOO: dict[str, Callable[..., Sequential]] = {
    "lenet": lenet,
    "mlp": mlp,
    "cifar-demo": cifar_demo,
}
