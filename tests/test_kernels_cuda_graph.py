"""Training steps that are written down once and repeated: the same bits, or a reason why not.

In the simulator the launches are repeated one by one with the arguments that were written down, so
what comes out right here takes no number from its arguments that another step has differently. What
the driver is asked to make a graph is shown with a driver that only notes its calls.
"""

import re
import threading
import types

import numpy as np
import pytest
from checks_cuda import random

from numcnn import (
    L1,
    L2,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm1d,
    BatchNorm2d,
    BCELoss,
    BCEWithLogitsLoss,
    Callback,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    LeakyReLU,
    Linear,
    MaxPool2d,
    MSELoss,
    OneCycleLR,
    PerceptronLoss,
    PReLU,
    ReLU,
    RMSprop,
    Sequential,
)
from numcnn.device import get_device
from numcnn.evaluation import Tally
from numcnn.kernels.cuda import _cuda, _graph, _memory, _recording, _tape, scale
from numcnn.layers import Layer
from numcnn.training_state import Movers
from numcnn.training_step import MOST_SHAPES, Steps

DEVICE = get_device("cuda")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let the simulator's threads be few."""
    if _cuda.SIMULATED:
        monkeypatch.setattr(_cuda, "THREADS_PER_BLOCK", 8)


@pytest.fixture
def stages(monkeypatch):
    """Note how each step was taken: "eager", "written" (taken so, too) or "repeated"."""
    found = []

    def noting(name, stage):
        method = getattr(Steps, name)

        def noted(self, *args):
            if _recording.tape() is None:
                found.append(stage)
            return method(self, *args)

        monkeypatch.setattr(Steps, name, noted)

    noting("_eager", "eager")
    noting("_write_down", "written")
    return found


X = random(np.float32, 5, 2, 4, 3)
Y = np.array([0, 1, 2, -100, 1])  # one counts for nothing, so batches differ in what they divide by
OPTIMIZERS = {
    "adam": lambda p: Adam(p, lr=0.01),
    "sgd": lambda p: SGD(p, lr=0.05, momentum=0.9, dampening=0.1),
}


def pictures():
    return Sequential(
        Conv2d(2, 3, 3, padding=1, bias=False),
        BatchNorm2d(3),
        ReLU(),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.3),
        Linear(6, 3),
        device="cuda",
        seed=1,
    )


ROWS = random(np.float32, 10, 4)
CLASSES = np.arange(10) % 3


def momentum(parameters):
    return SGD(parameters, lr=0.05, momentum=0.9)


def dense(*between, out=3):
    return Sequential(Linear(4, 5), *(between or (ReLU(),)), Linear(5, out), device="cuda", seed=2)


def train(monkeypatch, graphs, make, x, y, optimizer=OPTIMIZERS["adam"], epochs=4, **options):
    """Return (network, optimizer, history) of a training with or without repeated steps."""
    monkeypatch.setattr(DEVICE, "graphs", graphs)
    model, made = make(), []

    def keep(parameters):
        made.append(optimizer(parameters))
        return made[0]

    options = {"batch_size": 4, "verbose": False, "epochs": epochs, **options}
    callbacks = [each() for each in options.pop("callbacks", ())]
    history = model.fit(x, y, optimizer=keep, callbacks=callbacks, **options)
    return model, made[0], history


def assert_same(one, other):
    for a, b in zip(one[:2], other[:2], strict=True):
        a, b = a.state_dict(), b.state_dict()
        assert a.keys() == b.keys()
        for key, values in a.items():
            np.testing.assert_array_equal(values, b[key], key)
    assert one[2].batch_losses == other[2].batch_losses
    for figure in ("loss", "lr", "accuracy", "penalty"):
        if figure in one[2].epochs[0]:
            assert one[2][figure] == other[2][figure]


# ------------------------------------------------------------------------------------ the same bits


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_repeated_steps_give_the_same_bits(name, monkeypatch, stages):
    options = {
        "epochs": 3,
        "batch_size": 3,  # and a last one of 2
        "loss": CrossEntropyLoss(),
        "scheduler": lambda optimizer, steps: OneCycleLR(optimizer, 0.05, steps),
        "validation_data": (X[:2], Y[:2]),
    }
    eager = train(monkeypatch, False, pictures, X, Y, OPTIMIZERS[name], **options)
    assert stages == ["eager"] * 6
    stages.clear()
    repeated = train(monkeypatch, True, pictures, X, Y, OPTIMIZERS[name], **options)
    assert stages == ["eager", "eager", "written", "written"]  # each shape once, of 6 steps
    assert_same(eager, repeated)
    assert eager[2].eager_because == "graphs are switched off (get_device('cuda').graphs)"
    assert repeated[2].eager_because is None
    for one, other in zip(eager[0].layers(), repeated[0].layers(), strict=True):
        assert getattr(one, "calls", None) == getattr(other, "calls", None)
    assert repeated[0][5].calls == 6
    assert repeated[0][1].num_batches_tracked == 6
    assert repeated[1].steps == 6
    assert repeated[0].input_shape == eager[0].input_shape


TARGETS = random(np.float32, 10, 3, seed=3)
SHARES = np.abs(TARGETS) / np.abs(TARGETS).sum(axis=1, keepdims=True)
ANSWERS = (TARGETS > 0).astype(np.float32)


@pytest.mark.parametrize(
    ("loss", "target", "optimizer"),
    [
        pytest.param(MSELoss(), TARGETS, lambda p: AdamW(p, 0.01, amsgrad=True), id="numbers"),
        pytest.param(CrossEntropyLoss(), SHARES, lambda p: RMSprop(p, 0.01), id="probabilities"),
        pytest.param(BCEWithLogitsLoss(reduction="sum"), ANSWERS, Adagrad, id="sum"),
        pytest.param(
            CrossEntropyLoss(np.array([1, 2, 0.5])), CLASSES, Adadelta, id="weights of classes"
        ),
    ],
)
def test_every_loss_and_optimizer(loss, target, optimizer, monkeypatch, stages):
    eager = train(monkeypatch, False, dense, ROWS, target, optimizer, epochs=3, loss=loss)
    stages.clear()
    repeated = train(monkeypatch, True, dense, ROWS, target, optimizer, epochs=3, loss=loss)
    assert repeated[2].eager_because is None
    assert stages == ["eager", "written", "eager", "written"]
    assert_same(eager, repeated)


PULLS = {
    "penalty": {"penalty": L1(0.02)},
    "clip_norm": {"clip_norm": 0.2},
    "both": {"penalty": L2(0.1, biases=True), "clip_norm": 0.5},
    "no weights": {"penalty": L2(0.1), "make": lambda: Sequential(PReLU(), device="cuda", seed=3)},
}


@pytest.mark.parametrize("name", PULLS)
def test_penalties_and_clipping(name, monkeypatch, stages):
    options = {"make": dense, "x": ROWS, "y": CLASSES, "batch_size": 5, **PULLS[name]}
    options |= {"optimizer": momentum, "epochs": 2}
    if name == "no weights":
        options |= {"y": ROWS, "loss": MSELoss()}
    eager = train(monkeypatch, False, **options)
    stages.clear()
    repeated = train(monkeypatch, True, **options)
    assert repeated[2].eager_because is None
    assert stages == ["eager", "written"]
    assert_same(eager, repeated)
    plain = train(monkeypatch, False, **(options | {"penalty": None, "clip_norm": None}))
    assert (plain[2].batch_losses != repeated[2].batch_losses) == (name != "no weights")
    if "penalty" in options:
        assert (repeated[2]["penalty"][1] > 0) == (name != "no weights")


class Change(Callback):
    """Does something to the network behind one of the steps."""

    def on_train_begin(self, model):
        self.model, self.step = model, 0

    def on_batch_end(self, batch, figures):
        self.step += 1
        if self.step == 4:
            self.change()


class Rate(Change):
    def change(self):
        self.model[1].p = 0.6


class Mode(Change):
    def change(self):
        self.model[1].eval()


class Values(Change):
    def change(self):
        self.model[0].weight.data = np.full((5, 4), 0.1, np.float32)


class Loaded(Change):
    def change(self):
        state = self.model.state_dict()
        self.model.load_state_dict({key: values * 0.5 for key, values in state.items()})


class Drawn(Change):
    def change(self):
        self.model[1].reseed(9)


PENALTY = L2(0.1)


class Strength(Change):
    def change(self):
        PENALTY.strength *= 0.25


class Functions(Change):
    def change(self):
        forward = self.model[1]._forward
        self.model[1]._forward = lambda x: forward(forward(x))


_unchanged = {}  # losses where nothing changes, which is the same for most


@pytest.mark.parametrize("change", [Rate, Mode, Values, Loaded, Drawn, Strength, Functions])
def test_what_changes_on_the_way_is_noticed(change, monkeypatch, stages):
    def make():
        PENALTY.strength = 0.1
        return dense(Dropout(0.2), LeakyReLU())

    penalty = PENALTY if change is Strength else None
    options = {"epochs": 4, "batch_size": 5, "penalty": penalty}
    if penalty not in _unchanged:
        found = train(monkeypatch, False, make, ROWS, CLASSES, **options)
        _unchanged[penalty] = found[2].batch_losses
    options["callbacks"] = [change]
    eager = train(monkeypatch, False, make, ROWS, CLASSES, **options)
    assert eager[2].batch_losses[:4] == _unchanged[penalty][:4]
    assert eager[2].batch_losses[4:] != _unchanged[penalty][4:]
    stages.clear()
    repeated = train(monkeypatch, True, make, ROWS, CLASSES, **options)
    assert stages[:2] == ["eager", "written"]
    assert_same(eager, repeated)


def test_more_shapes_than_are_kept(monkeypatch, stages):
    monkeypatch.setattr(DEVICE, "graphs", True)
    model, loss = dense(), CrossEntropyLoss().to("cuda")
    steps = Steps(model, loss, Movers(SGD(model.parameters(), 0.1)))
    for size in [*range(1, MOST_SHAPES + 2)] * 2:
        tally = Tally(model, loss)
        steps.take(tally, DEVICE.to_device(ROWS[:size]), CLASSES[:size])
        assert np.isfinite(tally.finish())
    steps.close()
    assert steps.eager_because is None
    assert stages == ["eager"] * (MOST_SHAPES + 1) + ["written"] * MOST_SHAPES + ["eager"]


def test_labels_that_cant_be_meant_are_refused_and_nothing_moves(monkeypatch):
    monkeypatch.setattr(DEVICE, "graphs", True)
    model, loss = dense(), CrossEntropyLoss().to("cuda")
    steps = Steps(model, loss, Movers(Adam(model.parameters())))
    x = DEVICE.to_device(ROWS[:4])
    for _ in range(3):
        steps.take(tally := Tally(model, loss), x, CLASSES[:4])
        tally.finish()
    before = model.state_dict()
    with pytest.raises(ValueError, match="label"):
        steps.take(Tally(model, loss), x, np.array([0, 1, 2, 3]))
    assert steps.movers.optimizer.steps == 3
    for key, values in model.state_dict().items():
        np.testing.assert_array_equal(values, before[key])


# ---------------------------------------------------------------------------------- reasons why not


class OwnLayer(Layer):
    def _forward(self, x):
        self.save_for_backward()
        return x

    def _backward(self, dy):
        return dy


class OwnLoss(MSELoss):
    pass


class OwnOptimizer(SGD):
    pass


class OwnPenalty(L2):
    def __call__(self, model):
        return 2 * super().__call__(model)


def penalty_of_somebody():
    penalty = L2(0.1)
    penalty.backward = lambda: None
    return penalty


def taken_by_somebody():
    model = dense()
    relu = model[1]
    forward = relu._forward
    relu._forward = lambda x: forward(x)
    return model


REASONS = {
    "noise": ({"make": lambda: dense(GaussianNoise(0.1))}, "GaussianNoise.*: its noise is drawn"),
    "factors": ({"make": lambda: dense(GaussianDropout(0.1))}, "its factors are drawn"),
    "mean": ({"make": lambda: dense(BatchNorm1d(5, momentum=None))}, "with momentum=None"),
    "answers": ({"loss": PerceptronLoss(), "y": ANSWERS * 2 - 1}, "its targets are checked"),
    "weights": ({"loss": BCEWithLogitsLoss(np.ones(3)), "y": ANSWERS}, "weights are brought"),
    "own layer": ({"make": lambda: dense(OwnLayer())}, "OwnLayer is a class of your own"),
    "own loss": ({"loss": OwnLoss(), "y": TARGETS}, "OwnLoss is a class of your own"),
    "own optimizer": ({"optimizer": lambda p: OwnOptimizer(p, 0.1)}, "OwnOptimizer is a class"),
    "own penalty": ({"penalty": OwnPenalty(0.1)}, "OwnPenalty is a class of your own"),
    "own gradient": ({"penalty": penalty_of_somebody()}, r"somebody's function .* of L2\(0\.1\)"),
    "own function": ({"make": taken_by_somebody}, "somebody's function .* ReLU"),
    "left out": ({"optimizer": lambda p: SGD([*p][:2], 0.1)}, "the optimizer leaves out"),
}


@pytest.mark.parametrize("name", REASONS)
def test_what_needs_the_host_is_launched_kernel_by_kernel(name, monkeypatch, stages):
    options, reason = REASONS[name]
    options = {"make": dense, "x": ROWS, "y": CLASSES, "optimizer": momentum, **options}
    eager = train(monkeypatch, False, epochs=1, **options)
    repeated = train(monkeypatch, True, epochs=1, **options)
    assert stages == ["eager"] * 6
    assert_same(eager, repeated)
    assert re.search(reason, repeated[2].eager_because)


@pytest.mark.parametrize("loss", [BCELoss, BCEWithLogitsLoss])
def test_weights_of_binary_losses_come_from_the_host(loss):
    assert loss().host_work() is None
    assert "brought to the GPU in every step" in loss(np.ones(3)).host_work()


def test_an_argument_that_differs_from_step_to_step_is_found(monkeypatch, stages):
    """Planted: a slope that grows with every pass, handed to the kernel as a number."""
    passes = []

    def slope(self):
        return (0.01 * len(passes),)

    forward = LeakyReLU._forward

    def counted(self, x):
        passes.append(x)
        return forward(self, x)

    monkeypatch.setattr(LeakyReLU, "_numbers", slope)
    monkeypatch.setattr(LeakyReLU, "_forward", counted)
    found = train(monkeypatch, True, lambda: dense(LeakyReLU()), ROWS, CLASSES, batch_size=5)
    told = (
        r"argument \d of leaky_relu\._forward was 0\.0(1|099\d+) and is 0\.0(2|199\d+) in the next"
    )
    assert re.search(told, found[2].eager_because)
    assert stages == ["eager", "written"] + ["eager"] * 7


def test_a_look_at_the_gpu_in_the_middle_is_found(monkeypatch, stages):
    forward = LeakyReLU._forward

    def looking(self, x):
        assert np.isfinite(self.device.to_host(x)).all()
        return forward(self, x)

    def make():
        return dense(LeakyReLU())

    eager = train(monkeypatch, False, make, ROWS, CLASSES, batch_size=5, epochs=2)
    stages.clear()
    monkeypatch.setattr(LeakyReLU, "_forward", looking)
    found = train(monkeypatch, True, make, ROWS, CLASSES, batch_size=5, epochs=2)
    assert found[2].eager_because == "the step reads an array of the GPU before it is over"
    assert stages == ["eager", "written", "eager", "eager", "eager"]
    assert_same(eager, found)


def test_a_network_that_changes_all_the_time(monkeypatch, stages):
    monkeypatch.setattr("numcnn.training_step.MOST_STARTS", 2)

    class Restless(Callback):
        def on_train_begin(self, model):
            self.model = model

        def on_batch_end(self, batch, figures):
            self.model[1].p += 0.01

    def make():
        return dense(Dropout(0.2))

    options = {"batch_size": 5, "epochs": 3, "callbacks": [Restless]}
    eager = train(monkeypatch, False, make, ROWS, CLASSES, **options)
    found = train(monkeypatch, True, make, ROWS, CLASSES, **options)
    assert "change again and again" in found[2].eager_because
    assert_same(eager, found)


# -------------------------------------------------------------------------------------- the pieces


def test_numbers_come_from_the_table_at_each_repetition():
    tape, now = _tape.Tape(), [3.0]
    x, y = DEVICE.to_device(np.ones(5, np.float32)), DEVICE.empty((5,), np.float32)
    with _recording.writing(tape):
        (factor,) = tape.numbers(lambda: (now[0],))
        scale.scale_forward(x, factor, y)
        scale.scale_forward(y, 2.0, y)
    assert len(tape.launches) == 2
    graph = _graph.Graph(tape.launches)
    for value in (3.0, 0.25):
        now[0] = value
        tape.fill()
        graph.run()
        np.testing.assert_array_equal(_cuda.to_host(y), np.full(5, 2 * value, np.float32))


def test_what_a_tape_refuses():
    tape = _tape.Tape()
    x = DEVICE.to_device(np.ones(5, np.float32))

    def ask():
        return (1.0,)

    with _recording.writing(tape):
        (number,) = tape.numbers(ask)
        with pytest.raises(_recording.CannotRecordError, match=r"asks .*ask for its numbers twice"):
            tape.numbers(ask)
        with pytest.raises(_recording.CannotRecordError, match=r"scale\._forward takes a number"):
            _cuda.launch(scale._forward, 5, x, number, x)
        with pytest.raises(_recording.CannotRecordError, match="sends an array"):
            DEVICE.send(np.ones(3), np.float32)
        with pytest.raises(_recording.CannotRecordError, match="copies an array"):
            DEVICE.to_device(np.ones(3))
        with pytest.raises(_recording.CannotRecordError, match="too many numbers"):
            _recording.changing(lambda number: (number(0),) * _tape.TABLE, np.float32)
    assert tape.launches == []


def test_a_step_that_launches_something_else_is_no_repetition():
    x = DEVICE.to_device(np.ones(5, np.float32))
    logs = []
    for count in (1, 2):
        with _recording.listening() as log:
            for _ in range(count):
                scale.scale_forward(x, 1.0, x)
        logs.append(log)
    with _recording.listening() as log:
        DEVICE.kernels.add_forward(x, x, x)
    tape = _tape.Tape()
    with _recording.writing(tape):
        scale.scale_forward(x, 1.0, x)
    tape.check(logs[0])
    with pytest.raises(_recording.CannotRecordError, match="launched 2 kernels, and 1"):
        tape.check(logs[1])
    with pytest.raises(_recording.CannotRecordError, match=r"launched add\._.*, and scale\._for"):
        tape.check(log)


def test_other_threads_launch_as_ever():
    x = DEVICE.to_device(np.ones(5, np.float32))
    y = DEVICE.empty((5,), np.float32)
    with _recording.writing(_tape.Tape()) as _:
        other = threading.Thread(target=scale.scale_forward, args=(x, 4.0, y))
        other.start()
        other.join()
    np.testing.assert_array_equal(_cuda.to_host(y), np.full(5, 4, np.float32))


# ------------------------------------------------------------------------------- the driver's calls


class Driver:
    """Notes CUDA's calls; fails at one of them."""

    binding = types.SimpleNamespace(
        CUstreamCaptureMode=types.SimpleNamespace(CU_STREAM_CAPTURE_MODE_RELAXED="relaxed")
    )
    ANSWERS = types.MappingProxyType(
        {"cuStreamCreate": 5, "cuStreamEndCapture": "heard", "cuGraphInstantiate": "graph"}
    )

    def __init__(self, fails=()):
        self.calls, self.fails, self.driver = [], fails, self

    def __getattr__(self, name):
        def call(*args):
            self.calls.append((name, *args))
            if name in self.fails:
                raise RuntimeError(f"{name} results in CUDA_ERROR_UNKNOWN")
            return self.ANSWERS.get(name)

        return call


class Noted:
    """A launch that notes on which stream it was made."""

    def __init__(self, driver, number, fails=False):
        self.driver, self.number, self.fails = driver, number, fails

    def again(self, stream=None):
        self.driver.calls.append((self.number, stream))
        if self.fails and stream is not None:
            raise ValueError("can't be captured")


@pytest.fixture
def streams(monkeypatch):
    own = types.SimpleNamespace(handle=7, synchronize=lambda: None)
    monkeypatch.setattr(_cuda, "stream", lambda: own)
    monkeypatch.setattr(
        _cuda.cuda, "external_stream", lambda handle: f"stream {handle}", raising=False
    )


def graph_of(driver, fails=False):
    return _graph.Graph([Noted(driver, number, fails) for number in (1, 2)], driver)


CAPTURE = [
    ("cuStreamCreate", 1),
    ("cuStreamBeginCapture", 5, "relaxed"),
    (1, "stream 5"),
    (2, "stream 5"),
    ("cuStreamEndCapture", 5),
    ("cuGraphInstantiate", "heard", 0),
    ("cuGraphDestroy", "heard"),
    ("cuStreamDestroy", 5),
]
ONE_BY_ONE = [(1, None), (2, None)]
START = [("cuGraphLaunch", "graph", 7)]


def test_launches_become_a_graph_at_their_second_run(streams):
    driver = Driver()
    graph = graph_of(driver)
    for want in (ONE_BY_ONE, CAPTURE + START, START, START):
        driver.calls.clear()
        graph.run()
        assert driver.calls == want
    driver.calls.clear()
    graph.close()
    graph.close()
    assert driver.calls == [("cuGraphExecDestroy", "graph")]
    assert graph.trouble is None


@pytest.mark.parametrize(
    "name",
    [
        "cuStreamCreate",
        "cuStreamBeginCapture",
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
        "cuStreamDestroy",
        "cuGraphLaunch",
    ],
)
def test_where_the_driver_fails_the_launches_are_made_one_by_one(name, streams):
    driver = Driver([name])
    graph = graph_of(driver)
    graph.run()
    driver.calls.clear()
    graph.run()
    assert driver.calls[-2:] == ONE_BY_ONE
    assert graph.trouble == f"RuntimeError: {name} results in CUDA_ERROR_UNKNOWN"
    made = [call[0] for call in driver.calls]
    begun, ended = made.count("cuStreamBeginCapture"), made.count("cuStreamEndCapture")
    assert begun == ended or name == "cuStreamBeginCapture"
    assert made.count("cuStreamDestroy") == (name != "cuStreamCreate")
    driver.calls.clear()
    graph.run()
    assert driver.calls == ONE_BY_ONE, "what failed once isn't tried again"


def test_a_launch_that_cant_be_captured_ends_the_capture(streams):
    driver = Driver()
    graph = graph_of(driver, fails=True)
    graph.run()
    driver.calls.clear()
    graph.run()
    made = [call[0] for call in driver.calls]
    assert made[:4] == ["cuStreamCreate", "cuStreamBeginCapture", 1, "cuStreamEndCapture"]
    assert made[4:] == ["cuGraphDestroy", "cuStreamDestroy", 1, 2]
    assert graph.trouble == "ValueError: can't be captured"


@pytest.mark.parametrize("name", ["cuStreamEndCapture", "cuGraphLaunch"])
def test_a_training_goes_on_where_the_driver_fails(name, monkeypatch, stages):
    """Kernels run in the simulator while "captured", so a driver that begins doesn't get so far."""
    driver = Driver([name])
    real = _graph.Graph.__init__

    def with_driver(self, launches):
        real(self, launches, driver)
        self._listen = lambda calls, handle: calls.cuStreamEndCapture(handle)

    eager = train(monkeypatch, False, dense, ROWS, CLASSES, batch_size=5, epochs=3)
    stages.clear()
    monkeypatch.setattr(_graph.Graph, "__init__", with_driver)
    monkeypatch.setattr(type(_cuda.stream()), "handle", 7, raising=False)
    found = train(monkeypatch, True, dense, ROWS, CLASSES, batch_size=5, epochs=3)
    assert found[2].eager_because.startswith("the GPU's driver could not repeat a step: ")
    assert f"{name} results in" in found[2].eager_because
    assert stages == ["eager", "written", "eager", "eager", "eager"]
    assert_same(eager, found)


def test_numbas_own_cuda_says_what_to_install(monkeypatch):
    assert _graph.problem() is None
    monkeypatch.setattr(_cuda, "IS_NVIDIAS", False)
    assert "numcnn[cuda13]" in _graph.problem()


def test_sent_numbers_arrive_as_they_were():
    array = DEVICE.empty((3,), np.float32)
    host = np.array([1.0, 2.0, 3.0])
    _memory.send(host, array)
    host[:] = 0
    np.testing.assert_array_equal(_cuda.to_host(array), [1, 2, 3])
