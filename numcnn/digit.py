"""A picture on its way into a network: read from any file, fitted, shown as text.

A network for digits has seen them one way only: light ink on black, in a box of 20×20 pixels
whose centre of mass lies in the middle of 28×28. A scan or a photograph of a digit is brought
into that form before it is judged.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from rich.style import Style
from rich.table import Table
from rich.text import Text
from scipy import ndimage

__all__ = ["Picture", "as_text", "bars", "prepare", "sheet", "softmax"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # how bright red, green and blue look (BT.601)
BOX = 20  # pixels of a digit's longer side, as in MNIST
FULL_CONTRAST = 0.75  # a picture with less is stretched
LARGEST = 1000  # a picture whose longer side has twice as many pixels is reduced while reading
BLANK = 0.02  # a picture with less contrast shows nothing
LONGEST = 65_535  # pixels of a side, JPEG's own limit; Pillow keeps a note for every row
# What is read by this process alone. EPS and PDF would be handed to another program, Ghostscript.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICO", "JPEG", "JPEG2000", "MPO", "PCX", "PNG", "PPM"),
    *("QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM"),
)
SPECK = 0.05  # a spot with a smaller share of the largest stroke's area is dirt
INK_SHOWN = 0.4  # pixels above it are drawn where there are no colours


@dataclass(frozen=True)
class Picture:
    """A picture as a network takes it.

    Attributes
    ----------
    x : ndarray, shape (C, H, W)
        Float32 in [0, 1].
    notes : tuple of str
        What was done to it, in words.
    """

    x: np.ndarray
    notes: tuple[str, ...]


def prepare(
    path: str | os.PathLike,
    shape: tuple[int, int, int] = (1, 28, 28),
    invert: bool | None = None,
    digit: bool = True,
) -> Picture:
    """Read a picture and bring it into the form that a network was trained on.

    Parameters
    ----------
    path : path
        PNG, JPEG and what else `FORMATS` lists, in any mode.
    shape : (int, int, int)
        Channels (1 or 3), height and width that the network takes.
    invert : bool, optional
        Exchange light and dark. By default a grey picture is inverted if its border is light,
        since networks for MNIST and Fashion-MNIST know light things on black; a colour picture
        is not.
    digit : bool
        Fit as MNIST does (box of 20×20, centre of mass in the middle) rather than fill the
        frame.

    Returns
    -------
    Picture

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no picture, damaged, far too large or blank; the text names it.
    """
    pixels = _read(Path(path))
    channels, height, width = shape
    fits = pixels.shape[:2] == (height, width)
    if channels == 3:
        x = pixels if fits else _fill(pixels, height, width)
        x = (1 - x if invert else x).transpose(2, 0, 1)
        notes = ["inverted as asked"] * bool(invert)
        notes += [] if fits else [f"cut and scaled to {width}×{height}"]
        return Picture(np.ascontiguousarray(x, np.float32), tuple(notes))
    ink, notes = _ink(_grey(pixels), invert, Path(path))
    if not fits:
        ink = _fit(_even(ink, Path(path)), height, width, digit)
        notes.append(f"fitted into {width}×{height}" + " as MNIST's digits are" * digit)
    return Picture(np.ascontiguousarray(ink[None], np.float32), tuple(notes))


# ---- reading ------------------------------------------------------------------------------


class _RefusedError(Exception):
    """A picture's side is longer than `LONGEST`, or its kind isn't among `FORMATS`."""


def _read(path: Path) -> np.ndarray:
    """Return the file's pixels as float32 (H, W, 3) in [0, 1], upright and opaque."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a picture in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:  # reads no more than what kind it is, and its size
                kind, (width, height) = image.format, image.size
                if kind not in FORMATS or max(width, height) > LONGEST:
                    raise _RefusedError
                image.verify()  # a PNG's checksums, which reading alone ignores
            with Image.open(path) as image:
                return _levels(ImageOps.exif_transpose(image), kind)
    except PermissionError:
        raise ValueError(f"{path} can't be read: permission denied") from None
    except _RefusedError:
        if kind not in FORMATS:
            raise ValueError(f"{path} is a picture of kind {kind}; save it as PNG first") from None
        raise ValueError(
            f"{path} has {width:,}×{height:,} pixels, and a side of at most {LONGEST:,} is read; "
            f"make it smaller first"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller first"
        ) from None
    except Image.UnidentifiedImageError:
        what = "is empty" if path.stat().st_size == 0 else "is no picture, whatever its name says"
        raise ValueError(f"{path} {what}; PNG, JPEG and most other formats work") from None
    except MemoryError:
        raise ValueError(f"{path} is too large for this machine's memory") from None
    except Exception as error:  # Pillow's readers raise OSError, SyntaxError, struct.error, ...
        raise ValueError(f"{path} is damaged, or of a rare kind: {error}") from None


def _levels(image: Image.Image, kind: str | None) -> np.ndarray:
    """Return the pixels as float32 (H, W, 3) in [0, 1], whatever the mode."""
    shrink = max(1, max(image.size) // LARGEST)
    if image.mode[0] not in "IF":
        if image.mode.endswith(("A", "a")) or "transparency" in image.info:
            image = _opaque(image.convert("RGBA").reduce(shrink))
        else:
            image = image.convert("RGB").reduce(shrink)
        return np.asarray(image, np.float32) / 255
    values = np.asarray(image)[::shrink, ::shrink].astype(np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    if image.mode.startswith("I;16") or kind == "PNG":
        low, high = 0.0, 65535.0
    else:  # 32 bits, integer or float: no range is agreed upon
        low, high = min(0.0, float(values.min())), max(float(values.max()), 1.0)
    grey = ((values - low) / (high - low)).astype(np.float32)
    return np.repeat(grey[..., None], 3, axis=2)


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Return how bright each pixel looks; what is grey already stays as it is, to the last bit."""
    first = pixels[..., 0]
    return first if (pixels == first[..., None]).all() else pixels @ LUMA


def _opaque(image: Image.Image) -> Image.Image:
    """Lay a transparent picture on white paper, or on black if its ink is light."""
    layers = np.asarray(image, np.float32)
    alpha = layers[..., 3]
    ink = float((layers[..., :3] @ LUMA * alpha).sum() / max(float(alpha.sum()), 1.0))
    paper = 255 if ink < 128 else 0
    sheet = Image.new("RGBA", image.size, (paper, paper, paper, 255))
    return Image.alpha_composite(sheet, image).convert("RGB")


# ---- fitting ------------------------------------------------------------------------------


def _ink(grey: np.ndarray, invert: bool | None, path: Path) -> tuple[np.ndarray, list[str]]:
    """Return how much ink each pixel holds, 0 to 1, and notes on what was done."""
    border = grey[_border(grey.shape)]
    notes = []
    if invert is None:
        invert = float(border.mean()) > 0.5
        if invert:
            notes.append("inverted, since its border is light (--no-invert prevents it)")
    elif invert:
        notes.append("inverted as asked")
    if invert:
        grey, border = 1 - grey, 1 - border
    paper, peak = float(np.median(border)), float(grey.max())
    if float(grey.max() - grey.min()) < BLANK:
        raise ValueError(f"{path} is blank: all its pixels are alike")
    if BLANK < peak - paper < FULL_CONTRAST:
        grey = (grey - paper) / (peak - paper)
        notes.append("contrast stretched")
    return np.clip(grey, 0, 1), notes


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask of the outermost rows and columns."""
    mask = np.ones(shape, bool)
    mask[1:-1, 1:-1] = False
    return mask


def _even(ink: np.ndarray, path: Path) -> np.ndarray:
    """Subtract the paper's shade, a plane through the border's pixels; the darkest ink is 1."""
    y, x = (np.linspace(-1, 1, size, dtype=np.float32) for size in ink.shape)
    planes = np.stack(np.broadcast_arrays(np.float32(1), y[:, None], x), axis=2)
    border = _border(ink.shape)
    points, values = planes[border], ink[border]
    keep = np.ones(len(values), bool)
    for _ in range(4):  # ink that touches the border is left out, step by step
        slopes = np.linalg.lstsq(points[keep], values[keep], rcond=None)[0]
        above = values - points @ slopes
        keep = above <= BLANK + 3 * np.median(np.abs(above[keep]))
    ink = np.clip(ink - planes @ slopes, 0, 1)
    if float(ink.max()) < BLANK:
        raise ValueError(f"{path} is blank: nothing is drawn on it")
    return ink / ink.max()


def _threshold(ink: np.ndarray) -> float:
    """Return the level that divides paper from ink best (Otsu, 1979)."""
    counts, edges = np.histogram(ink, 64, (0, 1))
    levels = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    mass = np.cumsum(counts * levels)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = mass[:-1] / below - (mass[-1] - mass[:-1]) / above
    spread = np.nan_to_num(below * above * distance**2)
    best = np.flatnonzero(spread == spread.max())
    return float(edges[1 + best[len(best) // 2]])


def _drawn(dark: np.ndarray) -> np.ndarray:
    """Return the connected parts of a mask, without those that are specks beside the largest."""
    parts, _ = ndimage.label(dark, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return (sizes >= max(1, SPECK * sizes.max()))[parts]


def _fit(ink: np.ndarray, height: int, width: int, digit: bool) -> np.ndarray:
    """Cut out what is drawn, scale it, and put it into the middle of a black frame."""
    limit = _threshold(ink)
    if np.quantile(ink[_border(ink.shape)], 0.9) < limit / 2:  # unless the paper is as dark,
        limit /= 2  # the faint edge of a stroke belongs to it
    ink = np.where(_drawn(ink > limit), ink, 0)
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    room = (BOX, BOX) if digit else (height, width)
    scale = min(room[0] / cut.shape[0], room[1] / cut.shape[1])
    h, w = (max(1, round(side * scale)) for side in cut.shape)
    drawn = _resize(cut, h, w)
    drawn /= max(float(drawn.max()), BLANK)
    down, right = (height - h) / 2, (width - w) / 2
    if digit:  # MNIST's centre of mass lies at row 14, column 14, counted from 0
        mass = drawn / drawn.sum()
        down = height / 2 - float(mass.sum(axis=1) @ np.arange(h))
        right = width / 2 - float(mass.sum(axis=0) @ np.arange(w))
    top, left = int(np.clip(round(down), 0, height - h)), int(np.clip(round(right), 0, width - w))
    frame = np.zeros((height, width), np.float32)
    frame[top : top + h, left : left + w] = drawn
    return frame


def _fill(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale a colour picture until it covers the frame, and cut off what hangs over."""
    scale = max(height / pixels.shape[0], width / pixels.shape[1])
    h, w = max(height, round(pixels.shape[0] * scale)), max(width, round(pixels.shape[1] * scale))
    big = np.stack([_resize(pixels[..., c], h, w) for c in range(3)], axis=2)
    top, left = (h - height) // 2, (w - width) // 2
    return big[top : top + height, left : left + width]


def _resize(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    scaled = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(scaled, 0, 1)


# ---- showing ------------------------------------------------------------------------------


def as_text(x: np.ndarray, colours: bool = True, blocks: bool = True) -> Any:
    """Draw a picture with characters, two pixels in each.

    Parameters
    ----------
    x : ndarray, shape (C, H, W)
        Values in [0, 1].
    colours : bool
        Draw all shades; otherwise ink or none.
    blocks : bool
        Use half-block characters; otherwise ASCII alone.

    Returns
    -------
    rich.text.Text
        H/2 lines of W characters.
    """
    rgb = np.broadcast_to(x, (3, *x.shape[1:])).transpose(1, 2, 0)
    rgb = np.concatenate([rgb, np.zeros((x.shape[1] % 2, *rgb.shape[1:]), rgb.dtype)])
    levels = np.rint(np.clip(rgb, 0, 1) * 255).astype(int)
    inked = rgb @ LUMA > INK_SHOWN
    text = Text(no_wrap=True)
    for row in range(0, len(rgb), 2):
        for column in range(rgb.shape[1]):
            if colours and blocks:
                upper, lower = levels[row, column], levels[row + 1, column]
                style = "rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower)
                text.append("▀", Style.parse(style))
            else:
                which = 2 * int(inked[row, column]) + int(inked[row + 1, column])
                text.append((" ▄▀█" if blocks else " .':")[which])
        if row + 2 < len(rgb):
            text.append("\n")
    return text


def bars(classes: tuple[str, ...], shares: np.ndarray, blocks: bool = True) -> Any:
    """Return a table of the classes and their probabilities, each with a bar.

    Parameters
    ----------
    classes : tuple of str
    shares : ndarray, shape (classes,)
        Probabilities.
    blocks : bool
        Draw bars with block characters; otherwise ASCII alone.

    Returns
    -------
    rich.table.Table
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column(no_wrap=True)
    for number, (name, share) in enumerate(zip(classes, shares, strict=True)):
        eighths = round(float(share) * 20 * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        style = "bold green" if number == int(np.argmax(shares)) else None
        table.add_row(name, f"{share:.1%}", bar if blocks else "#" * (eighths // 8), style=style)
    return table


def sheet(console: Any, picture: Picture, classes: tuple[str, ...], shares: np.ndarray) -> Any:
    """Return a picture beside its probabilities, drawn with what a console can show.

    Parameters
    ----------
    console : rich.console.Console
    picture : Picture
    classes : tuple of str
    shares : ndarray, shape (classes,)

    Returns
    -------
    rich.table.Table
    """
    blocks = (console.encoding or "").lower().startswith("utf")
    both = Table.grid(padding=(0, 2))
    drawing = as_text(picture.x, console.color_system is not None, blocks)
    both.add_row(drawing, bars(classes, shares, blocks))
    return both


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities that rows of scores stand for."""
    scores = scores.astype(np.float64)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
