"""The acceptance facts: worked numbers of the course material, on both host devices.

The numbers are those of the project's list of facts (shared/FACTS.md), recomputed there with an
independent program. What is not in the list is computed here from a formula, never typed in.
"""

import numpy as np
import pytest

from numcnn import (
    SGD,
    Adam,
    AvgPool2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Dropout2d,
    Flatten,
    Linear,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    ShapeError,
    Sigmoid,
    Softmax,
    Tanh,
    conv_output_size,
    gradcheck,
    init,
)
from numcnn.models import cifar_demo, lenet

both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])
EPS = np.finfo(np.float64).eps


def parameters(*layers):
    return sum(p.size for layer in layers for p in layer.parameters())


# ---- convolution arithmetic -------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "expected"), [(1, 5), (2, 3), (3, 2)])
def test_seven_pixels_three_taps(stride, expected):
    assert conv_output_size(7, 3, stride) == expected
    assert Conv2d(1, 1, 3, stride).output_shape((1, 1, 7, 7)) == (1, 1, expected, expected)


def test_seven_three_three_is_refused_when_strict():
    layer = Conv2d(1, 1, 3, stride=3, strict=True)
    for call in (
        lambda: conv_output_size(7, 3, 3, strict=True),
        lambda: layer.output_shape((1, 1, 7, 7)),
        lambda: Sequential(Conv2d(1, 1, 3, 3), strict=True)(np.zeros((1, 1, 7, 7))),
    ):
        with pytest.raises(ShapeError) as error:
            call()
        assert "(7 - 3)/3 + 1 = 2.33" in str(error.value)
        assert "padding=1 gives 3" in str(error.value)
    repaired = Conv2d(1, 1, 3, stride=3, padding=1, strict=True)
    assert repaired.output_shape((1, 1, 7, 7)) == (1, 1, 3, 3)


@both_devices
def test_seven_three_three_leaves_out_row_and_column_six(device):
    model = Sequential(Conv2d(1, 1, 3, stride=3), dtype="float64", seed=1, device=device)
    assert model.summary((1, 7, 7)).rows[0].note == "unused input: row 6, column 6"
    model(np.ones((1, 1, 7, 7)))
    dx = model.backward(np.ones((1, 1, 2, 2)))[0, 0]
    assert (dx[6] == 0).all()
    assert (dx[:, 6] == 0).all()
    assert (dx[:6, :6] != 0).all()


@pytest.mark.parametrize(("taps", "padding"), [(3, 1), (5, 2), (7, 3)])
def test_zero_padding_of_half_the_filter_keeps_the_size(taps, padding):
    assert padding == (taps - 1) / 2
    for layer in (Conv2d(1, 1, taps, padding=padding), Conv2d(1, 1, taps, padding="same")):
        assert layer.output_shape((1, 1, 7, 7)) == (1, 1, 7, 7)


CONVOLUTIONS = {
    "six 5x5x3 on 32x32": (Conv2d(3, 6, 5), (32, 32), (28, 28), 456),
    "ten 5x5x6 on 28x28": (Conv2d(6, 10, 5), (28, 28), (24, 24), 1_510),
    "ten 5x5 with padding 2": (Conv2d(3, 10, 5, padding=2), (32, 32), (32, 32), 760),
    "i=4 k=3": (Conv2d(1, 1, 3), (4, 4), (2, 2), 10),
    "i=5 k=3 s=2 p=1": (Conv2d(1, 1, 3, 2, 1), (5, 5), (3, 3), 10),
    "32 filters of 1x1": (Conv2d(64, 32, 1), (56, 56), (56, 56), 2_080),
    "4x1x9x9": (Conv2d(1, 4, 9, padding=4), (224, 224), (224, 224), 4 * 81 + 4),
    "4x1x9x9 stride 2": (Conv2d(1, 4, 9, 2, padding=4), (224, 224), (112, 112), 4 * 81 + 4),
    "five 5x5x3": (Conv2d(3, 5, 5), (32, 32), (28, 28), 380),
    "LeNet-5": (Conv2d(1, 6, 5), (32, 32), (28, 28), 156),
}


@pytest.mark.parametrize(("layer", "size", "out", "count"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_sizes_and_parameters_of_convolutions(layer, size, out, count):
    shape = layer.output_shape((1, layer.in_channels, *size))
    assert shape == (1, layer.out_channels, *out)
    assert parameters(layer) == count


def test_ten_filters_take_768000_multiplications():
    assert Conv2d(3, 10, 5, padding=2).macs((1, 3, 32, 32)) == 768_000


def test_sharing_saves_parameters():
    layer = Conv2d(3, 5, 5)
    places = 28 * 28 * 5
    assert parameters(layer) == 380
    assert places * parameters(Conv2d(3, 1, 5)) == 297_920


@pytest.mark.parametrize(("taps", "stride", "padding"), [(3, 1, 1), (5, 1, 2), (1, 1, 0)])
def test_common_convolutions_keep_the_size(taps, stride, padding):
    assert Conv2d(1, 1, taps, stride, padding).output_shape((1, 1, 20, 20))[2:] == (20, 20)


@pytest.mark.parametrize("make", [MaxPool2d, AvgPool2d])
def test_common_poolings_halve_the_size(make):
    assert make(2, 2).output_shape((1, 1, 20, 20))[2:] == (10, 10)
    assert make(3, 2).output_shape((1, 1, 21, 21))[2:] == (10, 10)


# ---- worked numbers -----------------------------------------------------------------------------

CROSS = -np.ones((5, 5))
CROSS[[1, 1, 2, 3, 3], [1, 3, 2, 1, 3]] = 1
DIAGONAL = np.array([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]])
FEATURES = np.array([[7.0, -3, 3], [-3, 5, -3], [3, -3, 7]])


def convolution(kernel, device, bias=0.0):
    kernel = np.asarray(kernel, float)
    layer = Conv2d(1, 1, kernel.shape, dtype="float64").to(device)
    layer.weight.data = kernel[None, None]
    layer.bias.data = [bias]
    return layer


@both_devices
def test_the_x_image_forward(device):
    y = convolution(DIAGONAL, device)(CROSS[None, None])
    np.testing.assert_array_equal(y[0, 0], FEATURES)
    mirrored = convolution(DIAGONAL[:, ::-1], device)(CROSS[None, None])
    np.testing.assert_array_equal(mirrored[0, 0], [[3, -3, 7], [-3, 5, -3], [7, -3, 3]])
    on = ReLU().to(device)(y)
    np.testing.assert_array_equal(on[0, 0], [[7, 0, 3], [0, 5, 0], [3, 0, 7]])
    pooled = MaxPool2d(2, stride=1).to(device)(on)
    np.testing.assert_array_equal(pooled[0, 0], [[7, 5], [5, 7]])


@both_devices
def test_the_x_image_backward(device):
    layer = convolution(DIAGONAL, device)
    model = Sequential(layer, ReLU(), MaxPool2d(2, stride=1), device=device, dtype="float64")
    y = model(CROSS[None, None])
    dx = model.backward(np.ones_like(y))  # the loss is the sum of the pooled map
    np.testing.assert_array_equal(layer.weight.grad[0, 0], [[2, -4, 0], [-4, 4, -4], [0, -4, 2]])
    np.testing.assert_array_equal(layer.bias.grad, [4])
    expected = [
        [1, -1, -1, 0, 0],
        [-1, 3, -3, -2, 0],
        [-1, -3, 4, -3, -1],
        [0, -2, -3, 3, -1],
        [0, 0, -1, -1, 1],
    ]
    np.testing.assert_array_equal(dx[0, 0], expected)


@both_devices
def test_an_asymmetric_kernel_tells_correlation_from_convolution(device):
    # The kernels of the X image equal their own rotation; this one doesn't. Whole numbers, so
    # that every sum is exact.
    kernel = np.arange(1.0, 10).reshape(3, 3)
    assert (kernel != kernel[::-1, ::-1]).any()
    rng = np.random.default_rng(1)
    x = rng.integers(-3, 4, (5, 6)).astype(float)
    dy = rng.integers(-3, 4, (3, 4)).astype(float)
    layer = convolution(kernel, device, bias=2)
    y = layer(x[None, None])[0, 0]
    dx = layer.backward(dy[None, None])[0, 0]
    correlation, flipped, dkernel = np.zeros((3, 4)), np.zeros((3, 4)), np.zeros((3, 3))
    gradient = np.zeros((5, 6))
    for i in range(3):
        for j in range(4):
            window = x[i : i + 3, j : j + 3]
            correlation[i, j] = 2 + (window * kernel).sum()
            flipped[i, j] = 2 + (window * kernel[::-1, ::-1]).sum()
            dkernel += dy[i, j] * window
            gradient[i : i + 3, j : j + 3] += dy[i, j] * kernel
    np.testing.assert_array_equal(y, correlation)
    assert (y != flipped).any()
    np.testing.assert_array_equal(layer.weight.grad[0, 0], dkernel)
    np.testing.assert_array_equal(layer.bias.grad, [dy.sum()])
    np.testing.assert_array_equal(dx, gradient)


@both_devices
def test_max_and_mean_pooling_of_sixteen_numbers(device):
    x = np.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, None]
    np.testing.assert_array_equal(MaxPool2d(2, 2).to(device)(x)[0, 0], [[6, 8], [3, 4]])
    np.testing.assert_array_equal(AvgPool2d(2, 2).to(device)(x)[0, 0], [[3.25, 5.25], [2, 2]])


# ---- networks -----------------------------------------------------------------------------------


def test_lenet_of_the_slides():
    layers = [layer for layer in lenet() if parameters(layer)]
    assert [parameters(layer) for layer in layers] == [320, 18_496, 1_179_776, 1_290]
    assert parameters(lenet()) == 1_199_882
    by_hand = Sequential(
        Conv2d(1, 32, 3),
        ReLU(),
        Conv2d(32, 64, 3),
        MaxPool2d(2),
        ReLU(),
        Dropout2d(0.25),
        Flatten(),
        Linear(9216, 128),
        ReLU(),
        Dropout(0.5),
        Linear(128, 10),
    )
    assert repr(by_hand) == repr(lenet())
    sees = [row.receptive_field for row in by_hand.summary((1, 28, 28)).rows]
    assert (sees[0], sees[2], sees[3]) == ((3, 3), (5, 5), (6, 6))


def test_the_browser_demo_for_cifar():
    model = cifar_demo()
    assert parameters(model) == 22_466
    first, second, third = (layer for layer in model if isinstance(layer, Conv2d))
    assert [layer.weight.shape for layer in (first, second, third)] == [
        (16, 3, 5, 5),
        (20, 16, 5, 5),
        (20, 20, 5, 5),
    ]
    assert {layer.padding for layer in (first, second, third)} == {(2, 2)}


def test_three_linear_layers_have_177_parameters():
    layers = [Linear(2, 5), Sigmoid(), Linear(5, 20), Sigmoid(), Linear(20, 2)]
    assert parameters(Sequential(*layers)) == 177
    with pytest.raises(ShapeError) as error:
        Sequential(Linear(2, 5), Sigmoid(), Linear(6, 20))
    for words in ("Linear(2, 5)", "gives 5", "Linear(6, 20)", "takes 6"):
        assert words in str(error.value)


# ---- functions ----------------------------------------------------------------------------------


@both_devices
@pytest.mark.parametrize(
    ("layer", "low", "high"), [(Sigmoid(), 0, 1), (Tanh(), -1, 1), (ReLU(), 0, np.inf)], ids=repr
)
def test_ranges_of_activations(layer, low, high, device):
    x = np.linspace(-5, 5, 101)
    y = layer.to(device)(x)
    if isinstance(layer, ReLU):
        np.testing.assert_array_equal(y, np.maximum(x, 0))
    else:
        assert low < y.min() < y.max() < high
        assert (np.diff(y) > 0).all()
        np.testing.assert_allclose(y + y[::-1], low + high, rtol=0, atol=4 * EPS)


@both_devices
def test_softmax_and_a_constant(device):
    a = np.random.default_rng(1).standard_normal((6, 5))
    softmax = Softmax().to(device)
    p = softmax(a)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=5 * EPS)
    np.testing.assert_array_equal(p.argmax(axis=1), a.argmax(axis=1))
    # a + 100 rounds each score by up to 100 u, and p by as much, relatively
    np.testing.assert_allclose(softmax(a + 100), p, rtol=200 * EPS)
    assert np.isfinite(softmax(a * 1e4)).all()


@both_devices
def test_cross_entropy_takes_raw_scores_and_labels(device):
    scores = np.random.default_rng(1).standard_normal((6, 5))
    labels = np.array([0, 4, 2, 2, 1, 3])
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = CrossEntropyLoss().to(device)
    assert loss(scores, labels) == pytest.approx(-np.log(p[range(6), labels]).mean(), rel=1e-14)
    np.testing.assert_allclose(loss.backward(), (p - np.eye(5)[labels]) / 6, rtol=0, atol=4 * EPS)
    two_steps = NLLLoss().to(device)(LogSoftmax().to(device)(scores), labels)
    assert two_steps == pytest.approx(loss(scores, labels), rel=1e-14)


@both_devices
def test_mse_in_all_its_forms(device):
    y, t = np.random.default_rng(1).standard_normal((2, 4, 3))
    squares = ((y - t) ** 2).sum()
    forms = {
        "mean": squares / 12,
        "sum": squares,
        "half_sum": squares / 2,
        "batch_mean": squares / 4,
    }
    for reduction, expected in forms.items():
        assert MSELoss(reduction).to(device)(y, t) == pytest.approx(expected, rel=1e-14)
    assert MSELoss().reduction == "mean"


def test_weight_decay_is_the_l2_penalty():
    # d/dW of lambda sum W² is 2 lambda W, to which weight_decay = 2 lambda corresponds
    layer = Linear(3, 4, bias=False, dtype="float64")
    before = layer.weight.data.copy()
    layer.weight.grad = np.zeros((4, 3))
    SGD(layer.parameters(), lr=1.0, weight_decay=2 * 0.01).step()
    np.testing.assert_allclose(before - layer.weight.data, 2 * 0.01 * before, rtol=0, atol=EPS)


@both_devices
def test_dropout_keeps_the_expectation(device):
    layer = Dropout(0.25).to(device)
    layer.reseed(1)
    x = np.full((50, 100), 3.0)
    y = layer(x)
    assert set(np.unique(y)) == {0, 3 / 0.75}
    deviation = 3 * np.sqrt(0.25 / 0.75 / x.size)  # of the mean of so many numbers
    assert abs(y.mean() - 3) < 5 * deviation
    np.testing.assert_array_equal(layer.eval()(x), x)
    maps = Dropout2d(0.5).to(device)
    maps.reseed(1)
    z = maps(np.ones((4, 6, 3, 5))).reshape(24, 15)
    assert (z == z[:, :1]).all()
    assert set(z[:, 0]) == {0, 2}


def drawn(fill, shape, **options):
    layer = Linear(shape[1], shape[0], dtype="float64")
    fill(layer.weight, **options, rng=np.random.default_rng(1))
    return layer.weight.data


def test_the_bound_of_glorot():
    bound = np.sqrt(6 / (10 + 5))
    assert round(bound, 4) == 0.6325
    values = drawn(init.xavier_uniform_, (5, 10))
    assert np.abs(values).max() <= bound
    many = drawn(init.xavier_uniform_, (200, 300))
    bound = np.sqrt(6 / 500)
    # The largest of n draws lies below 1 - 12/n of the bound with probability e^-12; the mean
    # square of an even distribution is a third of the bound's.
    assert bound * (1 - 12 / many.size) < np.abs(many).max() <= bound
    assert many.std() == pytest.approx(bound / np.sqrt(3), rel=5 / np.sqrt(many.size))
    spread = drawn(init.xavier_normal_, (200, 300))
    assert spread.std() == pytest.approx(np.sqrt(2 / 500), rel=5 / np.sqrt(2 * many.size))


def test_the_bounds_of_he():
    even = drawn(init.kaiming_uniform_, (200, 300), nonlinearity="relu")
    bound = np.sqrt(6 / 300)
    assert bound * (1 - 12 / even.size) < np.abs(even).max() <= bound
    normal = drawn(init.kaiming_normal_, (200, 300), nonlinearity="relu")
    assert normal.std() == pytest.approx(np.sqrt(2 / 300), rel=5 / np.sqrt(2 * normal.size))
    assert init.fans((8, 4, 3, 5)) == (4 * 15, 8 * 15)


def test_zero_weights_never_break_symmetry():
    x = np.random.default_rng(1).standard_normal((30, 4))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    rows = {}
    for name in ("zero", "random"):
        model = Sequential(Linear(4, 5), Sigmoid(), Linear(5, 2), dtype="float64", seed=1)
        if name == "zero":
            for parameter in model.parameters():
                init.zeros_(parameter)
        model.fit(x, y, epochs=10, batch_size=30, verbose=False)
        rows[name] = model[0].weight.data
        assert np.abs(rows[name]).max() > 1e-3, "nothing was learned at all"
    # Every hidden unit is the copy of the first: five units do the work of one.
    assert (rows["zero"] == rows["zero"][:1]).all()
    assert (rows["random"][1:] != rows["random"][:1]).all()


@both_devices
def test_adams_first_step(device):
    layer = Linear(4, 1, bias=False, dtype="float64").to(device)
    layer.weight.data = np.zeros((1, 4))
    g = np.array([[3.0, -0.2, 1e-8, 0]])
    layer.weight.grad = g
    Adam(layer.parameters(), lr=0.1, eps=1e-8).step()
    np.testing.assert_allclose(layer.weight.data, -0.1 * g / (np.abs(g) + 1e-8), rtol=1e-12)


@both_devices
def test_two_linear_layers_are_one(device):
    first = Linear(6, 5, bias=False, dtype="float64").to(device)
    second = Linear(5, 4, bias=False, dtype="float64").to(device)
    joint = Linear(6, 4, bias=False, dtype="float64").to(device)
    joint.weight.data = second.weight.data @ first.weight.data
    x = np.random.default_rng(1).standard_normal((3, 6))
    np.testing.assert_allclose(second(first(x)), joint(x), rtol=0, atol=1e-12)


def half_squares(model, x, t):
    loss = MSELoss("half_sum").to(model.device.name)
    loss(model(x), t)
    model.backward(loss.backward())


@both_devices
def test_the_gradient_of_one_layer(device):
    model = Sequential(Linear(3, 2), Sigmoid(), dtype="float64", seed=1, device=device)
    x, t = np.array([[0.5, -1.0, 2.0]]), np.array([[1.0, 0.0]])
    half_squares(model, x, t)
    y = model(x)
    delta = (y - t) * y * (1 - y)  # sigma'(a) = y (1 - y)
    for i in range(2):
        for j in range(3):
            expected = delta[0, i] * x[0, j]
            assert model[0].weight.grad[i, j] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(model[0].bias.grad, delta[0], rtol=1e-12)


@both_devices
def test_the_gradient_of_two_layers(device):
    model = Sequential(
        Linear(3, 4), Sigmoid(), Linear(4, 2), Sigmoid(), dtype="float64", seed=1, device=device
    )
    x, t = np.array([[0.5, -1.0, 2.0]]), np.array([[1.0, 0.0]])
    half_squares(model, x, t)
    hidden = 1 / (1 + np.exp(-(x @ model[0].weight.data.T + model[0].bias.data)))
    y = model(x)
    outer = (y - t) * y * (1 - y)
    for j in range(4):
        back = sum(outer[0, i] * model[2].weight.data[i, j] for i in range(2))
        for k in range(3):
            expected = back * hidden[0, j] * (1 - hidden[0, j]) * x[0, k]
            assert model[0].weight.grad[j, k] == pytest.approx(expected, rel=1e-12)


def im2col(x, kernel, stride, padding, dilation):
    """Return every window as a row: (N, OH, OW, C KH KW)."""
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(*windows.shape[:1], *windows.shape[2:4], -1)


@both_devices
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": (2, 1), "padding": (1, 2)},
        {"stride": (1, 3), "dilation": (2, 1)},
        {"stride": (3, 2), "padding": (2, 0), "dilation": (1, 3)},
    ],
    ids=str,
)
def test_convolution_is_a_matrix_product(options, device):
    layer = Conv2d(3, 4, (3, 2), **options, dtype="float64").to(device)
    x = np.random.default_rng(1).standard_normal((2, 3, 9, 8))
    columns = im2col(x, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    matrix = layer.weight.data.reshape(4, -1)
    y = layer(x)
    expected = (columns @ matrix.T + layer.bias.data).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dx = layer.backward(dy)
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, 4)
    dweight = rows.T @ columns.reshape(len(rows), -1)
    np.testing.assert_allclose(layer.weight.grad.reshape(4, -1), dweight, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, rows.sum(axis=0), rtol=0, atol=1e-12)
    # <dy, conv z> = <dx, z> for every z, without bias: dx is the transposed product
    z = np.random.default_rng(3).standard_normal(x.shape)
    products = im2col(z, layer.kernel_size, layer.stride, layer.padding, layer.dilation) @ matrix.T
    assert (dx * z).sum() == pytest.approx((rows * products.reshape(-1, 4)).sum(), abs=1e-11)


@both_devices
def test_a_batch_and_its_pictures_one_by_one(device):
    layer = Conv2d(2, 3, 3, padding=1, dtype="float64").to(device)
    x = np.random.default_rng(1).standard_normal((20, 2, 4, 5))
    y = layer(x)
    for n in (0, 7, 19):
        np.testing.assert_array_equal(layer(x[n : n + 1])[0], y[n])


def test_the_worked_example_passes_the_gradient_check():
    # At the X image itself the pooled map has ties of ReLU's zeros; beside it all is smooth.
    model = Sequential(
        convolution(DIAGONAL, "cpu", 0.1), ReLU(), MaxPool2d(2, stride=1), dtype="float64"
    )
    rng = np.random.default_rng(1)
    assert gradcheck(model, CROSS[None, None] + rng.uniform(-0.1, 0.1, (1, 1, 5, 5)))
