"""What the normalisations show of themselves, and what they say of inputs that don't fit."""

import numpy as np
import pytest

from numcnn import (
    BatchNorm1d,
    BatchNorm2d,
    GroupNorm,
    LayerNorm,
    LocalResponseNorm,
    ShapeError,
)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (lambda: BatchNorm1d(5), "BatchNorm1d(5)"),
        (
            lambda: BatchNorm2d(5, 1e-3, None, False, False),
            "BatchNorm2d(5, eps=0.001, affine=False, momentum=None, track_running_stats=False)",
        ),
        (lambda: BatchNorm2d(5, bias=False), "BatchNorm2d(5, bias=False)"),
        (lambda: LayerNorm(4), "LayerNorm(4)"),
        (lambda: LayerNorm((3, 4), bias=False), "LayerNorm((3, 4), bias=False)"),
        (lambda: LayerNorm(4, elementwise_affine=False), "LayerNorm(4, elementwise_affine=False)"),
        (lambda: GroupNorm(2, 6, 0.1), "GroupNorm(2, 6, eps=0.1)"),
        (lambda: LocalResponseNorm(5), "LocalResponseNorm(5)"),
        (lambda: LocalResponseNorm(5, 0.1, k=2), "LocalResponseNorm(5, alpha=0.1, k=2)"),
    ],
)
def test_repr_shows_how_the_layer_was_made(layer, text):
    assert repr(layer()) == text


@pytest.mark.parametrize(
    ("layer", "shape", "words"),
    [
        (
            BatchNorm1d(3),
            (1, 3),
            ["more than 1 value per channel when training", "(1, 3)", "eval()"],
        ),
        (BatchNorm2d(3), (1, 3, 1, 1), ["more than 1 value per channel", "(1, 3, 1, 1)"]),
        (BatchNorm2d(3), (2, 4, 5, 6), ["BatchNorm2d(3)", "expects 3 channels (axis 1), got 4"]),
        (BatchNorm2d(3), (3, 5, 6), ["4 axes, got 3 axes", "x[None]"]),
        (BatchNorm2d(3), (2, 3, 0, 6), ["BatchNorm2d(3)", "0 pixels", "(2, 3, 0, 6)"]),
        (BatchNorm1d(3), (2, 3, 4, 5), ["2 or 3 axes, got 4 axes", "need BatchNorm2d"]),
        (BatchNorm1d(3), (3,), ["(N, C) or (N, C, L)", "got 1 axis: (3,)"]),
        (LayerNorm((3, 4)), (2, 4, 3), ["last 2 axes have size (3, 4), got (4, 3)", "(2, 4, 3)"]),
        (LayerNorm(4), (4, 3), ["last axis have size (4,), got (3,)"]),
        (GroupNorm(2, 4), (2, 6, 5), ["GroupNorm(2, 4)", "expects 4 channels (axis 1), got 6"]),
        (GroupNorm(2, 4), (4,), ["(N, C, ...)", "got 1 axis: (4,)"]),
        (GroupNorm(4, 4), (1, 4), ["more than 1 value in a group", "Use fewer groups"]),
        (LocalResponseNorm(3), (2, 5), ["3 axes or more, got 2 axes: (2, 5)"]),
    ],
    ids=str,
)
def test_inputs_that_dont_fit(layer, shape, words):
    with pytest.raises(ShapeError) as error:
        layer(np.zeros(shape))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: BatchNorm1d(0), ValueError, "num_features must be at least 1"),
        (lambda: BatchNorm1d(2.5), TypeError, "num_features must be a whole number"),
        (lambda: BatchNorm1d(3, eps=-1), ValueError, "eps must be 0 or more, got -1"),
        (lambda: BatchNorm2d(3, momentum=2), ValueError, "momentum must lie between 0 and 1"),
        (lambda: LayerNorm(()), ValueError, "normalized_shape must name at least one axis"),
        (lambda: LayerNorm((3, 0)), ValueError, "normalized_shape must be at least 1"),
        (lambda: GroupNorm(2, 3), ValueError, "num_channels=3 can't be cut into num_groups=2"),
        (lambda: GroupNorm(0, 3), ValueError, "num_groups must be at least 1"),
        (lambda: LocalResponseNorm(0), ValueError, "size must be at least 1"),
    ],
)
def test_arguments_that_make_no_layer(make, kind, words):
    with pytest.raises(kind, match=words):
        make()


def test_an_evaluated_layer_takes_a_single_value():
    assert BatchNorm1d(3).eval()(np.zeros((1, 3))).shape == (1, 3)
    assert BatchNorm1d(3)(np.zeros((1, 3, 2))).shape == (1, 3, 2)


def test_a_running_count_of_another_type_is_taken_and_of_another_shape_refused():
    layer = BatchNorm1d(2)
    state = layer.state_dict() | {"num_batches_tracked": np.array(7.0)}
    layer.load_state_dict(state)
    assert (layer.num_batches_tracked, layer.num_batches_tracked.dtype) == (7, np.int64)
    with pytest.raises(ValueError, match=r"running_mean has shape \(3,\), expected \(2,\)"):
        layer.load_state_dict(state | {"running_mean": np.zeros(3)})
