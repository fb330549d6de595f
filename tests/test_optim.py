"""Optimizers against their formulas in NumPy, and what they remember from step to step."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from numcnn import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    CrossEntropyLoss,
    Linear,
    ReLU,
    RMSprop,
    Sequential,
)
from numcnn.optim import Optimizer

pytestmark = pytest.mark.usefixtures("one_thread")
both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])
EPS = np.finfo(np.float64).eps
STEPS = 6
SHAPE = (4, 3)


def gradients():
    """Return a gradient per step, for weight and bias; the second step's bias has none."""
    rng = np.random.default_rng(1)
    each = [(rng.standard_normal(SHAPE), rng.standard_normal(SHAPE[0])) for _ in range(STEPS)]
    each[1] = (each[1][0], None)
    return each


def layer(device="cpu", dtype="float64"):
    made = Linear(SHAPE[1], SHAPE[0]).to(device, dtype)
    made.reseed(1)
    return made


def give(made, grads):
    for parameter, grad in zip((made.weight, made.bias), grads, strict=True):
        parameter.grad = None if grad is None else np.ascontiguousarray(grad, parameter.dtype)


def plain_sgd(param, grads, lr, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    """Return the parameter after all steps: the formulas of Polyak and Nesterov, as torch's."""
    velocity = None
    for grad in grads:
        if grad is None:
            continue
        g = grad + weight_decay * param
        if momentum:
            first = velocity is None
            velocity = g.copy() if first else momentum * velocity + (1 - dampening) * g
            g = g + momentum * velocity if nesterov else velocity
        param = param - lr * g
    return param


def plain_adam(param, grads, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0):
    """Return the parameter after all steps: Algorithm 1 of Kingma and Ba."""
    m, v, t = np.zeros_like(param), np.zeros_like(param), 0
    for grad in grads:
        if grad is None:
            continue
        t += 1
        g = grad + weight_decay * param
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        param = param - lr * m_hat / (np.sqrt(v_hat) + eps)
    return param


def plain_adamw(param, grads, lr, weight_decay=1e-2, amsgrad=False):
    """Return the parameter after all steps: Loshchilov and Hutter; Reddi, Kale and Kumar."""
    m, v, largest, t = 0, 0, 0, 0
    for grad in grads:
        if grad is None:
            continue
        t += 1
        param = param * (1 - lr * weight_decay)
        m, v = 0.9 * m + 0.1 * grad, 0.999 * v + 0.001 * grad**2
        largest = np.maximum(largest, v) if amsgrad else v
        param = param - lr * (m / (1 - 0.9**t)) / (np.sqrt(largest / (1 - 0.999**t)) + 1e-8)
    return param


def plain_rmsprop(param, grads, lr, alpha=0.99, weight_decay=0, momentum=0, centered=False):
    """Return the parameter after all steps: Tieleman and Hinton; Graves."""
    v, m, velocity = 0, 0, 0
    for grad in grads:
        if grad is None:
            continue
        g = grad + weight_decay * param
        v, m = alpha * v + (1 - alpha) * g**2, alpha * m + (1 - alpha) * g
        velocity = momentum * velocity + g / (np.sqrt(v - m**2 if centered else v) + 1e-8)
        param = param - lr * velocity
    return param


def plain_adagrad(param, grads, lr, lr_decay=0, weight_decay=0, initial_accumulator_value=0):
    """Return the parameter after all steps: Duchi, Hazan and Singer."""
    total, t = initial_accumulator_value, 0
    for grad in grads:
        if grad is None:
            continue
        g = grad + weight_decay * param
        total = total + g**2
        param = param - lr / (1 + t * lr_decay) * g / (np.sqrt(total) + 1e-10)
        t += 1
    return param


def plain_adadelta(param, grads, lr, rho=0.9, eps=1e-6, weight_decay=0):
    """Return the parameter after all steps: Zeiler's Algorithm 1."""
    square, moved = 0, 0
    for grad in grads:
        if grad is None:
            continue
        g = grad + weight_decay * param
        square = rho * square + (1 - rho) * g**2
        delta = np.sqrt(moved + eps) / np.sqrt(square + eps) * g
        moved = rho * moved + (1 - rho) * delta**2
        param = param - lr * delta
    return param


def sgd_options():
    for m, d, w, n in itertools.product((0.0, 0.9), (0.0, 0.5), (0.0, 0.1), (False, True)):
        if not n or (m and not d):
            options = {"momentum": m, "dampening": d, "weight_decay": w, "nesterov": n}
            yield pytest.param(options, id="-".join(k for k, v in options.items() if v) or "plain")


def check(make, plain, options, device):
    made = layer(device)
    start = [made.weight.data.copy(), made.bias.data.copy()]
    optimizer = make(made.parameters(), **options)
    for grads in gradients():
        give(made, grads)
        optimizer.step()
    for k, parameter in enumerate((made.weight, made.bias)):
        expected = plain(start[k], [grads[k] for grads in gradients()], **options)
        # Numbers below 10; a dozen roundings per step.
        bound = STEPS * 12 * EPS * 10
        np.testing.assert_allclose(parameter.data, expected, rtol=0, atol=bound)
        assert np.abs(expected - start[k]).max() > 1e-2


@both_devices
@pytest.mark.parametrize("options", list(sgd_options()))
def test_sgd_follows_its_formula(options, device):
    check(SGD, plain_sgd, options | {"lr": 0.05}, device)


@both_devices
@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.1}, {"betas": (0.5, 0.8)}, {"eps": 0.1}, {"betas": (0.0, 0.0)}],
    ids=str,
)
def test_adam_follows_its_formula(options, device):
    check(Adam, plain_adam, options | {"lr": 0.05}, device)


@both_devices
@pytest.mark.parametrize(
    ("make", "plain", "options"),
    [
        (AdamW, plain_adamw, {"lr": 0.05}),
        (AdamW, plain_adamw, {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
        (RMSprop, plain_rmsprop, {"lr": 0.01}),
        (RMSprop, plain_rmsprop, {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}),
        (RMSprop, plain_rmsprop, {"lr": 0.01, "centered": True, "alpha": 0.5}),
        (Adagrad, plain_adagrad, {"lr": 0.1}),
        (Adagrad, plain_adagrad, {"lr": 0.1, "lr_decay": 0.3, "weight_decay": 0.1}),
        (Adagrad, plain_adagrad, {"lr": 0.1, "initial_accumulator_value": 0.5}),
        (Adadelta, plain_adadelta, {"lr": 20.0}),
        (Adadelta, plain_adadelta, {"lr": 1.0, "rho": 0.5, "eps": 1e-2, "weight_decay": 0.1}),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else value.__name__,
)
def test_the_others_follow_their_formulas(make, plain, options, device):
    check(make, plain, options, device)


def test_the_options_of_sgd_all_matter():
    # The comparison above would not notice an option that both sides ignore.
    grads = [grads[0] for grads in gradients()]
    found = {
        plain_sgd(np.ones(SHAPE), grads, lr=0.05, **param.values[0]).tobytes()
        for param in sgd_options()
    }
    assert len(list(sgd_options())) == 10
    assert len(found) == 8  # dampening without momentum does nothing, twice


@both_devices
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adams_first_step_moves_lr_times_the_sign(device, dtype):
    made = layer(device, dtype)
    before = made.weight.data.astype(np.float64)
    grads = np.array([[1e-3, -1e-3, 7.0], [-7, 1e3, -1e3], [1e-8, -1e-8, 0], [2, 3, 4]])
    give(made, (grads, None))
    Adam(made.parameters(), lr=0.01, eps=1e-8).step()
    expected = 0.01 * grads / (np.abs(grads) + 1e-8)
    # the parameter, below 1, is rounded once; the step goes through ten operations
    eps = np.finfo(dtype).eps
    bound = eps * np.abs(before) + 20 * eps * np.abs(expected)
    assert (np.abs(before - made.weight.data - expected) <= bound).all()
    assert made.weight.data[2, 2] == before[2, 2]


@both_devices
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda p: SGD(p, 0.1), id="sgd"),
        pytest.param(lambda p: SGD(p, 0.1, 0.9, 0.2, 0.01), id="sgd-momentum"),
        pytest.param(lambda p: Adam(p, 0.1, weight_decay=0.01), id="adam"),
        pytest.param(lambda p: AdamW(p, 0.1, amsgrad=True), id="adamw"),
        pytest.param(lambda p: RMSprop(p, 0.1, momentum=0.5, centered=True), id="rmsprop"),
        pytest.param(lambda p: Adagrad(p, 0.1, initial_accumulator_value=0.1), id="adagrad"),
        pytest.param(lambda p: Adadelta(p), id="adadelta"),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_restored_optimizer_goes_on_bit_by_bit(make, device, dtype):
    straight, resumed = layer(device, dtype), layer(device, dtype)
    one, other = make(straight.parameters()), make(resumed.parameters())
    all_grads = gradients()
    for grads in all_grads[:3]:
        give(straight, grads)
        one.step()
        give(resumed, grads)
        other.step()
    one.lr = 0.03
    state = one.state_dict()
    fresh = make(resumed.parameters())
    fresh.load_state_dict(state)
    for key, value in state.items():
        if isinstance(value, np.ndarray):
            value[...] = np.nan  # the optimizer has its own copy
        assert key in fresh.state_dict()
    assert fresh.lr == 0.03
    assert fresh.steps == 3
    for grads in all_grads[3:]:
        give(straight, grads)
        one.step()
        give(resumed, grads)
        fresh.step()
    for p, q in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert np.isfinite(p.data).all()
        np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize("take", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_made_between_steps_goes_on_with_its_own_arrays(take):
    made = layer()
    pair = made, Adam(made.parameters(), 0.1)
    all_grads = gradients()
    give(made, all_grads[0])
    pair[1].step()
    copied, optimizer = take(pair)
    for grads in all_grads[2:]:
        give(made, grads)
        pair[1].step()
    kept = copied.weight.data.copy()
    assert (kept != made.weight.data).any()
    for grads in all_grads[2:]:
        give(copied, grads)
        optimizer.step()
    np.testing.assert_array_equal(copied.weight.data, made.weight.data)


def test_values_assigned_between_steps_are_the_ones_that_move():
    made = layer()
    optimizer = SGD(made.parameters(), lr=0.5)
    give(made, (np.ones(SHAPE), None))
    optimizer.step()
    before = made.weight.data
    old = before.copy()
    made.weight.data = np.full(SHAPE, 7.0)
    optimizer.step()
    np.testing.assert_array_equal(made.weight.data, np.full(SHAPE, 6.5))
    np.testing.assert_array_equal(before, old, "what was replaced was written to")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"2.mean": np.zeros(3)}, ValueError, id="a-third-parameter"),
        pytest.param({"0.velocity": np.zeros(SHAPE)}, ValueError, id="another-slot"),
        pytest.param({"1.mean": np.zeros(SHAPE)}, ValueError, id="another-shape"),
        pytest.param({"1.step": -1}, ValueError, id="negative-step"),
        pytest.param({"lr": None}, (TypeError, KeyError, ValueError), id="no-lr"),
        pytest.param({"steps": None}, (TypeError, KeyError, ValueError), id="no-steps"),
    ],
)
def test_a_state_that_doesnt_fit_changes_nothing(change, error):
    made, other = layer(), layer()
    optimizer, source = Adam(made.parameters(), 0.1), Adam(other.parameters(), 0.2)
    for grads in gradients()[:2]:
        give(other, grads)
        source.step()
    state = source.state_dict() | change
    state = {name: value for name, value in state.items() if value is not None}
    before = optimizer.state_dict()
    with pytest.raises(error):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == before
    assert optimizer.lr == 0.1


def test_a_parameter_without_a_gradient_stays_where_it_is():
    made = layer()
    weight, bias = made.weight.data.copy(), made.bias.data.copy()
    optimizer = Adam(made.parameters(), 0.1)
    give(made, (np.ones(SHAPE), None))
    optimizer.step()
    assert (made.weight.data != weight).all()
    np.testing.assert_array_equal(made.bias.data, bias)
    # its first own step is a first step: bias correction counts per parameter
    give(made, (None, np.ones(SHAPE[0])))
    optimizer.step()
    np.testing.assert_allclose(bias - made.bias.data, 0.1, rtol=1e-7)


@pytest.mark.parametrize("make", [SGD, Adam])
def test_zero_grad_forgets_and_the_gradient_is_left_alone_by_step(make):
    made = layer()
    optimizer = make(made.parameters(), 0.1)
    grads = gradients()[0]
    give(made, grads)
    held = made.weight.grad
    optimizer.step()
    np.testing.assert_array_equal(held, grads[0])
    optimizer.zero_grad()
    assert made.weight.grad is None
    assert made.bias.grad is None
    np.testing.assert_array_equal(held, grads[0])


@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_step_before_a_gradient_is_refused_and_not_counted(make):
    made = layer()
    optimizer = make(made.parameters(), 0.1)
    with pytest.raises(RuntimeError, match=r"call model.backward\(loss.backward\(\)\) before step"):
        optimizer.step()
    assert optimizer.steps == 0


def test_the_learning_rate_may_change_between_steps():
    made = layer()
    optimizer = SGD(made.parameters(), 0.5)
    before = made.weight.data.copy()
    give(made, (np.ones(SHAPE), None))
    optimizer.step()
    optimizer.lr = 0.25
    optimizer.step()
    np.testing.assert_allclose(before - made.weight.data, 0.75, rtol=4 * EPS)


def test_weight_decay_is_the_gradient_of_a_penalty():
    # lambda sum W² has the gradient 2 lambda W: weight_decay is 2 lambda.
    made = layer()
    before = made.weight.data.copy()
    give(made, (np.zeros(SHAPE), None))
    SGD(made.parameters(), lr=0.1, weight_decay=2 * 0.05).step()
    np.testing.assert_allclose(made.weight.data, before - 0.1 * 2 * 0.05 * before, rtol=4 * EPS)


@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_step_goes_downhill(make):
    model = Sequential(Linear(3, 8), ReLU(), Linear(8, 2), dtype="float64", seed=1)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((20, 3)), rng.integers(0, 2, 20)
    loss, optimizer = CrossEntropyLoss(), make(model.parameters(), 0.02)
    values = []
    for _ in range(20):
        values.append(loss(model(x), y))
        model.backward(loss.backward())
        optimizer.step()
        optimizer.zero_grad()
    assert all(later < earlier for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: SGD(p, -0.1), ValueError, "lr must be 0 or more, got -0.1"),
        (lambda p: SGD(p, float("nan")), ValueError, "lr must be 0 or more"),
        (lambda p: SGD(p, 0.1, momentum=-1), ValueError, "momentum must be 0 or more"),
        (lambda p: SGD(p, 0.1, weight_decay=-1), ValueError, "weight_decay must be 0 or more"),
        (lambda p: SGD(p, 0.1, nesterov=True), ValueError, "nesterov=True needs a momentum"),
        (lambda p: SGD(p, 0.1, 0.9, 0.1, nesterov=True), ValueError, "dampening=0"),
        (lambda p: Adam(p, 0.1, betas=(0.9, 1.0)), ValueError, r"betas\[1\] must be .* below 1"),
        (lambda p: Adam(p, 0.1, eps=-1), ValueError, "eps must be 0 or more"),
        (lambda p: SGD([], 0.1), ValueError, "no parameters"),
        (lambda p: SGD([q.data for q in p], 0.1), TypeError, "takes Parameters, got ndarray"),
        (lambda p: SGD(layer(), 0.1), TypeError, r"model.parameters\(\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arguments_that_make_no_optimizer(make, error, words):
    with pytest.raises(error, match=words):
        make(list(layer().parameters()))


def test_an_optimizer_of_ones_own_must_say_how():
    made = layer()
    give(made, (np.ones(SHAPE), None))
    with pytest.raises(TypeError, match="Optimizer must define _numbers"):
        Optimizer(made.parameters(), 0.1).step()
