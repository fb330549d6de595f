"""The table that says what a network is made of, layer by layer."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from .layers.base import Layer, Shape, Window
from .layers.branches import Branches
from .layers.chain import Chain

__all__ = ["Row", "Summary", "summarize"]


@dataclass(frozen=True)
class Row:
    """One layer of a summary.

    Attributes
    ----------
    name, layer : str
        Place, as in the state dict's keys, and the layer's repr. What lies inside a `Residual` or
        `Concat` has rows of its own, followed by one for what joins the branches.
    output_shape : tuple of int
        For one picture (batch of 1).
    parameters, macs, activation_bytes : int
        Learnable numbers; multiplications with a weight; bytes of the output.
    receptive_field : (int, int) or None
        Input pixels that one output sees; None where it sees all.
    note : str
        Rows and columns of the input that no window sees, if any.
    """

    name: str
    layer: str
    output_shape: Shape
    parameters: int
    macs: int
    receptive_field: tuple[int, int] | None
    activation_bytes: int
    note: str


@dataclass(frozen=True)
class Summary:
    """What `Sequential.summary` returns; print it, or read its numbers."""

    input_shape: Shape
    rows: tuple[Row, ...]

    @property
    def parameters(self) -> int:
        """Learnable numbers of the network."""
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiplications with a weight for one picture."""
        return sum(row.macs for row in self.rows)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all outputs for one picture."""
        return sum(row.activation_bytes for row in self.rows)

    def __rich__(self) -> Table:
        """Return the table that rich prints."""
        picture = "×".join(map(str, self.input_shape[1:]))
        table = Table(title=f"Input {picture}; figures for one example", title_justify="left")
        table.add_column("layer", overflow="fold")
        for column in ("output", "parameters", "MACs", "sees", "bytes"):
            table.add_column(column, justify="right")
        for row in self.rows:
            sees = "all" if row.receptive_field is None else "×".join(map(str, row.receptive_field))
            table.add_row(
                f"{row.name} {row.layer}" + (f"\n  {row.note}" if row.note else ""),
                "×".join(map(str, row.output_shape[1:])) or "1",
                f"{row.parameters:,}",
                f"{row.macs:,}",
                sees,
                f"{row.activation_bytes:,}",
            )
        table.add_section()
        total = (self.parameters, self.macs, self.activation_bytes)
        table.add_row("total", "", f"{total[0]:,}", f"{total[1]:,}", "", f"{total[2]:,}")
        return table

    def __str__(self) -> str:
        buffer = io.StringIO()
        Console(file=buffer, width=100).print(self)
        return buffer.getvalue()

    __repr__ = __str__


def _note(layer: Layer, shape: Shape) -> str:
    rows, columns = layer.unused(shape)

    def name(what: str, places: list[int]) -> str:
        many = "s" if len(places) > 1 else ""
        return f"{what}{many} {', '.join(map(str, places))}" if places else ""

    parts = [part for part in (name("row", rows), name("column", columns)) if part]
    return f"unused input: {', '.join(parts)}" if parts else ""


@dataclass
class _View:
    """What a layer gets on the way through the network, and the windows that lie before it."""

    shape: Shape
    windows: tuple[Window, ...] | None = ()  # None: some layer sees everything

    def through(self, layer: Layer) -> _View:
        """Return the view behind a layer."""
        window = layer.window()
        seen = None if window is None or self.windows is None else (*self.windows, window)
        return _View(layer.output_shape(self.shape), seen)

    def reach(self) -> tuple[int, int] | None:
        """Return how many pixels of the input, down and across, one number here sees."""
        if self.windows is None:
            return None
        down = across = 1
        for reach, stride in reversed(self.windows):
            down = math.floor(reach[0] + (down - 1) * stride[0])
            across = math.floor(reach[1] + (across - 1) * stride[1])
        return down, across


def _rows(layer: Layer, name: str, view: _View, itemsize: int) -> Iterator[Row]:
    """Give the rows of a layer: its own, or those of the layers inside it."""
    inside = f"{name}." if name else ""
    if isinstance(layer, Chain):
        for key, inner in layer.children():
            yield from _rows(inner, inside + key if key else name, view, itemsize)
            view = view.through(inner)
        return
    own, what = list(layer.parameters()), repr(layer)
    macs, behind = layer.macs(view.shape), view.through(layer)
    if isinstance(layer, Branches):
        for key, branch in layer.children():
            yield from _rows(branch, inside + key if key else name, view, itemsize)
        own, macs, what = [], 0, f"{type(layer).__name__}: {layer.joint}"
    yield Row(
        name,
        what,
        behind.shape,
        sum(p.size for p in own),
        macs,
        behind.reach(),
        int(np.prod(behind.shape, dtype=np.int64)) * itemsize,
        _note(layer, view.shape),
    )


def summarize(chain: Chain, input_shape: Shape) -> Summary:
    """Return the summary of a network for inputs of `input_shape` (batch axis included)."""
    shape: Shape = (1, *input_shape[1:])
    chain.output_shape(shape)  # a shape that doesn't fit is reported with its position
    itemsize = np.dtype(chain.dtype or np.float32).itemsize
    return Summary(shape, tuple(_rows(chain, "", _View(shape), itemsize)))
