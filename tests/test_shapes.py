"""Sizes: how many places a window has, counted one by one, and what is said when it doesn't fit."""

import itertools

import numpy as np
import pytest

from numcnn import AvgPool2d, Conv2d, MaxPool2d, ShapeError, conv_output_size
from numcnn.shapes import as_count, as_pair, pool_output_size, span, unused_positions

GRID = list(itertools.product(range(1, 9), range(1, 5), range(1, 5), (0, 1, 3), (1, 2, 3)))


def places(size, kernel, stride, before, after, dilation):
    """Slide the window along the padded input; return the positions of its first tap."""
    last = size + before + after - (dilation * (kernel - 1) + 1)
    return [start for start in range(0, size + before + after, stride) if start <= last]


def test_conv_output_size_counts_the_places_of_the_window():
    fitting = 0
    for size, kernel, stride, pad, dilation in GRID:
        expected = len(places(size, kernel, stride, pad, pad, dilation))
        if expected:
            fitting += 1
            found = conv_output_size(size, kernel, stride, pad, dilation)
            assert found == expected, (size, kernel, stride, pad, dilation)
        else:
            with pytest.raises(ShapeError, match="larger than the input"):
                conv_output_size(size, kernel, stride, pad, dilation)
    assert 0 < fitting < len(GRID)


@pytest.mark.parametrize("pads", [(0, 1), (2, 0), (1, 3)], ids=str)
def test_conv_output_size_takes_a_padding_for_each_end(pads):
    for size, kernel, stride in itertools.product(range(3, 9), (1, 2, 3), (1, 2, 3)):
        expected = len(places(size, kernel, stride, *pads, 1))
        assert conv_output_size(size, kernel, stride, pads) == expected


def test_strict_refuses_exactly_what_leaves_a_rest():
    refused = 0
    for size, kernel, stride, pad, dilation in GRID:
        starts = places(size, kernel, stride, pad, pad, dilation)
        if not starts:
            continue
        if starts[-1] + span(kernel, dilation) == size + 2 * pad:
            found = conv_output_size(size, kernel, stride, pad, dilation, strict=True)
            assert found == len(starts)
        else:
            refused += 1
            with pytest.raises(ShapeError, match="doesn't fit"):
                conv_output_size(size, kernel, stride, pad, dilation, strict=True)
    assert refused > 50


@pytest.mark.parametrize(("stride", "expected"), [(1, 5), (2, 3), (3, 2)])
def test_seven_pixels_and_three_taps(stride, expected):
    assert conv_output_size(7, 3, stride) == expected


def test_strict_shows_the_arithmetic_and_names_repairs():
    with pytest.raises(ShapeError) as caught:
        conv_output_size(7, 3, 3, strict=True)
    assert "(7 - 3)/3 + 1 = 2.33" in str(caught.value)
    assert "padding=1 gives 3" in str(caught.value)
    assert "stride=1 gives 5" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "formula"),
    [
        pytest.param((8, 3, 2, 1), "(8 + 2*1 - 3)/2 + 1 = 4.50", id="padding"),
        pytest.param((8, 3, 2, (0, 1)), "(8 + 0 + 1 - 3)/2 + 1", id="two-paddings"),
        pytest.param((8, 3, 2, 0, 2), "(8 - 2*(3 - 1) - 1)/2 + 1 = 2.50", id="dilation"),
    ],
)
def test_the_formula_is_written_with_its_numbers(arguments, formula):
    if "=" in formula:
        with pytest.raises(ShapeError) as caught:
            conv_output_size(*arguments, strict=True)
        assert formula in str(caught.value)
    else:
        # 8 + 0 + 1 - 3 = 6 fits: nothing to refuse until a window no longer fits at all.
        assert conv_output_size(*arguments, strict=True) == 4
        with pytest.raises(ShapeError) as caught:
            conv_output_size(8, 30, 2, (0, 1))
        assert "(8 + 0 + 1 - 30)/2 + 1 is less than 1" in str(caught.value)


def test_every_repair_that_is_named_works():
    named = 0
    for size, kernel, stride, pad, dilation in GRID:
        try:
            conv_output_size(size, kernel, stride, pad, dilation, strict=True)
        except ShapeError as error:
            for words in str(error).partition("; ")[2].split(" or "):
                what, _, gives = words.partition(" gives ")
                name, _, value = what.partition("=")
                if name not in ("padding", "stride"):
                    continue
                changed = {"stride": stride, "padding": pad} | {name: int(value)}
                found = conv_output_size(size, kernel, dilation=dilation, strict=True, **changed)
                assert found == int(gives), (size, kernel, stride, pad, dilation, words)
                named += 1
    assert named > 100


def test_a_window_larger_than_its_input_is_explained():
    with pytest.raises(ShapeError) as caught:
        conv_output_size(4, 3, 1, 0, 3)
    text = str(caught.value)
    assert "a window of 7 pixels (3 taps, dilation 3) is larger than the input of 4" in text
    assert "smaller kernel" in text


def test_ceil_mode_adds_the_windows_that_start_inside():
    # A further window is added while the last one leaves pixels unseen, if it starts before the
    # end of the picture: what it sees is then not only padding.
    differs = 0
    for size, kernel, stride, pad, dilation in GRID:
        reach = span(kernel, dilation)
        if size + 2 * pad < reach or pad > kernel // 2:
            continue
        starts = [0]
        while starts[-1] + reach < size + 2 * pad and starts[-1] + stride < size + pad:
            starts.append(starts[-1] + stride)
        found = pool_output_size(size, kernel, stride, pad, dilation, ceil_mode=True)
        assert found == len(starts), (size, kernel, stride, pad, dilation)
        plain = pool_output_size(size, kernel, stride, pad, dilation)
        assert plain == conv_output_size(size, kernel, stride, pad, dilation)
        differs += found != plain
    assert differs > 50


def test_unused_positions_are_those_that_no_tap_reaches():
    some = 0
    for size, kernel, stride, pad, dilation in GRID:
        starts = places(size, kernel, stride, pad, pad, dilation)
        if not starts:
            continue
        touched = np.zeros(size, bool)
        for start, tap in itertools.product(starts, range(kernel)):
            at = start + tap * dilation - pad
            if 0 <= at < size:
                touched[at] = True
        found = unused_positions(size, kernel, stride, pad, dilation, len(starts))
        assert found == np.flatnonzero(~touched).tolist()
        some += bool(found)
    assert some > 50


@pytest.mark.parametrize("make", [Conv2d, AvgPool2d, MaxPool2d], ids=lambda m: m.__name__)
def test_layers_report_the_rows_and_columns_that_no_window_sees(make):
    layer = make(1, 1, 3, stride=3) if make is Conv2d else make(3)
    assert layer.output_shape((1, 1, 7, 8)) == (1, 1, 2, 2)
    assert layer.unused((1, 1, 7, 8)) == ([6], [6, 7])
    assert layer.unused((1, 1, 9, 6)) == ([], [])


def test_as_pair_takes_a_number_or_two():
    assert as_pair(3, "k") == (3, 3)
    assert as_pair((2, 5), "k") == (2, 5)
    assert as_pair([2, 5], "k") == (2, 5)
    assert as_pair(np.int64(4), "k") == (4, 4)
    assert as_pair(0, "padding", 0) == (0, 0)
    assert all(type(n) is int for n in as_pair((np.int32(2), np.uint8(3)), "k"))


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        pytest.param(True, TypeError, "kernel_size must be a whole number, got True", id="bool"),
        pytest.param(np.True_, TypeError, "whole number", id="numpy-bool"),
        pytest.param(3.0, TypeError, "whole number, got 3.0", id="float"),
        pytest.param("3", TypeError, "whole number, got '3'", id="text"),
        pytest.param(None, TypeError, "whole number, got None", id="none"),
        pytest.param(0, ValueError, "kernel_size must be at least 1, got 0", id="zero"),
        pytest.param(-2, ValueError, "at least 1, got -2", id="negative"),
        pytest.param((3, 0), ValueError, r"kernel_size\[1\] must be at least 1, got 0", id="pair"),
        pytest.param((3, 2.5), TypeError, r"kernel_size\[1\] must be a whole", id="float-in-pair"),
        pytest.param((1, 2, 3), ValueError, r"one number or a pair .*\(1, 2, 3\)", id="three"),
        pytest.param((), ValueError, "one number or a pair", id="empty"),
    ],
)
def test_as_pair_refuses(value, error, words):
    with pytest.raises(error, match=words):
        as_pair(value, "kernel_size")
    with pytest.raises(error):
        Conv2d(1, 1, value)
    with pytest.raises(error):
        MaxPool2d(value)


@pytest.mark.parametrize("value", [True, 2.0, "2", None])
def test_as_count_refuses_what_is_no_whole_number(value):
    with pytest.raises(TypeError, match="epochs must be a whole number"):
        as_count(value, "epochs")


@pytest.mark.parametrize("size", [np.int64(1), np.uint8(1)], ids=lambda n: type(n).__name__)
def test_numpy_integers_are_numbers_too(size):
    assert conv_output_size(np.int64(7), np.int64(3), np.int64(2), size) == 4
