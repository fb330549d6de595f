"""The gradient check: right gradients pass, each planted mistake is found and named."""

import copy

import numpy as np
import pytest

from numcnn import (
    ELU,
    GELU,
    SELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AlphaDropout,
    AvgPool2d,
    BatchNorm1d,
    BatchNorm2d,
    BCELoss,
    BCEWithLogitsLoss,
    CircularPad2d,
    Concat,
    ConstantPad2d,
    Conv2d,
    ConvTranspose2d,
    CrossEntropyLoss,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    GroupNorm,
    Hardtanh,
    HuberLoss,
    Identity,
    KLDivLoss,
    L1Loss,
    LayerNorm,
    LeakyReLU,
    Linear,
    LocallyConnected2d,
    LocalResponseNorm,
    LogSigmoid,
    LogSoftmax,
    Maxout,
    MaxPool2d,
    MaxUnpool2d,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    PerceptronLoss,
    PixelShuffle,
    PixelUnshuffle,
    PReLU,
    ReflectionPad2d,
    ReLU,
    ReLU6,
    ReplicationPad2d,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    SmoothL1Loss,
    Softmax,
    Softplus,
    Softsign,
    Step,
    Tanh,
    Upsample,
    ZeroPad2d,
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


def unpooling(shape, *arguments):
    """Return an unpooling whose pooling has run, on pictures of `shape`."""
    pool = MaxPool2d(*arguments)
    unpool = MaxUnpool2d(*arguments, pool=pool)
    pool(spread(shape))
    return unpool


def autoencoder(*arguments):
    pool = MaxPool2d(*arguments)
    return Sequential(
        Conv2d(1, 2, 3, padding=1), pool, Tanh(), MaxUnpool2d(*arguments, pool=pool), seed=6
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
    "conv-reflected": (
        lambda: Conv2d(1, 2, (3, 2), padding=(2, 1), padding_mode="reflect"),
        (1, 1, 4, 3),
    ),
    "conv-replicated": (
        lambda: Conv2d(2, 2, 3, 2, 2, groups=2, padding_mode="replicate"),
        (1, 2, 3, 4),
    ),
    "conv-circular": (
        lambda: Conv2d(1, 2, (2, 4), padding="same", padding_mode="circular"),
        (1, 1, 3, 4),
    ),
    "conv-transpose": (lambda: ConvTranspose2d(2, 3, (3, 2)), (2, 2, 2, 3)),
    "conv-transpose-all-different": (
        lambda: ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 2), (1, 2), 2, dilation=(1, 3)),
        (1, 4, 3, 4),
    ),
    "conv-transpose-cropped": (
        lambda: ConvTranspose2d(1, 2, 2, padding=2, bias=False),
        (1, 1, 5, 4),
    ),
    "locally-connected": (
        lambda: LocallyConnected2d(2, 3, (5, 4), (3, 2), (2, 1), (1, 0)),
        (2, 2, 5, 4),
    ),
    "locally-connected-no-bias": (
        lambda: LocallyConnected2d(1, 2, 4, (2, 3), (2, 3), bias=False),
        (2, 1, 4, 4),
    ),
    "zero-pad": (lambda: ZeroPad2d((1, 0, 2, 3)), (1, 2, 2, 3)),
    "constant-pad": (lambda: ConstantPad2d((1, 0, 2, 3), -2.0), (1, 2, 2, 3)),
    "reflection-pad": (lambda: ReflectionPad2d((2, 1, 0, 2)), (1, 2, 3, 4)),
    "replication-pad": (lambda: ReplicationPad2d((4, 1, 0, 3)), (1, 2, 3, 2)),
    "circular-pad": (lambda: CircularPad2d((4, 1, 0, 2)), (1, 2, 3, 4)),
    "max-pool": (lambda: MaxPool2d(2), (2, 2, 4, 6)),
    "max-pool-overlapping": (lambda: MaxPool2d((3, 2), stride=1, padding=1), (1, 2, 4, 5)),
    "max-pool-dilated": (lambda: MaxPool2d(2, stride=2, dilation=(2, 3)), (1, 1, 6, 7)),
    "max-pool-ceil": (lambda: MaxPool2d(3, stride=2, ceil_mode=True), (1, 1, 6, 8)),
    "identity": (Identity, (2, 3)),
    "residual": (
        lambda: Residual(Sequential(Conv2d(2, 2, 3, padding=1), Tanh(), Conv2d(2, 2, 1))),
        (2, 2, 3, 4),
    ),
    "residual-shortcut": (
        lambda: Residual(Conv2d(2, 3, 3, stride=2, padding=1), Conv2d(2, 3, 1, stride=2)),
        (1, 2, 5, 4),
    ),
    "concat": (
        lambda: Concat(Identity(), Conv2d(2, 3, 1), Sequential(Conv2d(2, 1, 1), Tanh())),
        (2, 2, 3, 2),
    ),
    "concat-rows": (lambda: Concat(Linear(3, 2), Linear(3, 2), dim=0), (2, 3)),
    "avg-pool": (lambda: AvgPool2d((2, 3), stride=1), (1, 2, 4, 5)),
    "avg-pool-padded": (lambda: AvgPool2d(3, stride=2, padding=1), (2, 1, 5, 6)),
    "avg-pool-inside-only": (lambda: AvgPool2d(3, 2, 1, count_include_pad=False), (1, 2, 5, 4)),
    "avg-pool-ceil": (lambda: AvgPool2d(3, stride=2, ceil_mode=True), (1, 1, 6, 8)),
    "avg-pool-divisor": (lambda: AvgPool2d(2, divisor_override=3), (1, 1, 4, 6)),
    "adaptive-avg-pool": (lambda: AdaptiveAvgPool2d((3, 2)), (1, 2, 7, 5)),
    "adaptive-avg-pool-all": (lambda: AdaptiveAvgPool2d(1), (2, 2, 3, 4)),
    "adaptive-avg-pool-more": (lambda: AdaptiveAvgPool2d((5, None)), (1, 1, 3, 4)),
    "adaptive-max-pool": (lambda: AdaptiveMaxPool2d((3, 2)), (1, 2, 7, 5)),
    "max-unpool": (lambda: unpooling((2, 1, 5, 6), 2), (2, 1, 2, 3)),
    "max-unpool-shared-places": (lambda: unpooling((1, 2, 4, 3), 2, 1), (1, 2, 3, 2)),
    "max-unpool-network": (lambda: autoencoder(2), (2, 1, 4, 6)),
    "max-unpool-rows-left-over": (lambda: autoencoder(2), (1, 1, 5, 7)),
    "max-unpool-overlapping": (lambda: autoencoder((3, 2), 1, 1), (1, 1, 4, 5)),
    "upsample-nearest": (lambda: Upsample(scale_factor=(2, 1.6)), (1, 2, 3, 4)),
    "upsample-nearest-smaller": (lambda: Upsample(size=(3, 4)), (1, 1, 7, 5)),
    "upsample-bilinear": (lambda: Upsample(scale_factor=1.7, mode="bilinear"), (1, 2, 3, 5)),
    "upsample-bilinear-smaller": (lambda: Upsample((3, 2), mode="bilinear"), (1, 1, 5, 7)),
    "upsample-corners": (
        lambda: Upsample((7, 4), mode="bilinear", align_corners=True),
        (1, 2, 4, 6),
    ),
    "pixel-shuffle": (lambda: PixelShuffle(2), (2, 8, 2, 3)),
    "pixel-unshuffle": (lambda: PixelUnshuffle(2), (1, 2, 4, 6)),
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
    "dropout1d": (lambda: Dropout1d(0.4), (3, 4, 2)),
    "dropout3d": (lambda: Dropout3d(0.4), (2, 5, 2, 1, 2)),
    "alpha-dropout": (lambda: AlphaDropout(0.4), (4, 6)),
    "gaussian-dropout": (lambda: GaussianDropout(0.4), (4, 6)),
    "gaussian-noise": (lambda: GaussianNoise(0.5), (4, 6)),
    "prelu": (PReLU, (3, 5)),
    "prelu-channels": (lambda: PReLU(4, 0.6), (2, 4, 2, 3)),
    "maxout": (lambda: Maxout(4, 3, 2), (3, 4)),
    "maxout-rows": (lambda: Maxout(4, 2, 3, bias=False), (2, 3, 4)),
    "hardtanh": (lambda: Hardtanh(-1.5, 0.5), (3, 5)),
    "relu6": (ReLU6, (3, 5)),
    "log-sigmoid": (LogSigmoid, (3, 5)),
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


def class_numbers(shape):
    return np.random.default_rng(4).integers(0, shape[1], (shape[0], *shape[2:]))


def shares(shape):
    drawn = np.random.default_rng(5).uniform(0.1, 1, shape)
    return drawn / drawn.sum(axis=1, keepdims=True)


def inside(shape, seed=1):
    """Return numbers in (0, 1)."""
    return 0.5 + spread(shape, seed) / 5


def others(shape):
    return spread(shape, 2)


LOSSES = {
    "cross-entropy": (CrossEntropyLoss(), (4, 5), class_numbers),
    "cross-entropy-sum": (CrossEntropyLoss(reduction="sum"), (2, 3, 4), class_numbers),
    "cross-entropy-none": (CrossEntropyLoss(reduction="none"), (2, 3, 2, 2), class_numbers),
    "cross-entropy-weights": (CrossEntropyLoss([1, 2, 3]), (2, 3, 4), class_numbers),
    "cross-entropy-ignored": (CrossEntropyLoss(ignore_index=1), (4, 3), class_numbers),
    "cross-entropy-smooth": (
        CrossEntropyLoss([1, 2, 3], label_smoothing=0.2, ignore_index=1),
        (2, 3, 4),
        class_numbers,
    ),
    "cross-entropy-soft": (CrossEntropyLoss([1, 2, 3], label_smoothing=0.2), (2, 3, 4), shares),
    "nll": (NLLLoss(), (4, 5), class_numbers),
    "nll-none": (NLLLoss(reduction="none"), (2, 3, 4), class_numbers),
    "nll-weights": (NLLLoss([1, 2, 3], ignore_index=1), (2, 3, 4), class_numbers),
    "multi-margin": (MultiMarginLoss(margin=0.9), (4, 3), class_numbers),
    "multi-margin-squared": (
        MultiMarginLoss(2, 0.9, [1, 2, 3], reduction="none"),
        (4, 3),
        class_numbers,
    ),
    **{f"mse-{kind}": (MSELoss(kind), (3, 4), others) for kind in MSELoss.reductions},
    "l1": (L1Loss(), (3, 5), others),
    "smooth-l1": (SmoothL1Loss(beta=0.7), (3, 5), others),
    "huber": (HuberLoss("none", 0.7), (3, 5), others),
    "kl-div": (KLDivLoss("batchmean"), (3, 4), shares),
    "kl-div-log": (KLDivLoss("none", log_target=True), (3, 4), lambda shape: np.log(shares(shape))),
    "bce-with-logits": (BCEWithLogitsLoss(), (3, 4), inside),
    "bce-with-logits-weights": (
        BCEWithLogitsLoss([[1], [2], [3]], pos_weight=[1, 2, 3, 4], reduction="none"),
        (3, 4),
        inside,
    ),
}
# their predictions must lie between 0 and 1
INSIDE = {
    "bce": (BCELoss(), (3, 4), inside),
    "bce-weights": (BCELoss([1, 2, 3, 4], reduction="none"), (3, 4), inside),
    "msle": (MSLELoss(), (3, 4), shares),
}
LOSSES |= INSIDE


@both_devices
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_passes(name, device):
    loss, shape, draw = LOSSES[name]
    pred = inside(shape, 3) if name in INSIDE else spread(shape)
    report = gradcheck(copy.deepcopy(loss).to(device), pred, draw(shape))
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
    checked |= {
        Step,  # its gradient is 0, which shows nothing: tests/test_acts.py
        PerceptronLoss,  # takes targets of its own: tests/test_acts_perceptron.py
    }
    assert kinds - checked == set()


def test_a_bias_before_batch_norm_is_vacuous_and_not_wrong():
    """Its gradient is 0, and what rounding leaves of it on either side says nothing."""
    model = Sequential(Conv2d(1, 2, 3), BatchNorm2d(2), seed=1)
    report = gradcheck(model, np.random.default_rng(1).normal(size=(3, 1, 5, 5)))
    verdicts = {verdict.name: verdict.verdict for verdict in report.verdicts}
    assert verdicts.pop("0.bias") == "vacuous"
    assert set(verdicts.values()) == {"pass"}
