"""Penalties and clipped gradients: their values, how they differ from decay, and `fit`."""

import io
import math

import numpy as np
import pytest
from numba.core import config
from rich.console import Console

import numcnn
from numcnn import (
    L1,
    L2,
    SGD,
    Adam,
    AdamW,
    Dropout,
    Linear,
    PReLU,
    ReLU,
    Sequential,
    clip_grad_norm,
    clip_grad_value,
)
from numcnn.progress import TrainingProgress

pytestmark = pytest.mark.usefixtures("one_thread")
both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])


def network(device="cpu", dtype="float64", bias=True):
    return Sequential(
        Linear(4, 5, bias=bias), ReLU(), Linear(5, 3, bias=bias), device=device, dtype=dtype, seed=1
    )


def batch(seed=1, rows=6):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, 4)), rng.integers(0, 3, rows)


def backward(model, seed=1):
    """Leave the gradients of a batch in the model."""
    x, y = batch(seed)
    loss = numcnn.CrossEntropyLoss().to(model.device.name)
    loss(model(x), y)
    model.backward(loss.backward())


def state(model):
    return [p.data.copy() for p in model.parameters()]


# ---- penalties --------------------------------------------------------------------------------

PENALTIES = pytest.mark.parametrize(
    ("make", "value", "slope"),
    [
        (L1, lambda w: np.abs(w).sum(), np.sign),
        (L2, lambda w: (w**2).sum(), lambda w: 2 * w),
    ],
    ids=["L1", "L2"],
)


@both_devices
@PENALTIES
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_penalty_and_its_gradient(make, value, slope, biases, dtype, device):
    """35 squares at most, in float64: 40 roundings. The gradient is one product, or two."""
    model = network(device, dtype)
    penalty = make(0.3, biases=biases)
    model[0].weight.data[1, 2] = 0  # the kink of |w|
    held = [p for p in model.parameters() if biases or len(p.shape) == 2]
    expected = 0.3 * sum(value(p.data.astype(float)) for p in held)
    assert penalty(model) == pytest.approx(expected, rel=40 * np.finfo(float).eps)
    backward(model)
    before = {id(p): p.grad.copy() for p in model.parameters()}
    kept = [p.grad for p in model.parameters()]
    penalty.backward()
    eps = np.finfo(dtype).eps
    for p, array in zip(model.parameters(), kept, strict=True):
        np.testing.assert_array_equal(array, before[id(p)], "a gradient was written to")
        added = 0.3 * slope(p.data) if any(p is q for q in held) else 0 * p.data
        bound = 3 * eps * (np.abs(added) + np.abs(before[id(p)]))
        assert (np.abs(p.grad - (before[id(p)] + added)) <= bound).all()


@PENALTIES
def test_a_penalty_is_the_integral_of_its_gradient(make, value, slope):
    """Finite differences: away from 0 both functions are parabolas at most, so h may be large."""
    layer = Linear(3, 2, dtype="float64")
    layer.weight.data = [[0.5, -1.0, 2.0], [-0.25, 4.0, -3.0]]
    penalty = make(0.3)
    penalty(layer)
    penalty.backward()
    grad = layer.weight.grad
    for index in np.ndindex(2, 3):
        values = []
        for sign in (1, -1):
            moved = np.array(layer.weight.data)
            moved[index] += sign * 2**-6
            other = Linear(3, 2, dtype="float64")
            other.weight.data = moved
            values.append(penalty(other))
        assert grad[index] == pytest.approx((values[0] - values[1]) * 2**5, rel=1e-12)


@both_devices
def test_a_penalty_alone_leaves_a_gradient_behind(device):
    model = network(device)
    penalty = L2(0.5)
    penalty(model)
    penalty.backward()
    np.testing.assert_array_equal(model[0].weight.grad, model[0].weight.data)
    assert model[0].bias.grad is None


def test_slopes_and_scales_are_no_weights():
    model = Sequential(Linear(2, 2, bias=False), PReLU(2))
    model[0].weight.data = np.ones((2, 2))
    assert L1(1.0)(model) == 4
    assert L1(1.0, biases=True)(model) == 4.5
    assert repr(L1(0.5)) == "L1(0.5)"
    assert repr(L2(1e-4, biases=True)) == "L2(0.0001, biases=True)"


def test_a_model_without_weights_has_no_penalty():
    penalty = L2(1.0)
    assert penalty(Sequential(ReLU())) == 0
    penalty.backward()


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="strength must be 0 or more, got -1"):
        L1(-1)
    with pytest.raises(TypeError, match=r"L2\(1\) is called on a model, got list"):
        L2(1)([1, 2])
    with pytest.raises(RuntimeError, match=r"L1\(1\): backward was called before the penalty was"):
        L1(1).backward()
    with pytest.raises(RuntimeError, match=r"L1\(1\): finish was called before begin"):
        L1(1).finish()


# ---- three kinds of decay ---------------------------------------------------------------------


def trained(make, penalty=None, steps=3, dtype="float64"):
    model = network(dtype=dtype, bias=False)
    optimizer = make(model.parameters())
    for step in range(steps):
        backward(model, step)
        if penalty is not None:
            penalty(model)
            penalty.backward()
        optimizer.step()
        optimizer.zero_grad()
    return np.concatenate([p.ravel() for p in state(model)])


STRENGTH = 0.05


def test_l2_is_the_weight_decay_of_sgd_at_twice_the_strength():
    """Rounding differs: 3 steps of 10 roundings each, of numbers below 4, hardly amplified."""
    plain = trained(lambda p: SGD(p, 0.1))
    own = trained(lambda p: SGD(p, 0.1), L2(STRENGTH))
    decayed = trained(lambda p: SGD(p, 0.1, weight_decay=2 * STRENGTH))
    np.testing.assert_allclose(own, decayed, rtol=0, atol=1e-14)
    assert np.abs(own - plain).max() > 1e-3
    assert np.abs(own - trained(lambda p: SGD(p, 0.1, weight_decay=STRENGTH))).max() > 1e-3


def test_the_weight_decay_of_sgd_takes_in_biases_and_l2_only_when_asked():
    ends = {}
    for name, penalty, decay in (
        ("weights", L2(STRENGTH), 0),
        ("all", L2(STRENGTH, biases=True), 0),
        ("decay", None, 2 * STRENGTH),
    ):
        model = network()
        optimizer = SGD(model.parameters(), 0.1, weight_decay=decay)
        backward(model)
        if penalty:
            penalty(model)
            penalty.backward()
        optimizer.step()
        ends[name] = np.concatenate([p.ravel() for p in state(model)])
    np.testing.assert_allclose(ends["all"], ends["decay"], rtol=0, atol=1e-15)
    assert np.abs(ends["weights"] - ends["decay"]).max() > 1e-4


def test_l2_is_adams_weight_decay_and_not_that_of_adamw():
    own = trained(lambda p: Adam(p, 0.01), L2(STRENGTH))
    # Adam divides by √v, which is as small as 1e-4 of the largest here: 1e-14 may become 1e-10
    decayed = trained(lambda p: Adam(p, 0.01, weight_decay=2 * STRENGTH))
    np.testing.assert_allclose(own, decayed, rtol=0, atol=1e-10)
    decoupled = trained(lambda p: AdamW(p, 0.01, weight_decay=2 * STRENGTH))
    assert np.abs(own - decoupled).max() > 1e-3


def test_decoupled_decay_shrinks_each_weight_by_the_same_share():
    """One step of AdamW is Adam's own step and (1 - lr decay) w; with L2 that isn't so."""
    start = trained(lambda p: SGD(p, 0.1), steps=0)
    plain = trained(lambda p: Adam(p, 0.01), steps=1)
    decoupled = trained(lambda p: AdamW(p, 0.01, weight_decay=0.5), steps=1)
    np.testing.assert_allclose(decoupled, plain - 0.01 * 0.5 * start, rtol=0, atol=1e-15)
    own = trained(lambda p: Adam(p, 0.01), L2(0.25), steps=1)
    # Adam's first step has the size lr whatever the gradient, so the penalty turns signs at most
    assert np.abs(np.abs(own - start) - 0.01).max() < 1e-6


def test_for_plain_sgd_decoupled_and_l2_are_the_same():
    start = trained(lambda p: SGD(p, 0.1), steps=0)
    plain = trained(lambda p: SGD(p, 0.1), steps=1)
    own = trained(lambda p: SGD(p, 0.1), L2(STRENGTH), steps=1)
    np.testing.assert_allclose(own, plain - 0.1 * 2 * STRENGTH * start, rtol=0, atol=1e-15)


# ---- clipping ---------------------------------------------------------------------------------


def gradients(model):
    return np.concatenate([p.grad.ravel() for p in model.parameters()])


@both_devices
@pytest.mark.parametrize("norm_type", [1, 2, 3.5, 0.5, math.inf])
@pytest.mark.parametrize("share", [0.1, 0.999, 2.0])
def test_gradients_are_shrunk_to_the_norm(share, norm_type, device):
    model = network(device)
    backward(model)
    before = gradients(model)
    held = [p.grad for p in model.parameters()]
    copies = [array.copy() for array in held]
    norm = np.linalg.norm(before, norm_type)
    assert clip_grad_norm(model.parameters(), share * norm, norm_type) == pytest.approx(norm)
    for array, copied in zip(held, copies, strict=True):
        np.testing.assert_array_equal(array, copied, "a gradient was written to")
    after = gradients(model)
    if share > 1:
        np.testing.assert_array_equal(after, before)
    else:
        np.testing.assert_allclose(after, before * share * norm / (norm + 1e-6), rtol=1e-14)


@both_devices
def test_gradients_are_clipped_to_a_value(device):
    model = network(device)
    backward(model)
    before = gradients(model)
    limit = np.median(np.abs(before))
    clip_grad_value(model.parameters(), limit)
    np.testing.assert_array_equal(gradients(model), np.clip(before, -limit, limit))
    clip_grad_value(model[0].weight, limit / 2)
    assert np.abs(model[0].weight.grad).max() == limit / 2
    assert np.abs(gradients(model)).max() == limit


def test_what_has_no_gradient_is_passed_over():
    model = network()
    assert clip_grad_norm(model.parameters(), 1.0) == 0
    clip_grad_value(model.parameters(), 1.0)
    model[0].bias.grad = np.full(5, 2.0)
    assert clip_grad_norm(model.parameters(), 1.0) == pytest.approx(math.sqrt(20))
    assert model[0].weight.grad is None
    assert clip_grad_norm([], 1.0) == 0


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # infinity times 0
@pytest.mark.parametrize("norm_type", [1, 2, math.inf])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_norms_that_are_not_finite(value, norm_type):
    model = network()
    backward(model)
    model[2].weight.grad[0, 1] = value
    before = gradients(model)
    with pytest.raises(RuntimeError, match=f"the norm of the gradients is {value}"):
        clip_grad_norm(model.parameters(), 1.0, norm_type, error_if_nonfinite=True)
    np.testing.assert_array_equal(gradients(model), before)
    norm = clip_grad_norm(model.parameters(), 1.0, norm_type)
    assert math.isnan(norm) if math.isnan(value) else norm == math.inf
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(gradients(model), before * (value * 0 if norm != norm else 0))


def test_clipping_explains_what_it_cannot_take():
    model = network()
    with pytest.raises(TypeError, match=r"not the model: model\.parameters\(\)"):
        clip_grad_norm(model, 1.0)
    with pytest.raises(TypeError, match="gradients of Parameters can be clipped, got ndarray"):
        clip_grad_value([np.ones(3)], 1.0)
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match=f"max_norm must be above 0, got {wrong}"):
            clip_grad_norm(model.parameters(), wrong)
        with pytest.raises(ValueError, match=f"clip_value must be above 0, got {wrong}"):
            clip_grad_value(model.parameters(), wrong)
        with pytest.raises(ValueError, match=f"norm_type must be above 0, got {wrong}"):
            clip_grad_norm(model.parameters(), 1.0, wrong)


def test_torchs_names_are_there_too():
    assert numcnn.clip_grad_norm_ is clip_grad_norm
    assert numcnn.clip_grad_value_ is clip_grad_value


def test_the_norm_doesnt_depend_on_the_number_of_threads(threads):
    layer = Linear(150, 101)
    layer.weight.grad = np.random.default_rng(1).standard_normal((101, 150)).astype(np.float32)
    found = []
    for count in (1, 2, config.NUMBA_NUM_THREADS):
        threads(count)
        found.append([clip_grad_norm(layer.weight, 1e9, power) for power in (1, 2, 3, math.inf)])
        found[-1].append(L2(0.1)(layer))
    assert found[0] == found[1] == found[2]


# ---- fit --------------------------------------------------------------------------------------


def fitted(penalty=None, clip_norm=None, epochs=2, **options):
    x, y = batch(2, 20)
    model = network(options.pop("device", "cpu"))
    optimizer = SGD(model.parameters(), 0.1)
    history = model.fit(
        x, y, epochs, 8, optimizer=optimizer, penalty=penalty, clip_norm=clip_norm, verbose=False
    )
    return model, history


@both_devices
def test_fit_with_penalty_and_clipping_is_no_more_than_its_lines(device):
    model, history = fitted(L1(0.02), 0.3, device=device)
    x, y = batch(2, 20)
    other = network(device)
    loader = numcnn.DataLoader(x, y, 8, shuffle=True, seed=1)
    loss, penalty = numcnn.CrossEntropyLoss().to(device), L1(0.02)
    optimizer = SGD(other.parameters(), 0.1)
    epochs = []
    for _ in range(2):
        losses = penalties = 0.0
        for xb, yb in loader:
            losses += loss(other(xb), yb) * len(xb)
            other.backward(loss.backward())
            penalties += penalty(other) * len(xb)
            penalty.backward()
            assert clip_grad_norm(other.parameters(), 0.3) > 0.3, "nothing would be clipped"
            optimizer.step()
            optimizer.zero_grad()
        epochs.append((losses / 20, penalties / 20))
    for ours, theirs in zip(state(model), state(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert list(zip(history["loss"], history["penalty"], strict=True)) == epochs


class Doubled(L1):
    """A penalty of somebody who knows ``__call__`` and ``backward`` alone."""

    def __call__(self, model):
        return 2 * super().__call__(model)


def test_fit_asks_a_penalty_of_ones_own_for_its_value():
    (ours, one), (theirs, other) = fitted(L1(0.02)), fitted(Doubled(0.02))
    assert [2 * value for value in one["penalty"]] == other["penalty"]
    for a, b in zip(state(ours), state(theirs), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_penalty_the_history_has_none():
    _, history = fitted()
    with pytest.raises(KeyError, match="has no 'penalty'"):
        history["penalty"]


def test_penalties_make_weights_smaller_and_l1_makes_them_sparse():
    """A step pushes a weight by lr strength = 0.002: one that isn't needed is nearer to 0."""
    sizes, zeros = {}, {}
    for penalty in (None, L1(0.02), L2(0.02)):
        model, _ = fitted(penalty, epochs=150)
        weights = np.abs(np.concatenate([p.ravel() for p in state(model) if p.ndim == 2]))
        kind = type(penalty).__name__
        sizes[kind], zeros[kind] = weights.sum(), (weights <= 0.002).sum()
    assert sizes["L1"] < sizes["L2"] < sizes["NoneType"]
    assert zeros["NoneType"] <= zeros["L2"] < 5
    assert zeros["L1"] > 20


def test_the_first_layers_spared_gradient_is_no_obstacle():
    x, y = batch(2, 20)
    model = Sequential(Dropout(0.1), Linear(4, 3), seed=1)
    history = model.fit(x, y, penalty=L2(1e-3), clip_norm=1.0, verbose=False)
    assert history["penalty"][0] > 0


def test_fit_refuses_what_is_no_penalty_and_no_norm():
    x, y = batch()
    with pytest.raises(TypeError, match=r"penalty must be a Penalty such as L2\(1e-4\), got 0.1"):
        network().fit(x, y, penalty=0.1)
    for wrong in (0, -2.0, math.nan):
        with pytest.raises(ValueError, match=f"clip_norm must be above 0, got {wrong}"):
            network().fit(x, y, clip_norm=wrong)


def test_the_progress_shows_the_penalty():
    out = io.StringIO()
    progress = TrainingProgress(1, 1, console=Console(file=out, width=200))
    figures = {"loss": 0.5, "penalty": 0.25, "seconds": 1.0, "images_per_s": 10.0}
    with progress:
        progress.start_epoch(0)
        progress.end_epoch(0, figures)
    assert "loss 0.5000  penalty 0.2500  10 images/s" in out.getvalue()
