"""All pictures of a trained network: what ``numcnn pictures`` writes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import runs
from ..layers import Conv2d, Dropout, ReLU
from ..shapes import as_count
from .activation_maximization import activation_maximization, plot_maxima
from .dead_units import dead_units
from .deep_dream import deep_dream
from .drawing import new_figure
from .feature_maps import feature_maps
from .filter_banks import tuning_curves
from .filters import filters
from .gradient_flow import gradient_flow
from .inner import flat
from .receptive_field import STILL, plot_receptive_fields, receptive_field
from .saliency import saliency

__all__ = ["PAGES", "Page", "Subject", "draw_pages"]

BATCH = 256  # examples for what is measured over many
STRIPES = 4.0  # pixels from stripe to stripe for filters of 3 to 5 pixels
ENLARGED = 5  # a small picture is made so many times larger before the network dreams on it
DREAM = {"octaves": 4, "steps": 12}
UNITS = 10  # units whose best pictures are drawn


@dataclass(frozen=True)
class Subject:
    """A trained network, and examples to look at it with.

    Attributes
    ----------
    network : Sequential
    x : ndarray, shape (N, C, H, W)
        Normalised, as the network wants them.
    y : ndarray of int, shape (N,)
    example : int
        The one that is drawn where one is enough.
    """

    network: Any
    x: np.ndarray
    y: np.ndarray
    example: int

    @property
    def picture(self) -> np.ndarray:
        """The example, shape (C, H, W)."""
        return self.x[self.example]

    @property
    def convolutions(self) -> list[str]:
        """Names of the network's convolutions."""
        return [name for name, layer in flat(self.network) if isinstance(layer, Conv2d)]

    @property
    def maps(self) -> list[str]:
        """Names of the layers before anything that sees all; Dropout changes nothing here."""
        rows = flat(self.network)
        seen = itertools.takewhile(lambda row: row[1].window() is not None, rows)
        return [name for name, layer in seen if not isinstance(layer, Dropout)]


def _maxima(subject: Subject, path: Path) -> None:
    scores = subject.network.output_shape((1, *subject.picture.shape))[1]
    shape = subject.picture.shape
    units = range(min(UNITS, scores))
    found = [activation_maximization(subject.network, u, input_shape=shape) for u in units]
    plot_maxima(found, path)


def _dream(subject: Subject, path: Path) -> None:
    from scipy.ndimage import zoom

    low, high = float(subject.picture.min()), float(subject.picture.max())
    image = zoom(subject.picture, (1, ENLARGED, ENLARGED), order=1, mode="nearest")
    room = low + 0.15 * (high - low) + 0.5 * (image - low)  # black and white could only stay
    layer = subject.maps[-1]
    deep_dream(subject.network, room, layer, bounds=(low, high), **DREAM).plot(path)


def _fields(subject: Subject, path: Path) -> None:
    shape = subject.picture.shape
    windows = [n for n, layer in flat(subject.network) if layer.window() not in (STILL, None)]
    known = [name for name in windows if name in subject.maps]
    fields = [receptive_field(subject.network, name, shape) for name in known]
    plot_receptive_fields(fields, path, subject.picture)


def _filters(subject: Subject, path: Path) -> None:
    filters(subject.network, subject.convolutions[0]).plot(path)


def _tuning(subject: Subject, path: Path) -> None:
    tuning_curves(filters(subject.network, subject.convolutions[0]).weights, STRIPES).plot(path)


def _maps(subject: Subject, path: Path) -> None:
    feature_maps(subject.network, subject.picture).plot(path)


def _saliency(subject: Subject, path: Path) -> None:
    saliency(subject.network, subject.picture).plot(path)


def _dead(subject: Subject, path: Path) -> None:
    dead_units(subject.network, subject.x).plot(path)


def _flow(subject: Subject, path: Path) -> None:
    gradient_flow(subject.network, subject.x[:BATCH], subject.y[:BATCH]).plot(path)


@dataclass(frozen=True)
class Page:
    """One picture of the album.

    Attributes
    ----------
    draw : callable
        ``draw(subject, path)`` writes the file.
    see : str
        What it shows, in a line.
    needs : type or None
        A kind of layer without which there is nothing to draw.
    """

    draw: Callable[[Subject, Path], None]
    see: str
    needs: type | None = None


PAGES = {
    "filters": Page(_filters, "what each filter of the first convolution answers to", Conv2d),
    "tuning-curves": Page(_tuning, "which of them answer to stripes of one direction", Conv2d),
    "feature-maps": Page(_maps, "one picture on its way through all layers"),
    "saliency": Page(_saliency, "the pixels on which its score depends"),
    "receptive-field": Page(_fields, "how much of the picture one number of a layer sees", Conv2d),
    "activation-maximization": Page(_maxima, "what the network takes for the best of each class"),
    "deep-dream": Page(
        _dream, "a picture with more and more of what the last maps answer to", Conv2d
    ),
    "dead-units": Page(_dead, "ReLU units that are 0 whatever comes, and never learn", ReLU),
    "gradient-flow": Page(_flow, "how much of the gradient reaches each layer"),
}


def draw_pages(
    run: runs.Run, folder: Path, names: Iterable[str], example: int = 0
) -> Iterator[tuple[str, Path | None, str]]:
    """Write pictures of a trained network as PNG files.

    Parameters
    ----------
    run : Run
        As `numcnn.runs.restore` gives it.
    folder : Path
        Where; it is made if need be.
    names : iterable of str
        Names of `PAGES`.
    example : int
        Number of the test picture that is drawn.

    Yields
    ------
    (str, Path or None, str)
        Name, file and what to see; without a file, why there is nothing to draw.

    Raises
    ------
    ValueError
        If there is no such picture, or no such example.
    ImportError
        Without matplotlib.
    OSError
        If nothing can be written there.
    """
    chosen = [runs.choose("picture", name, PAGES) for name in names]
    new_figure(1, 1)  # without matplotlib this fails now, not after the work
    x, y = run.examples.load(split="test")
    count = max(BATCH, as_count(example, "example", 0) + 1)
    if example >= len(x):
        raise ValueError(f"there is no test picture {example}; they are 0 to {len(x) - 1}")
    subject = Subject(run.network, run.normalize(x[:count]), y[:count], example)
    runs.make_folder(folder)
    kinds = [layer for _, layer in flat(run.network)]
    for name in chosen:
        page = PAGES[name]
        if page.needs and not any(isinstance(layer, page.needs) for layer in kinds):
            yield name, None, f"{run.model} has no {page.needs.__name__}"
            continue
        path = folder / f"{name}.png"
        page.draw(subject, path)
        yield name, path, page.see
