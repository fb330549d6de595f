"""Beginning and end of every picture that is drawn with matplotlib, which is imported here."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["finish", "new_figure"]

DPI = 130


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib Figure of so many inches, or say what to install."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install numcnn[plot]") from None
    return Figure(figsize=(width, height), layout="constrained")


def finish(figure: Any, path: str | os.PathLike | None) -> Any:
    """Save a figure if a path is given (PNG, PDF or SVG, by the ending), and return it."""
    if path is not None:
        figure.savefig(path, dpi=DPI)
    return figure
