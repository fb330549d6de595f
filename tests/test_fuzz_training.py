"""Optimizers, losses and training with what doesn't fit: the right answer, or an explanation."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numcnn import Linear, Sequential, ShapeError, TooLargeError, losses, memory, optim
from numcnn.gradcheck_cases import CASES
from numcnn.layers import Layer

quick = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
LOSSES = [case for case in CASES if case.target is not None]
OPTIMIZERS = [getattr(optim, name) for name in optim.__all__ if name != "Optimizer"]
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS, ids=lambda make: make.__name__)
KINDS = ("f2", "f4", "f8", "i1", "u8", "?", "c8", "O", "U1", ">f4")


def drawn(seed, shape, kind, value):
    """Return an array of a type, with one number set to `value` where the type has it."""
    array = np.random.default_rng(seed).uniform(0.1, 0.9, shape)
    if array.size and kind in ("f2", "f4", "f8", ">f4"):
        array.flat[0] = value
    return array.astype(kind)


values = st.sampled_from([0.5, 0.0, -3.0, 1e4, np.nan, np.inf, -np.inf])
shapes = st.sampled_from([(4, 5), (4, 5), (4,), (5, 4), (0, 5), (), (4, 5, 1), (4, 1)])
targets = st.one_of(
    st.builds(drawn, st.integers(0, 9), shapes, st.sampled_from(KINDS), values),
    st.lists(st.integers(-200, 9), min_size=3, max_size=4).map(np.array),
    st.sampled_from([None, "labels", [[1], [2, 3]], 5, np.array([2**64 - 1] * 4, np.uint64)]),
)


@quick
@given(st.sampled_from(LOSSES), targets, st.sampled_from(KINDS), values, st.integers(0, 9))
def test_losses(case, target, kind, value, seed):
    """The compiled loss and the reference either both refuse, or agree."""
    pred = drawn(seed, (4, 5), kind, value)
    found = []
    for device in ("cpu", "reference"):
        loss = case.build().to(device)
        try:
            found.append(np.asarray(loss(pred, target), np.float64))
            gradient = loss.backward()
            assert gradient.shape == pred.shape
            found[-1] = np.append(found[-1], gradient)
        except (ValueError, TypeError) as error:
            assert len(str(error)) > 30
            found.append(str(error))
    if any(isinstance(each, str) for each in found):
        assert found[0] == found[1]
        return
    one, other = found
    assert np.array_equal(np.isnan(one), np.isnan(other))
    # tests/test_kernels_losses.py holds each of both to 16 eps of its terms, of which 20 are added
    scale = np.abs(other[np.isfinite(other)]).max(initial=1)
    with np.errstate(invalid="ignore"):
        near = np.abs(one - other) <= (2 * 16 + 20) * np.finfo(np.float32).eps * scale
    assert (near | (one == other) | np.isnan(one)).all(), (one, other)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
@pytest.mark.parametrize("upstream", ["a", np.ones(7), np.ones(3) * 1j, [[1], [2, 3]]], ids=str)
def test_a_loss_names_itself_where_the_upstream_gradient_doesnt_fit(case, upstream):
    rng = np.random.default_rng(0)
    loss = case.build()
    loss(case.x(rng, case.shape), case.target(rng, case.shape))
    with pytest.raises((ValueError, TypeError), match=type(loss).__name__):
        loss.backward(upstream)


def test_a_loss_that_is_one_number_takes_one_number_from_behind():
    loss = losses.MSELoss()
    loss(np.ones((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match=r"backward takes one number, got shape \(2, 3\)"):
        loss.backward(np.ones((2, 3)))
    np.testing.assert_allclose(loss.backward(np.array([3.0])), np.full((2, 3), 1.0))


def test_an_ignored_label_of_more_than_64_bits_is_refused():
    with pytest.raises(ValueError, match="ignore_index must fit into 64 bits"):
        losses.CrossEntropyLoss(ignore_index=2**70)


# ---- optimizers -----------------------------------------------------------------------------


def trained(make, gradient):
    """Return the weights after a step with this gradient."""
    layer = Linear(3, 2)
    layer.reseed(0)
    layer.weight.grad = gradient
    optimizer = make(list(layer.parameters()), lr=0.1)
    optimizer.step()
    return layer.weight.data


GRADIENT = np.arange(1, 7, dtype=np.float32).reshape(2, 3)
LAYOUTS = {
    "fortran": np.asfortranarray(GRADIENT),
    "negative strides": GRADIENT[::-1, ::-1].copy()[::-1, ::-1],
    "float64": GRADIENT.astype(np.float64),
    "float16": GRADIENT.astype(np.float16),
    "whole": GRADIENT.astype(np.int8),
    "big-endian": GRADIENT.astype(">f4"),
    "list": GRADIENT.tolist(),
}


@every_optimizer
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_gradient_may_lie_in_memory_as_it_likes(make, layout):
    np.testing.assert_array_equal(trained(make, LAYOUTS[layout]), trained(make, GRADIENT))


@pytest.mark.parametrize(
    ("gradient", "error", "text"),
    [
        (GRADIENT.T, ShapeError, r"shape \(2, 3\), the gradient \(3, 2\)"),
        (GRADIENT[0, 0], ShapeError, r"shape \(2, 3\), the gradient \(\)"),  # was read past its end
        (GRADIENT.reshape(6), ShapeError, r"the gradient \(6,\)"),
        (GRADIENT * 1j, TypeError, "gradient of Parameter.* must hold real numbers"),
        (
            GRADIENT.astype(object),
            TypeError,
            "must hold real numbers, got an array of dtype object",
        ),
        ("steep", TypeError, "must hold real numbers"),
        ([[1], [2, 3]], ValueError, "gradient of Parameter.* is no array of numbers"),
    ],
)
def test_a_gradient_of_another_shape_or_kind_is_refused(gradient, error, text):
    with pytest.raises(error, match=text):
        Linear(3, 2).weight.grad = gradient


@every_optimizer
@pytest.mark.parametrize("lr", [np.nan, np.inf, -1, 10**400])
def test_a_learning_rate_is_a_finite_number(make, lr):
    with pytest.raises(ValueError, match="lr must be"):
        make(list(Linear(3, 2).parameters()), lr=lr)


STATES = [None, [1], {}, {"steps": 1}, {5: 1}]
STATES += [{"steps": steps, "lr": 0.1} for steps in (-1, 1.5, "a", None)]
STATES += [{"steps": 1, "lr": lr} for lr in (np.nan, -1, np.inf, None, "a")]
STATES += [
    {"steps": 1, "lr": 0.1, key: value}
    for key, value in (("0.step", 2.5), ("0.step", "x"), ("9.step", 1), ("0.nope", 1), (7, 1))
]


@every_optimizer
@pytest.mark.parametrize("state", STATES, ids=str)
def test_a_state_that_is_none_changes_nothing(make, state):
    optimizer = make(list(Linear(3, 2).parameters()), lr=0.1)
    for parameter in optimizer.params:
        parameter.grad = np.ones(parameter.shape)
    optimizer.step()
    before = optimizer.state_dict()
    with pytest.raises((ValueError, TypeError)):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_array_equal(after[key], value)


# ---- training -------------------------------------------------------------------------------

X, Y = np.ones((4, 3), np.float32), np.array([0, 1, 0, 1])
DATA = {
    "fewer labels": (X, Y[:3]),
    "no labels": (X, None),
    "no data": (None, Y),
    "nothing": (X[:0], Y[:0]),
    "objects": (X.astype(object), Y),
    "complex": (X.astype(complex), Y),
    "dates": (X.astype("M8[s]"), Y),
    "labels out of range": (X, Y + 5),
    "labels below 0": (X, -Y),
    "labels as floats": (X, Y.astype(float)),
    "labels as bools": (X, Y.astype(bool)),
    "labels in a column": (X, Y[:, None]),
    "fewer features": (X[:, :2], Y),
    "words": ("a", "b"),
    "numbers": (5, 5),
    "masked": (np.ma.masked_array(X, X > 0), Y),
}


@pytest.mark.parametrize("data", DATA)
def test_data_that_dont_fit_are_refused_before_the_first_step(data):
    x, y = DATA[data]
    model = Sequential(Linear(3, 2), seed=0)
    before = model.state_dict()
    for use in (model.fit, model.evaluate):
        with pytest.raises((ValueError, TypeError)) as caught:
            use(x, y)
        assert len(str(caught.value)) > 20
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


@pytest.mark.parametrize("state", [None, [], "weights", 5], ids=str)
def test_weights_that_are_no_mapping(state):
    with pytest.raises(TypeError, match="weights come as a mapping of names to arrays"):
        Linear(3, 2).load_state_dict(state)


# ---- memory ---------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Have 1 GB be free, and every allocation of more a fault of the test."""
    monkeypatch.setattr(memory, "free", lambda: 10**9)


def test_what_a_network_needs_is_said_before_anything_is_allocated(small, monkeypatch):
    model = Sequential(Linear(3, 4), Linear(4, 2), Linear(2, 10**9), seed=0)
    text = (
        r"layer 2: Linear\(2, 1000000000\): a parameter of shape \(1000000000, 2\), "
        r"2,000,000,000 numbers, would take 8.0 GB of memory, and 1.0 GB are free here; make the "
        r"layer smaller. Layer 1 before it, Linear\(4, 2\), gives \(1, 2\)"
    )
    with pytest.raises(TooLargeError, match=text):
        model.predict(X[:1])
    assert not any(parameter.drawn for parameter in model.parameters())


def test_memory_that_the_system_refuses_is_no_memory_error(monkeypatch):
    layer = Linear(3, 2)

    def full(*arguments):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(layer, "_forward", full)
    with pytest.raises(TooLargeError, match=r"Linear\(3, 2\) found no memory .* \(4, 3\)"):
        layer(X)
    assert isinstance(layer, Layer)
