"""Every optimizer against PyTorch's: the same steps and the same training curves.

A training curve is the loss at every step, from the same weights, on the same batches, in
float64. Both engines compute the same numbers up to rounding, so the curves lie on each other
until rounding has grown visible; in 60 steps of so small a network it hasn't.
"""

import inspect

import numba
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; run tox -e oracle")

import numcnn  # noqa: E402

torch.set_num_threads(1)  # two pools of threads that wait for each other cost more than they give


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Thousands of tiny kernels: on a busy machine, threads that wait for each other cost most."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


STEPS = 60
SHAPES = [(4, 3, 2, 5), (1,), (300,)]

SGD = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "dampening": 0.3},
    {"momentum": 0.9, "dampening": 1.0},
    {"momentum": 0.9, "weight_decay": 0.01},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
    {"momentum": 0.99, "dampening": 0.2, "weight_decay": 0.05},
    {"weight_decay": 0.2},
    {"dampening": 0.5},  # without momentum it changes nothing
    {"lr": 0.0, "momentum": 0.9},
]
ADAM = [
    {},
    {"betas": (0.5, 0.9)},
    {"betas": (0.0, 0.99)},
    {"betas": (0.9, 0.0)},
    {"betas": (0.0, 0.0), "eps": 1e-2},
    {"eps": 1e-3},
    {"eps": 1e-30},
    {"weight_decay": 0.1},
    {"betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.01},
    {"lr": 0.0},
    {"amsgrad": True},
    {"betas": (0.5, 0.6), "amsgrad": True, "weight_decay": 0.1},
]
RMSPROP = [
    {},
    {"alpha": 0.5, "eps": 1e-3},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"centered": True, "eps": 0.1},
    {"centered": True, "eps": 0.1, "momentum": 0.5, "weight_decay": 0.01},
]
ADAGRAD = [
    {},
    {"lr_decay": 0.1},
    {"weight_decay": 0.1},
    {"initial_accumulator_value": 0.5, "eps": 1e-3},
]
ADADELTA = [{}, {"rho": 0.5}, {"eps": 1e-3}, {"weight_decay": 0.1}]
CASES = [
    *(("SGD", {"lr": 0.05} | a) for a in SGD),
    *(("Adam", {"lr": 0.02} | a) for a in ADAM),
    *(("AdamW", {"lr": 0.02} | a) for a in ADAM),
    *(("RMSprop", {"lr": 0.02} | a) for a in RMSPROP),
    *(("Adagrad", {"lr": 0.1} | a) for a in ADAGRAD),
    *(("Adadelta", {"lr": 20.0} | a) for a in ADADELTA),
]
each_optimizer = pytest.mark.parametrize(
    ("name", "arguments"), CASES, ids=[f"{name}-{arguments}" for name, arguments in CASES]
)


def parameters(dtype, seed=0):
    """Return the same parameters for both libraries."""
    rng = np.random.default_rng([1, seed])
    values = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    device = numcnn.get_device("cpu")
    ours = [
        numcnn.Parameter(v.shape, lambda rng, shape, v=v: v.copy(), device, dtype) for v in values
    ]
    return ours, [torch.nn.Parameter(torch.from_numpy(v.copy())) for v in values]


def set_gradients(rng, ours, theirs, skip=()):
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        gradient = rng.standard_normal(p.shape).astype(p.dtype)
        gradient *= np.asarray(10.0 ** rng.integers(-3, 2, p.shape), p.dtype)
        gradient[rng.random(p.shape) < 0.1] = 0
        p.grad, q.grad = (
            (None, None) if i in skip else (gradient, torch.from_numpy(gradient.copy()))
        )


def assert_equal_to(bound, ours, theirs, paths, step):
    for p, q, path in zip(ours, theirs, paths, strict=True):
        want = q.detach().numpy()
        path[...] = np.maximum(path, np.abs(want))
        off = np.abs(p.data.astype(np.float64) - want)
        assert p.data.dtype == want.dtype
        assert np.all(off <= bound * path), f"step {step}: off by {np.max(off / path):.3g}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_optimizer
def test_sixty_steps_on_the_same_gradients(name, arguments, dtype):
    """Relative to the largest value so far: 1e-12 in float64, 20 units a step in float32."""
    bound = {"float64": 1e-12, "float32": 20 * STEPS * np.finfo(np.float32).eps}[dtype]
    ours, theirs = parameters(dtype)
    optimizer = getattr(numcnn, name)(ours, **arguments)
    oracle = getattr(torch.optim, name)(theirs, **arguments)
    rng = np.random.default_rng(2)
    first = [p.data.copy() for p in ours]
    paths = [np.abs(values) for values in first]
    for step in range(STEPS):
        set_gradients(rng, ours, theirs)
        optimizer.step()
        oracle.step()
        assert_equal_to(bound, ours, theirs, paths, step)
    moved = max(np.max(np.abs(p.data - values)) for p, values in zip(ours, first, strict=True))
    assert (moved > 0.1) == (arguments["lr"] > 0)


@each_optimizer
def test_parameters_that_miss_some_steps(name, arguments):
    """No gradient, no step: each parameter counts its own, as in PyTorch. The rate changes too."""
    ours, theirs = parameters("float64")
    optimizer = getattr(numcnn, name)(ours, **arguments)
    oracle = getattr(torch.optim, name)(theirs, **arguments)
    rng = np.random.default_rng(3)
    paths = [np.abs(p.data) for p in ours]
    for step in range(15):
        if step == 9:
            optimizer.lr = oracle.param_groups[0]["lr"] = arguments["lr"] / 7
        set_gradients(rng, ours, theirs, {1: (0, 2), 4: (1,), 0: (2,)}.get(step % 6, ()))
        optimizer.step()
        oracle.step()
        assert_equal_to(1e-12, ours, theirs, paths, step)


@each_optimizer
def test_gradients_are_left_alone(name, arguments):
    """weight_decay and nesterov change the step, not the gradient that the user holds."""
    ours, theirs = parameters("float64")
    set_gradients(np.random.default_rng(4), ours, theirs)
    before = [p.grad.copy() for p in ours]
    getattr(numcnn, name)(ours, **arguments).step()
    for p, gradient in zip(ours, before, strict=True):
        np.testing.assert_array_equal(p.grad, gradient)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"lr": -0.1}),
        ("SGD", {"momentum": -0.1}),
        ("SGD", {"weight_decay": -0.1}),
        ("SGD", {"nesterov": True}),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"lr": -0.1}),
        ("Adam", {"betas": (1.0, 0.9)}),
        ("Adam", {"betas": (0.9, 1.0)}),
        ("Adam", {"betas": (-0.1, 0.9)}),
        ("Adam", {"eps": -1e-8}),
        ("Adam", {"weight_decay": -0.1}),
        ("AdamW", {"weight_decay": -0.1}),
        ("RMSprop", {"alpha": -0.1}),
        ("RMSprop", {"momentum": -0.1}),
        ("Adagrad", {"lr_decay": -0.1}),
        ("Adagrad", {"initial_accumulator_value": -0.1}),
        ("Adadelta", {"rho": 1.1}),
        ("Adadelta", {"eps": -1e-6}),
    ],
    ids=str,
)
def test_both_refuse(name, arguments):
    ours, theirs = parameters("float64")
    with pytest.raises(ValueError):
        getattr(torch.optim, name)(theirs, **arguments)
    with pytest.raises(ValueError):
        getattr(numcnn, name)(ours, **arguments)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_arguments_have_pytorchs_names_places_and_defaults(name):
    ours = inspect.signature(getattr(numcnn, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    assert list(ours) == list(theirs)[: len(ours)]
    for argument, parameter in ours.items():
        assert parameter.default == theirs[argument].default, argument


def test_every_optimizer_is_compared():
    """A new optimizer must come here too."""
    assert set(numcnn.optim.__all__) - {"Optimizer"} == {name for name, _ in CASES}


# ----------------------------------------------------------------------------- learning rates

CYCLES = [
    {},
    {"pct_start": 0.25, "anneal_strategy": "linear"},
    {"pct_start": 0.0},
    {"pct_start": 1.0},
    {"pct_start": 0.41, "div_factor": 10.0, "final_div_factor": 3.0},
]


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("total_steps", [2, 7, 30, 101])
@pytest.mark.parametrize("arguments", CYCLES, ids=str)
def test_one_cycle(arguments, total_steps):
    """The rate of every step, and an error after the last."""
    ours, theirs = parameters("float64")
    optimizer, oracle = numcnn.SGD(ours, lr=1), torch.optim.SGD(theirs, lr=1)
    arguments = {"max_lr": 0.3, "total_steps": total_steps} | arguments
    arguments |= {"cycle_momentum": False}
    scheduler = numcnn.OneCycleLR(optimizer, **arguments)
    oracle_scheduler = torch.optim.lr_scheduler.OneCycleLR(oracle, **arguments)
    for step in range(total_steps):
        want = oracle.param_groups[0]["lr"]
        assert optimizer.lr == pytest.approx(want, rel=1e-12), step
        if step < total_steps - 1:
            scheduler.step()
            oracle_scheduler.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("strategy", ["cos", "linear"])
@pytest.mark.parametrize(
    ("name", "own"), [("SGD", {"momentum": 0.9}), ("Adam", {}), ("RMSprop", {"momentum": 0.5})]
)
def test_one_cycle_moves_the_momentum_the_other_way(name, own, strategy):
    ours, theirs = parameters("float64")
    optimizer = getattr(numcnn, name)(ours, lr=1, **own)
    oracle = getattr(torch.optim, name)(theirs, lr=1, **own)
    places = (0.3, None, 3, 7, 0.4, strategy)
    scheduler = numcnn.OneCycleLR(optimizer, *places)
    oracle_scheduler = torch.optim.lr_scheduler.OneCycleLR(oracle, *places)
    seen = set()
    for _ in range(20):
        group = oracle.param_groups[0]
        want = group["betas"][0] if name == "Adam" else group["momentum"]
        got = optimizer.betas[0] if name == "Adam" else optimizer.momentum
        assert got == pytest.approx(want, rel=1e-12)
        assert scheduler.get_last_lr() == pytest.approx(oracle_scheduler.get_last_lr(), rel=1e-12)
        seen.add(got)
        scheduler.step()
        oracle_scheduler.step()
    assert len(seen) > 10


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("StepLR", {"step_size": 3}),
        ("StepLR", {"step_size": 1, "gamma": 0.7}),
        ("MultiStepLR", {"milestones": [4, 2, 2, 9]}),
        ("MultiStepLR", {"milestones": [5], "gamma": 0.5}),
        ("ExponentialLR", {"gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 10}),
        ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ],
    ids=str,
)
def test_schedules_that_count_steps(name, arguments):
    """The rate of 40 steps, which goes past the end of a cosine."""
    ours, theirs = parameters("float64")
    optimizer, oracle = numcnn.SGD(ours, lr=0.4), torch.optim.SGD(theirs, lr=0.4)
    scheduler = getattr(numcnn, name)(optimizer, **arguments)
    oracle_scheduler = getattr(torch.optim.lr_scheduler, name)(oracle, **arguments)
    rates = []
    for step in range(40):
        # PyTorch goes from rate to rate, and its cosine gathers rounding on the way
        want = oracle.param_groups[0]["lr"]
        assert optimizer.lr == pytest.approx(want, rel=1e-9, abs=1e-12), step
        rates.append(optimizer.lr)
        scheduler.step()
        oracle_scheduler.step()
    assert min(rates) < 0.3 < max(rates)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"patience": 2, "cooldown": 3},
        {"patience": 0, "factor": 0.5, "min_lr": 0.02},
        {"patience": 1, "threshold": 0.3},
        {"patience": 1, "threshold": 0.05, "threshold_mode": "abs"},
        {"patience": 0, "eps": 0.2},
    ],
    ids=str,
)
def test_reduce_on_plateau(mode, arguments):
    """A figure that gets better for a while, then wanders, also below 0."""
    ours, theirs = parameters("float64")
    optimizer, oracle = numcnn.SGD(ours, lr=0.4), torch.optim.SGD(theirs, lr=0.4)
    scheduler = numcnn.ReduceLROnPlateau(optimizer, mode, **arguments)
    oracle_scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(oracle, mode, **arguments)
    rng = np.random.default_rng(6)
    rates = []
    for step in range(80):
        figure = float(1 / (1 + min(step, 12)) + 0.1 * rng.standard_normal() - 0.2)
        scheduler.step(figure if mode == "min" else -figure)
        oracle_scheduler.step(figure if mode == "min" else -figure)
        assert optimizer.lr == oracle.param_groups[0]["lr"], step
        rates.append(optimizer.lr)
    assert rates[-1] < 0.4


@pytest.mark.parametrize(
    "name",
    ["StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "ReduceLROnPlateau"],
)
def test_schedules_have_pytorchs_arguments(name):
    ours = inspect.signature(getattr(numcnn, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert list(ours) == list(theirs)[: len(ours)]
    for argument, parameter in ours.items():
        assert parameter.default == theirs[argument].default, argument


@pytest.mark.parametrize("total_steps", [1, 10])
def test_one_cycle_that_begins_at_its_peak(total_steps):
    """``pct_start * total_steps == 1``: the rate is the peak at once.

    (PyTorch divides by 0 here; there is no oracle, only sense.)
    """
    ours, _ = parameters("float64")
    optimizer = numcnn.SGD(ours, lr=1)
    numcnn.OneCycleLR(optimizer, 0.3, total_steps, pct_start=1 / total_steps, cycle_momentum=False)
    assert optimizer.lr == 0.3


# ------------------------------------------------------------------------------- training curves


def small_net(library):
    """Return a network for the digits at half size, 14x14."""
    return library.Sequential(
        library.Conv2d(1, 6, 3, padding=1),
        library.ReLU(),
        library.MaxPool2d(2),
        library.Flatten(),
        library.Linear(6 * 7 * 7, 10),
    )


def lenet(library):
    """Return the zoo's LeNet, written out for PyTorch."""
    if library is numcnn:
        return numcnn.models.lenet(seed=1)
    return library.Sequential(
        library.Conv2d(1, 32, 3),
        library.ReLU(),
        library.Conv2d(32, 64, 3),
        library.MaxPool2d(2),
        library.ReLU(),
        library.Dropout2d(0.25),
        library.Flatten(),
        library.Linear(64 * 12 * 12, 128),
        library.ReLU(),
        library.Dropout(0.5),
        library.Linear(128, 10),
    )


def train_both(build, name, arguments, x, y, batch_size, steps):
    """Return the two loss curves and the largest difference between final weights."""
    model, module = build(numcnn).to("float64").eval(), build(torch.nn).double().eval()
    model.reseed(1)
    module.load_state_dict({k: torch.from_numpy(v) for k, v in model.state_dict().items()})
    loss, oracle_loss = numcnn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss()
    optimizer = getattr(numcnn, name)(model.parameters(), **arguments)
    oracle = getattr(torch.optim, name)(module.parameters(), **arguments)
    curves = [], []
    for step in range(steps):
        at = [(step * batch_size + i) % len(x) for i in range(batch_size)]
        curves[0].append(loss(model(x[at]), y[at]))
        model.zero_grad()
        model.backward(loss.backward())
        optimizer.step()

        value = oracle_loss(module(torch.from_numpy(x[at])), torch.from_numpy(y[at]))
        curves[1].append(value.item())
        oracle.zero_grad()
        value.backward()
        oracle.step()
    theirs = module.state_dict()
    weights = max(np.max(np.abs(v - theirs[k].numpy())) for k, v in model.state_dict().items())
    return *np.array(curves), weights


@pytest.fixture(scope="module")
def digits():
    """The first test digits, in another order so that every batch has many classes."""
    x, y = numcnn.data.digits(split="test")
    order = np.random.default_rng(5).permutation(len(x))[:640]
    return x[order].astype(np.float64), y[order]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"lr": 0.05, "momentum": 0.9}),
        ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3}),
        ("Adam", {"lr": 0.01}),
        ("AdamW", {"lr": 0.01, "amsgrad": True}),
        ("RMSprop", {"lr": 0.003, "momentum": 0.5, "centered": True, "eps": 1e-2}),
        ("Adagrad", {"lr": 0.05}),
        ("Adadelta", {}),
    ],
    ids=str,
)
def test_training_curve_of_a_small_network(name, arguments, digits):
    x, y = digits
    ours, theirs, weights = train_both(
        small_net, name, arguments, x[:, :, ::2, ::2], y, batch_size=32, steps=STEPS
    )
    assert np.max(np.abs(ours - theirs)) < 1e-7
    assert weights < 1e-7
    assert ours[-10:].mean() < 0.5 * ours[:3].mean(), "nothing was learned"


@pytest.mark.parametrize(
    ("name", "arguments"), [("SGD", {"lr": 0.05, "momentum": 0.9}), ("Adam", {})], ids=str
)
def test_training_curve_of_lenet(name, arguments, digits):
    """The zoo's network itself, 1.2 million weights; dropout is off, as in evaluation."""
    x, y = digits
    ours, theirs, weights = train_both(lenet, name, arguments, x[:8], y, batch_size=8, steps=5)
    assert np.max(np.abs(ours - theirs)) < 1e-7
    assert weights < 1e-7
    assert ours[-1] < ours[0], "nothing was learned"
