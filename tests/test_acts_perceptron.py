"""The perceptron rule: what it learns, within which bound, and what it can't."""

import itertools

import numpy as np
import pytest

from numcnn import SGD, Linear, PerceptronLoss, Sequential, ShapeError, Sigmoid, Step, gradcheck

pytestmark = pytest.mark.usefixtures("one_thread")
both_devices = pytest.mark.parametrize("device", ["cpu", "reference"])
conventions = pytest.mark.parametrize(("convention", "low"), [("signed", -1), ("binary", 0)])

CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}


def unit(inputs, device="cpu"):
    """Return a linear unit whose weights are all 0."""
    layer = Linear(inputs, 1, device=device, dtype="float64")
    layer.weight.data, layer.bias.data = np.zeros((1, inputs)), np.zeros(1)
    return layer


def one_pass(layer, loss, optimizer, x, t):
    """Show each example once; return how many were answered wrongly."""
    mistakes = 0
    for example, answer in zip(x, t, strict=True):
        loss(layer(example[None]), answer.reshape(1, 1))
        gradient = loss.backward()
        mistakes += bool(gradient.any())
        layer.backward(gradient)
        optimizer.step()
        optimizer.zero_grad()
    return mistakes


def separable(seed):
    """Return examples, answers ±1, and R² and γ of the examples with a 1 for the bias."""
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    x = rng.uniform(-2, 2, (60, 2))
    distance = np.c_[x, np.ones(60)] @ direction
    keep = np.abs(distance) > 0.15
    x, distance = x[keep], distance[keep]
    assert 5 < (distance > 0).sum() < len(x) - 5
    return x, np.sign(distance), (np.sum(x**2, axis=1) + 1).max(), np.abs(distance).min()


@conventions
@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_it_errs_no_more_often_than_novikoff_allows(seed, convention, low):
    x, t, r2, margin = separable(seed)
    layer, loss = unit(2), PerceptronLoss(convention=convention)
    optimizer = SGD(layer.parameters(), lr=0.5)
    answers = np.where(t > 0, 1.0, low)
    passes = [one_pass(layer, loss, optimizer, x, answers)]
    while passes[-1]:
        passes.append(one_pass(layer, loss, optimizer, x, answers))
        assert sum(passes) <= r2 / margin**2
    assert sum(passes) > 3, "the examples were too easy to show anything"
    np.testing.assert_array_equal(Step(convention)(layer(x))[:, 0], answers)


@both_devices
@conventions
def test_a_step_is_rosenblatts_rule(convention, low, device):
    """w += lr (t - y) x and b += lr (t - y), to the last bit: lr is a power of two."""
    rng = np.random.default_rng(3)
    layer = Linear(4, 3, device=device, dtype="float64")
    layer.reseed(1)
    loss = PerceptronLoss("sum", convention)
    loss.to(device)
    optimizer = SGD(layer.parameters(), lr=0.25)
    moved = 0
    for _ in range(8):
        x = rng.standard_normal((1, 4))
        t = rng.choice([1.0, low], (1, 3))
        weight, bias = layer.weight.data.copy(), layer.bias.data.copy()
        a = layer(x)
        y = np.where(a > 0, 1.0, low)
        assert loss(a, t) == pytest.approx(np.sum((y - t) * a), rel=1e-15)
        layer.backward(loss.backward())
        optimizer.step()
        optimizer.zero_grad()
        np.testing.assert_array_equal(layer.weight.data, weight + 0.25 * (t - y).T * x)
        np.testing.assert_array_equal(layer.bias.data, bias + 0.25 * (t - y)[0])
        moved += (t != y).sum()
    assert 0 < moved < 24


@pytest.mark.parametrize("name", ["and", "or"])
def test_it_learns_what_one_line_can_part(name):
    layer, loss = unit(2), PerceptronLoss(convention="binary")
    optimizer = SGD(layer.parameters(), lr=1.0)
    for _ in range(20):
        mistakes = one_pass(layer, loss, optimizer, CORNERS, np.array(TABLES[name], float))
    assert mistakes == 0
    assert Step("binary")(layer(CORNERS))[:, 0].tolist() == TABLES[name]


@conventions
def test_it_never_learns_xor(convention, low):
    layer, loss = unit(2, "reference"), PerceptronLoss(convention=convention).to("reference")
    optimizer = SGD(layer.parameters(), lr=1.0)
    answers = np.where(np.array(TABLES["xor"]) > 0, 1.0, low)
    mistakes, seen = [], set()
    for _ in range(60):
        mistakes.append(one_pass(layer, loss, optimizer, CORNERS, answers))
        state = (*layer.weight.data.ravel(), *layer.bias.data)
        right = (Step(convention)(layer(CORNERS))[:, 0] == answers).sum()
        assert right <= 3
        if state in seen:
            break  # from here on everything repeats itself, for ever
        seen.add(state)
    else:
        raise AssertionError("the weights of XOR should come back to where they were")
    assert min(mistakes) > 0


def test_fit_runs_the_rule_too():
    x, t, _, _ = separable(1)
    model = Sequential(Linear(2, 1), seed=1, dtype="float64")
    loss = PerceptronLoss()
    history = model.fit(
        x,
        t[:, None],
        epochs=60,
        batch_size=1,
        loss=loss,
        optimizer=SGD(model.parameters(), 0.5),
        verbose=False,
    )
    assert history["loss"][-1] == 0
    np.testing.assert_array_equal(Step()(model(x))[:, 0], t)


# ---- the loss ---------------------------------------------------------------------------------


@both_devices
@conventions
def test_the_loss_is_how_far_a_wrong_answer_lies_off(convention, low, device):
    a = np.array([[2.0, 2.0, -3.0], [-3.0, 0.0, 0.0]])
    t = np.array([[1.0, low, 1.0], [low, 1.0, low]])
    gap = 1 - low
    loss = PerceptronLoss("none", convention).to(device)
    np.testing.assert_array_equal(loss(a, t), [[0, 2 * gap, 3 * gap], [0, 0, 0]])
    np.testing.assert_array_equal(loss.backward(), [[0, gap, -gap], [0, -gap, 0]])
    loss = PerceptronLoss(convention=convention).to(device)
    assert loss(a, t) == pytest.approx(5 * gap / 6)
    np.testing.assert_allclose(loss.backward(), np.array([[0, gap, -gap], [0, -gap, 0]]) / 6)


@both_devices
@conventions
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_its_gradient_is_its_slope(reduction, convention, low, device):
    rng = np.random.default_rng(4)
    a = rng.permutation(np.arange(12) - 5.5).reshape(3, 4)  # none near the kink at 0
    t = rng.choice([1.0, low], (3, 4))
    loss = PerceptronLoss(reduction, convention).to(device)
    report = gradcheck(loss, a, t)
    assert report, report
    assert report["x"].verdict == "pass"


def test_it_shows_how_it_was_made():
    assert repr(PerceptronLoss()) == "PerceptronLoss()"
    own = PerceptronLoss("sum", "binary")
    assert repr(own) == "PerceptronLoss(reduction='sum', convention='binary')"


@pytest.mark.parametrize(
    ("arguments", "target", "words"),
    [
        ((), [[0.0]], r"targets -1 and 1, got 0; for these say convention='binary'"),
        (("mean", "binary"), [[-1.0]], r"targets 0 and 1, got -1; for these say .*'signed'"),
        ((), [[0.5]], r"targets -1 and 1, got 0.5$"),
        ((), [[np.nan]], r"targets -1 and 1, got nan$"),
    ],
)
def test_targets_that_are_no_answers_are_refused(arguments, target, words):
    with pytest.raises(ValueError, match=words):
        PerceptronLoss(*arguments)(np.ones((1, 1)), np.array(target))


def test_what_else_makes_no_sense_is_refused():
    with pytest.raises(ShapeError, match=r"one shape, got \(3, 1\) and \(3,\)"):
        PerceptronLoss()(np.ones((3, 1)), np.ones(3))
    with pytest.raises(ValueError, match=r"'signed' .*or 'binary' .*got 'on'"):
        PerceptronLoss(convention="on")
    with pytest.raises(ValueError, match="reduction must be one of"):
        PerceptronLoss("half_sum")


# ---- threshold units set by hand --------------------------------------------------------------


def threshold(weights, biases, convention="binary"):
    """Return a layer of threshold units with these weights."""
    weights = np.array(weights, np.float32)
    layer = Linear(weights.shape[1], weights.shape[0])
    layer.weight.data, layer.bias.data = weights, np.array(biases, np.float32)
    return [layer, Step(convention)]


@both_devices
@conventions
def test_and_or_and_not_are_single_units(convention, low, device):
    truths = {0: low, 1: 1}
    inputs = np.vectorize(truths.get)(CORNERS.astype(int)).astype(np.float64)
    # above 0 where the inputs add up to more than 3/2 (1/2) ones
    middle = {"binary": (-1.5, -0.5, 0.5), "signed": (-1, 1, 0)}[convention]
    for bias, name in zip(middle, ("and", "or"), strict=False):
        model = Sequential(*threshold([[1, 1]], [bias], convention), device=device)
        assert model(inputs)[:, 0].tolist() == [truths[y] for y in TABLES[name]]
    negation = Sequential(*threshold([[-1]], [middle[2]], convention), device=device)
    assert negation(np.array([[low], [1.0]])).ravel().tolist() == [1, low]


@both_devices
def test_two_layers_of_three_units_are_xor(device):
    """XOR is OR and not AND: two hidden units draw two lines, the third takes what is between."""
    model = Sequential(
        *threshold([[1, 1], [1, 1]], [-0.5, -1.5]), *threshold([[1, -1]], [-0.5]), device=device
    )
    assert model(CORNERS)[:, 0].tolist() == TABLES["xor"]


def test_no_single_unit_of_a_grid_is_xor():
    grid = np.linspace(-2, 2, 9)
    for w1, w2, b in itertools.product(grid, repeat=3):
        answers = (CORNERS @ [w1, w2] + b > 0).astype(int)
        assert answers.tolist() != TABLES["xor"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_network_of_sigmoids_learns_xor(seed):
    model = Sequential(Linear(2, 3), Sigmoid(), Linear(3, 1), Sigmoid(), seed=seed)
    y = np.array(TABLES["xor"], np.float32)[:, None]
    optimizer = SGD(model.parameters(), lr=2.0, momentum=0.9)
    model.fit(CORNERS, y, epochs=1500, batch_size=4, loss="mse", optimizer=optimizer, verbose=False)
    out = model(CORNERS)
    assert (np.abs(out - y) < 0.2).all(), out
