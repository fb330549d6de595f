"""The gradient check: right gradients pass, each planted mistake is found and named."""

import copy

import numpy as np
import pytest

from numcnn import (
    ELU,
    GELU,
    SELU,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Dropout2d,
    Flatten,
    GroupNorm,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    LogSoftmax,
    MaxPool2d,
    MSELoss,
    NLLLoss,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
    gradcheck,
    weight_norm,
)
from numcnn.losses import Loss

pytestmark = pytest.mark.usefixtures("one_thread")
both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def spread(shape, seed=1):
    """Return numbers further apart than any step, none near 0: no tie and no kink is met."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 0.5) * (4 / size)
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def network():
    return Sequential(
        Conv2d(1, 2, 3, padding=1),
        Tanh(),
        MaxPool2d(2),
        Dropout2d(0.5),
        Flatten(),
        Linear(12, 5),
        ReLU(),
        Dropout(0.3),
        Linear(5, 3),
        seed=5,
    )


LAYERS = {
    "conv": (lambda: Conv2d(2, 3, (3, 2)), (2, 2, 4, 5)),
    "conv-all-different": (
        lambda: Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 3), groups=2),
        (2, 2, 6, 5),
    ),
    "conv-rows-left-over": (lambda: Conv2d(1, 2, 3, stride=3), (1, 1, 7, 8)),
    "conv-stride-above-kernel": (lambda: Conv2d(1, 2, (1, 2), stride=(2, 3)), (2, 1, 6, 5)),
    "conv-dilated": (lambda: Conv2d(1, 2, (2, 3), padding=2, dilation=(3, 2)), (1, 1, 5, 6)),
    "conv-depthwise": (lambda: Conv2d(3, 6, 2, groups=3, bias=False), (1, 3, 3, 4)),
    "conv-same-even": (lambda: Conv2d(1, 2, (2, 4), padding="same"), (2, 1, 4, 5)),
    "max-pool": (lambda: MaxPool2d(2), (2, 2, 4, 6)),
    "max-pool-overlapping": (lambda: MaxPool2d((3, 2), stride=1, padding=1), (1, 2, 4, 5)),
    "max-pool-dilated": (lambda: MaxPool2d(2, stride=2, dilation=(2, 3)), (1, 1, 6, 7)),
    "max-pool-ceil": (lambda: MaxPool2d(3, stride=2, ceil_mode=True), (1, 1, 6, 8)),
    "avg-pool": (lambda: AvgPool2d((2, 3), stride=1), (1, 2, 4, 5)),
    "avg-pool-padded": (lambda: AvgPool2d(3, stride=2, padding=1), (2, 1, 5, 6)),
    "avg-pool-inside-only": (lambda: AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 5, 4)),
    "avg-pool-ceil": (lambda: AvgPool2d(3, stride=2, ceil_mode=True), (1, 1, 6, 8)),
    "avg-pool-divisor": (lambda: AvgPool2d(2, divisor_override=3), (1, 1, 4, 6)),
    "linear": (lambda: Linear(4, 3), (3, 4)),
    "batch-norm-1d": (lambda: BatchNorm1d(3), (5, 3)),
    "batch-norm-1d-rows": (lambda: BatchNorm1d(2, affine=False), (3, 2, 4)),
    "batch-norm-2d": (lambda: BatchNorm2d(2), (3, 2, 2, 3)),
    "batch-norm-untracked": (lambda: BatchNorm2d(2, track_running_stats=False), (2, 2, 3, 1)),
    "layer-norm": (lambda: LayerNorm(5), (3, 5)),
    "layer-norm-two-axes": (lambda: LayerNorm((3, 2), bias=False), (2, 2, 3, 2)),
    "group-norm": (lambda: GroupNorm(2, 6), (2, 6, 2, 1)),
    "group-norm-one": (lambda: GroupNorm(1, 3), (2, 3, 4)),
    "local-response-norm": (lambda: LocalResponseNorm(3, 0.5), (2, 4, 3)),
    "local-response-norm-even": (lambda: LocalResponseNorm(4, 0.5, 1.2, 2.0), (1, 5, 2, 2)),
    "weight-norm": (lambda: weight_norm(Conv2d(2, 3, (2, 1))), (2, 2, 3, 2)),
    "weight-norm-whole": (lambda: weight_norm(Linear(4, 3), dim=None), (3, 4)),
    "linear-rows": (lambda: Linear(4, 3, bias=False), (2, 3, 4)),
    "flatten": (Flatten, (2, 3, 2)),
    "relu": (ReLU, (3, 5)),
    "sigmoid": (Sigmoid, (3, 5)),
    "tanh": (Tanh, (3, 5)),
    "leaky-relu": (lambda: LeakyReLU(0.2), (3, 5)),
    "elu": (lambda: ELU(0.7), (3, 5)),
    "selu": (SELU, (3, 5)),
    "gelu": (GELU, (3, 5)),
    "gelu-tanh": (lambda: GELU("tanh"), (3, 5)),
    "silu": (SiLU, (3, 5)),
    "softplus": (lambda: Softplus(2.0, 3.0), (3, 5)),
    "softsign": (Softsign, (3, 5)),
    "softmax": (Softmax, (2, 4)),
    "softmax-last": (lambda: Softmax(dim=-1), (2, 3, 4)),
    "log-softmax": (lambda: LogSoftmax(dim=1), (2, 4, 3)),
    "dropout": (lambda: Dropout(0.4), (4, 6)),
    "dropout2d": (lambda: Dropout2d(0.4), (3, 4, 2, 2)),
    "network": (network, (2, 1, 4, 6)),
}


def seeded(make):
    layer = make()
    layer.reseed(3)
    return layer


@both_devices
@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_every_layer_passes(make, shape, device):
    layer = seeded(make).to(device)
    report = gradcheck(layer, spread(shape))
    assert report, report
    names = ["x", *(name for name, _ in layer.named_parameters())]
    assert [verdict.name for verdict in report.verdicts] == names
    for verdict, array in zip(
        report.verdicts, [spread(shape), *(p.data for p in layer.parameters())], strict=True
    ):
        assert verdict.verdict == "pass", verdict
        assert verdict.elements == array.size
        assert verdict.error <= 1e-6
        assert not np.isnan(verdict.analytic)


LOSSES = {
    "cross-entropy": (CrossEntropyLoss(), (4, 5), True),
    "cross-entropy-sum": (CrossEntropyLoss("sum"), (2, 3, 4), True),
    "cross-entropy-none": (CrossEntropyLoss("none"), (2, 3, 2, 2), True),
    "nll": (NLLLoss(), (4, 5), True),
    "nll-none": (NLLLoss("none"), (2, 3, 4), True),
    **{f"mse-{kind}": (MSELoss(kind), (3, 4), False) for kind in MSELoss.reductions},
}


@both_devices
@pytest.mark.parametrize(("loss", "shape", "labels"), LOSSES.values(), ids=LOSSES)
def test_every_loss_passes(loss, shape, labels, device):
    rng = np.random.default_rng(4)
    target = spread(shape, 2)
    if labels:
        target = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    report = gradcheck(copy.deepcopy(loss).to(device), spread(shape), target)
    assert report, report
    assert report["x"].verdict == "pass"
    assert report["x"].elements == np.prod(shape)


def test_dropout_in_evaluation_passes_too():
    model = network().eval()
    assert gradcheck(model, spread((2, 1, 4, 6)))
    assert gradcheck(Dropout(0.5).eval(), spread((2, 3)))


# ---- planted mistakes ---------------------------------------------------------------------------


class Planted(Conv2d):
    """A convolution whose backward is changed afterwards."""

    def __init__(self, change):
        super().__init__(2, 3, 2)
        self.change = change

    def _backward(self, dy):
        grads = {"x": super()._backward(dy), "weight": self.weight.grad, "bias": self.bias.grad}
        self.change(grads)
        self.weight.grad, self.bias.grad = grads["weight"], grads["bias"]
        return grads["x"]


def plant(name, index, factor=None, add=None, value=None):
    def change(grads):
        array = grads[name]
        if value is not None:
            array[index] = value
        else:
            array[index] = array[index] * (factor or 1) + (add or 0)

    return seeded(lambda: Planted(change))


@both_devices
@pytest.mark.parametrize(
    ("name", "index"),
    [("x", (1, 0, 2, 3)), ("x", (0, 0, 0, 0)), ("weight", (2, 1, 0, 1)), ("bias", (1,))],
    ids=str,
)
@pytest.mark.parametrize(
    "mistake",
    [{"factor": 1.001}, {"factor": -1}, {"add": 0.01}, {"value": 0.0}],
    ids=["times-1.001", "sign", "plus-0.01", "zero"],
)
def test_one_wrong_element_is_found_and_named(name, index, mistake, device):
    layer = plant(name, index, **mistake).to(device)
    report = gradcheck(layer, spread((2, 2, 3, 4)))
    assert not report
    assert report[name].verdict == "fail"
    assert report[name].index == index
    others = {"x", "weight", "bias"} - {name}
    assert {report[other].verdict for other in others} == {"pass"}
    assert f"{name}{list(index)}" in str(report)
    assert "the backward pass is wrong" in str(report)
    if "factor" in mistake:
        ratio = report[name].analytic / report[name].numeric
        assert ratio == pytest.approx(mistake["factor"], rel=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("index", [(0, 0, 0, 0), (1, 0, 2, 3), (1, 1, 2, 3)], ids=str)
def test_a_gradient_that_is_no_number_is_found(value, index):
    report = gradcheck(plant("x", index, value=value), spread((2, 2, 3, 4)))
    assert not report
    assert report["x"].verdict == "fail"
    assert report["x"].index == index


def test_a_wrong_factor_over_the_whole_array_is_found():
    report = gradcheck(plant("weight", ..., factor=1.001), spread((2, 2, 3, 4)))
    assert report["weight"].verdict == "fail"
    assert report["weight"].error == pytest.approx(1e-3, rel=1e-2)


def test_a_missing_bias_gradient_is_found():
    def forget(grads):
        grads["bias"] = None

    report = gradcheck(seeded(lambda: Planted(forget)), spread((2, 2, 3, 4)))
    assert not report
    assert report["bias"].verdict == "fail"
    assert {report["x"].verdict, report["weight"].verdict} == {"pass"}


def test_a_gradient_of_another_shape_is_found():
    def turn(grads):
        grads["x"] = np.ascontiguousarray(grads["x"].transpose(0, 1, 3, 2))

    report = gradcheck(seeded(lambda: Planted(turn)), spread((2, 2, 3, 4)))
    assert not report
    assert report["x"].verdict == "fail"


def test_a_wrong_loss_is_found():
    class Wrong(MSELoss):
        def _backward(self, dlosses):
            return super()._backward(dlosses) / 2

    report = gradcheck(Wrong(), spread((3, 4)), spread((3, 4), 2))
    assert report["x"].verdict == "fail"
    assert report["x"].analytic * 2 == pytest.approx(report["x"].numeric, rel=1e-6)


def test_mistakes_in_a_network_are_named_by_parameter():
    model = Sequential(plant("bias", (1,), factor=2), Tanh(), Flatten(), Linear(18, 2), seed=1)
    report = gradcheck(model, spread((2, 2, 3, 4)))
    wrong = [verdict.name for verdict in report.verdicts if verdict.verdict == "fail"]
    assert wrong == ["0.bias"]


def test_a_mistake_beside_a_kink_is_still_found():
    class Wrong(ReLU):
        def _backward(self, dy):
            dx = super()._backward(dy)
            dx[2, 1] *= 1.001
            return dx

    x = spread((3, 4))
    x[0, 0] = 0
    x[2, 1] = 1
    report = gradcheck(Wrong(), x)
    assert report["x"].verdict == "fail"
    assert report["x"].index == (2, 1)


# ---- points that show nothing, or not smoothly --------------------------------------------------


@both_devices
def test_relu_at_exactly_zero_is_a_kink(device):
    x = spread((3, 4))
    x[1, 2] = 0
    report = gradcheck(ReLU().to(device), x)
    assert report, "beside the kink the gradient is right"
    assert report["x"].verdict == "kink"
    assert report["x"].index == (1, 2)
    assert "isn't smooth" in str(report)


@both_devices
def test_a_tie_in_max_pooling_is_a_kink(device):
    x = spread((1, 1, 4, 4))
    x[0, 0, 1, 0] = x[0, 0, 0, 1] = x.max() + 1
    report = gradcheck(MaxPool2d(2).to(device), x)
    assert report
    assert report["x"].verdict == "kink"
    assert report["x"].index in ((0, 0, 0, 1), (0, 0, 1, 0))


def test_a_picture_of_ties_alone_is_a_kink_too():
    report = gradcheck(MaxPool2d(2), np.zeros((1, 2, 4, 4)))
    assert report
    assert report["x"].verdict == "kink"


def test_what_has_kinks_everywhere_cannot_be_checked():
    class Jagged(ReLU):
        def _forward(self, x):
            self.save_for_backward(x)
            return np.abs(np.sin(x * 1e9))

        def _backward(self, dy):
            return 0 * dy

    with pytest.raises(ValueError, match="x: every point near the given one has a kink"):
        gradcheck(Jagged(), spread((2, 3)))


@both_devices
def test_zero_weights_show_nothing_about_the_input(device):
    layer = Linear(4, 3).to(device)
    layer.weight.data = np.zeros((3, 4))
    report = gradcheck(layer, spread((2, 4)))
    assert not report
    assert report["x"].verdict == "vacuous"
    assert report["weight"].verdict == "pass"
    assert report["bias"].verdict == "pass"


def test_a_dead_relu_shows_nothing():
    report = gradcheck(ReLU(), -1 - np.arange(6.0).reshape(2, 3))
    assert not report
    assert report["x"].verdict == "vacuous"


def test_an_empty_input_shows_nothing():
    report = gradcheck(ReLU(), np.zeros((0, 3)))
    assert not report


@both_devices
def test_float32_is_answered_with_precision(device):
    report = gradcheck(seeded(lambda: Linear(4, 3)).to(device), spread((2, 4)), dtype="float32")
    assert not report
    assert {verdict.verdict for verdict in report.verdicts} == {"precision"}
    assert [verdict.name for verdict in report.verdicts] == ["x", "weight", "bias"]
    assert "use dtype='float64'" in str(report)
    # and the figures are there: float32 differences at this step are off by far more than 1e-6
    assert report["x"].error > 1e-6


# ---- how it behaves -----------------------------------------------------------------------------


def test_the_subject_and_the_input_are_as_they_were():
    model = network()
    model(spread((2, 1, 4, 6)))
    weights = model.state_dict()
    calls = [layer.calls for layer in model.layers() if isinstance(layer, Dropout)]
    grad = np.ones((3,), np.float32)
    model[8].bias.grad = grad
    x = spread((2, 1, 4, 6))
    before = x.copy()
    gradcheck(model, x)
    np.testing.assert_array_equal(x, before)
    assert model.dtype == np.float32
    assert [m.calls for m in model.layers() if isinstance(m, Dropout)] == calls
    assert model[8].bias.grad is grad
    assert model.training
    for name, array in model.state_dict().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, weights[name])
    model.backward(np.ones((2, 3)))  # what forward kept is still there


def test_the_loss_is_as_it_was():
    loss = MSELoss()
    pred, target = spread((2, 3)), spread((2, 3), 2)
    loss(pred, target)
    expected = loss.backward()
    gradcheck(loss, pred * 2, target)
    np.testing.assert_array_equal(loss.backward(), expected)


def test_the_same_seed_gives_the_same_report():
    layer = seeded(lambda: Conv2d(2, 3, 2))
    x = spread((1, 2, 3, 4))
    assert str(gradcheck(layer, x)) == str(gradcheck(layer, x))
    assert str(gradcheck(layer, x, seed=1)) != str(gradcheck(layer, x))


def test_a_limit_compares_that_many_elements_and_no_more():
    layer = seeded(lambda: Conv2d(2, 3, 2))
    report = gradcheck(layer, spread((2, 2, 3, 4)), limit=5)
    assert report
    assert [verdict.elements for verdict in report.verdicts] == [5, 5, 3]


def test_what_cannot_be_checked_is_refused():
    with pytest.raises(TypeError, match=r"a loss needs its target"):
        gradcheck(MSELoss(), spread((2, 3)))
    with pytest.raises(ValueError, match=r"dtype must be 'float64' or 'float32', got 'float16'"):
        gradcheck(ReLU(), spread((2, 3)), dtype="float16")


def test_every_layer_and_loss_of_numcnn_is_among_the_cases():
    import numcnn

    exported = [getattr(numcnn, name) for name in numcnn.__all__]
    kinds = {k for k in exported if isinstance(k, type) and issubclass(k, numcnn.Layer | Loss)}
    kinds -= {numcnn.Layer, Loss}
    checked = {type(make()) for make, _ in LAYERS.values()}
    checked |= {type(loss) for loss, _, _ in LOSSES.values()}
    assert kinds - checked == set()
