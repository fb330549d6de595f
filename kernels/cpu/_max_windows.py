"""The largest number of each window, for every kind of window (``_windows.py``).

Pictures lie channels last (``../order.py``), so that one comparison serves a vector of channels
(``_lanes.py``), whatever the windows do; others are turned before and after.

- forward: a thread owns rows of outputs.
- backward_input: a thread owns rows of dx. Each pixel gathers from the windows that see it, those
  of which it is the winner, in the order in which the reference scatters. Where windows don't
  overlap nothing is added up: a thread owns rows of windows and writes every pixel of their cells.

Each number is written once, so it doesn't matter how many threads there are.
"""

import numpy as np

from ._jit import kernel, prange
from ._lanes import WIDTH, beats, choose, equal, every, load, plus, store
from ._order import as_last, put_last, room_last
from ._windows import sizes_of


@kernel
def _forward(x, sizes, rows, step_h, columns, step_w, y, argmax):
    """Write y and argmax; a thread owns rows of outputs."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * out_h):
        n = task // out_h
        top, taps_h = rows[task % out_h, 0], rows[task % out_h, 1]
        for ow in range(out_w):
            left, taps_w = columns[ow, 0], columns[ow, 1]
            corner = top * width + left
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                line = (n * height * width + corner) * channels + c
                best = every(y, -np.inf, lanes)
                winner = every(argmax, -1, lanes)
                if taps_h * taps_w > 0:  # else the window lies in the padding alone
                    best = load(x, line, lanes)
                    winner = every(argmax, corner, lanes)
                for kh in range(taps_h):
                    pixel = corner + kh * step_h * width
                    at = line + kh * step_h * width * channels
                    for _ in range(taps_w):
                        values = load(x, at, lanes)
                        wins = beats(values, best)
                        best = choose(wins, values, best)
                        winner = choose(wins, every(argmax, pixel, lanes), winner)
                        pixel += step_w
                        at += step_w * channels
                to = (task * out_w + ow) * channels + c
                store(best, y, to, lanes)
                store(winner, argmax, to, lanes)


@kernel
def _backward_input(dy, argmax, sizes, rows, columns, dx):
    """Write dx; a thread owns rows of it."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * height):
        n = task // height
        first_h, end_h = rows[task % height, 0], rows[task % height, 1]
        for iw in range(width):
            pixel = task % height * width + iw
            first_w, end_w = columns[iw, 0], columns[iw, 1]
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                nothing = every(dx, 0, lanes)
                total = nothing
                for oh in range(first_h, end_h):
                    at = ((n * out_h + oh) * out_w + first_w) * channels + c
                    for _ in range(first_w, end_w):
                        won = equal(load(argmax, at, lanes), pixel)
                        total = plus(total, choose(won, load(dy, at, lanes), nothing))
                        at += channels
                store(total, dx, (task * width + iw) * channels + c, lanes)


@kernel
def _backward_input_apart(dy, argmax, sizes, rows, columns, dx):
    """As `_backward_input`, where windows don't overlap; a thread owns rows of windows."""
    pictures, height, width, out_h, out_w, channels = sizes
    for task in prange(pictures * out_h):
        n = task // out_h
        oh = task % out_h
        for ow in range(out_w):
            for c in range(0, channels, WIDTH):
                lanes = min(WIDTH, channels - c)
                at = (task * out_w + ow) * channels + c
                grad = load(dy, at, lanes)
                winner = load(argmax, at, lanes)
                nothing = every(dx, 0, lanes)
                for ih in range(rows[oh], rows[oh + 1]):
                    to = ((n * height + ih) * width + columns[ow]) * channels + c
                    for iw in range(columns[ow], columns[ow + 1]):
                        here = equal(winner, ih * width + iw)
                        store(choose(here, grad, nothing), dx, to, lanes)
                        to += channels


def max_forward(x, rows, columns, y, argmax):
    """Write y and argmax for the windows of the tables."""
    best, winner = room_last(y), room_last(argmax)
    tables = rows.pixels, rows.step, columns.pixels, columns.step
    _forward(as_last(x).reshape(-1), sizes_of(x, y), *tables, best.reshape(-1), winner.reshape(-1))
    put_last(best, y)
    put_last(winner, argmax)


def max_backward_input(dy, argmax, rows, columns, dx):
    """Write dx for the windows of the tables."""
    room = room_last(dx)
    given = as_last(dy).reshape(-1), as_last(argmax).reshape(-1), sizes_of(dx, dy)
    if rows.cells is None or columns.cells is None:
        _backward_input(*given, rows.windows, columns.windows, room.reshape(-1))
    else:
        _backward_input_apart(*given, rows.cells, columns.cells, room.reshape(-1))
    put_last(room, dx)
