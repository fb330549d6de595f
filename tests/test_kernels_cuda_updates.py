"""A step of an optimizer over all its parameters: one launch, and the bits of one for each."""

import gc

import numpy as np
import pytest
from checks_cuda import random

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
from numcnn.device import Device, get_device
from numcnn.kernels.cuda import _cuda, _graph, _jobs, _memory, _recording, _tape, _updates
from numcnn.layers import Parameter

DEVICE = get_device("cuda")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Let the simulator's threads be few."""
    if _cuda.SIMULATED:
        monkeypatch.setattr(_cuda, "THREADS_PER_BLOCK", 4)


OPTIMIZERS = {
    "sgd": lambda p: SGD(p, 0.1, weight_decay=0.1),
    "momentum": lambda p: SGD(p, 0.1, momentum=0.9, dampening=0.2),
    "nesterov": lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: Adam(p, 0.1, weight_decay=0.1),
    "adamw": lambda p: AdamW(p, 0.1, amsgrad=True),
    "rmsprop": lambda p: RMSprop(p, 0.1, momentum=0.9, centered=True),
    "adagrad": lambda p: Adagrad(p, 0.1, lr_decay=0.1),
    "adadelta": lambda p: Adadelta(p, weight_decay=0.1),
}
# more than two blocks, a whole one, one number, none
SHAPES = ((5, 7), (16,), (1, 1), (0, 3), (3,))


def parameters(shapes=SHAPES, dtype=np.float32):
    return [
        Parameter(shape, lambda rng, shape: rng.standard_normal(shape), DEVICE, dtype)
        for shape in shapes
    ]


def copies(params):
    found = parameters([p.shape for p in params])
    for p, copied in zip(params, found, strict=True):
        copied.dtype = p.dtype
        copied.data = p.data
    return found


def give(params, seed, leave_out=()):
    for place, p in enumerate(params):
        p.grad = None
        if place not in leave_out:
            p.grad = DEVICE.to_device(random(p.dtype, *p.shape, seed=seed))


def numbers_of(params, optimizer):
    return [DEVICE.to_host(p.data) for p in params] + [
        value for _, value in sorted(optimizer.state_dict().items())
    ]


def step(optimizer):
    """Take a step; return what was launched, as [(kernel, grid)]."""
    with _recording.listening() as launched:
        optimizer.step()
    return [(entry[0].__name__, *entry[1]) for entry in launched]


def one_by_one(optimizer):
    """Take a step by a launch for each parameter."""
    DEVICE.update_all = lambda *args: Device.update_all(DEVICE, *args)
    try:
        return step(optimizer)
    finally:
        del DEVICE.update_all


def in_both_ways(make, params, steps):
    """Return what two optimizers launched, and assert that they did the same to parameters."""
    others = copies(params)
    one, other = make(params), make(others)
    together, apart = [], []
    for seed, leave_out in enumerate(steps):
        give(params, seed, leave_out)
        give(others, seed, leave_out)
        together.append(step(one))
        apart.append(one_by_one(other))
    for a, b in zip(numbers_of(params, one), numbers_of(others, other), strict=True):
        np.testing.assert_array_equal(a, b)
    return together, apart


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_launch_gives_the_bits_of_one_for_each(name, monkeypatch):
    monkeypatch.setattr(_jobs, "_sent", {})
    together, apart = in_both_ways(OPTIMIZERS[name], parameters(), [(), ()])
    each = 4 * _jobs.EACH if _cuda.SIMULATED else 128 * _jobs.EACH
    blocks = sum(-(-int(np.prod(shape)) // each) for shape in SHAPES)
    assert together == [[("_update_all", blocks)]] * 2
    assert [[kernel for kernel, _ in launched] for launched in apart] == [["_update"] * 4] * 2
    assert [rows for _, rows in _jobs._sent] == [4], "an array without numbers has no address"


def test_those_of_one_dtype_and_one_count_of_steps_move_together():
    params = [*parameters(), *parameters(SHAPES[:2], np.float64), *parameters(((2, 2),))]
    late = (0, 1, 6)  # without a gradient at first, so a step behind from then on
    make = OPTIMIZERS["adam"]
    together, apart = in_both_ways(make, params, [late, (), (2,)])
    names = [[kernel for kernel, _ in launched] for launched in together]
    # float32 and a single float64; those two, and of those behind the same; the third left out
    assert names[0] == ["_update_all", "_update"]
    assert sorted(names[1]) == ["_update", "_update", "_update_all", "_update_all"]
    assert sorted(names[2]) == ["_update", "_update", "_update_all", "_update_all"]
    assert [len(launched) for launched in apart] == [4, 7, 6]


def test_a_parameter_that_stands_twice_moves_twice():
    params = parameters(SHAPES[:2])
    together, _ = in_both_ways(lambda p: SGD([*p, p[0]], 0.1), params, [()])
    assert [kernel for kernel, _ in together[0]] == ["_update_all", "_update"]


def test_arrays_of_two_dtypes_have_a_launch_of_their_own():
    """An optimizer keeps its arrays when the network moves to another precision."""
    params = parameters([(2,), (3,), (4,), (5,)])
    optimizer = OPTIMIZERS["momentum"](params)
    give(params, 0)
    step(optimizer)
    for p in params[:2]:
        p.move(DEVICE, np.dtype(np.float64))
    give(params, 1)
    assert [kernel for kernel, _ in step(optimizer)] == ["_update_all", "_update", "_update"]


def test_a_loaded_state_is_the_one_that_moves():
    params = parameters()
    optimizer = OPTIMIZERS["adam"](params)
    give(params, 0)
    step(optimizer)
    state, before = optimizer.state_dict(), [DEVICE.to_host(p.data).copy() for p in params]
    found = []
    for _ in range(2):
        give(params, 1)
        assert len(step(optimizer)) == 1
        found.append(numbers_of(params, optimizer))
        optimizer.load_state_dict(state)
        for p, values in zip(params, before, strict=True):
            p.data = values
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_is_one_launch():
    model = Sequential(Linear(4, 3), ReLU(), Linear(3, 2), device="cuda", seed=0)
    loss = CrossEntropyLoss().to("cuda")
    loss.begin(model(DEVICE.to_device(random(np.float32, 5, 4))), np.arange(5) % 2)
    model.backward(loss.backward())
    assert step(Adam(model.parameters())) == [("_update_all", 4)]


# ---------------------------------------------------------------------------------------- the table


def test_every_block_finds_its_job_and_every_number_one_owner(monkeypatch):
    monkeypatch.setattr(_jobs, "_sent", {})
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(1, 4 * 4 * _jobs.EACH, 11).tolist(), 1, 16, 17]
    seen = []
    monkeypatch.setattr(_jobs, "launch_blocks", lambda *args: seen.append(args))
    arrays = [DEVICE.empty((size,), np.float32) for size in sizes]
    _jobs.launch_jobs(_updates.FILES["sgd_update"]._update_all, [(a, a, a) for a in arrays])
    ((_, blocks, threads, table),) = seen
    table = _cuda.to_host(table)
    job_of, piece_of = (getattr(f, "py_func", f) for f in (_jobs.job_of, _jobs.piece_of))
    owned = [np.zeros(size, int) for size in sizes]
    for block in range(blocks):
        row = job_of(table, block)
        begin, end = piece_of(table, row, block, threads)
        assert begin < end <= sizes[row]
        owned[row][begin:end] += 1
    assert all((counts == 1).all() for counts in owned)
    assert table[:, 0].tolist() == [_cuda.address_of(a) for a in arrays]


def test_the_table_is_sent_where_it_is_another_one(monkeypatch):
    monkeypatch.setattr(_jobs, "_sent", {})
    sent, send = [], _memory.send
    monkeypatch.setattr(_memory, "send", lambda *args: sent.append(send(*args)))
    params = parameters(SHAPES[:3])
    optimizer = OPTIMIZERS["momentum"](params)
    give(params, 0)
    for _ in range(3):
        step(optimizer)
    assert len(sent) == 1
    kept = [p.grad for p in params]  # so that others lie elsewhere
    give(params, 1)
    step(optimizer)
    assert len(sent) == 2
    assert len(_jobs._sent) == 1  # and it is one array on the GPU, whatever was sent to it
    del kept


def test_tables_and_launches_of_two_threads_do_not_mix(monkeypatch):
    launch, held = _jobs.launch_blocks, []

    def launched(*args):
        held.append(_jobs._one_at_a_time.locked())
        launch(*args)

    monkeypatch.setattr(_jobs, "launch_blocks", launched)
    params = parameters(SHAPES[:2])
    give(params, 0)
    step(SGD(params, 0.1))
    assert held == [True]


def weights_as_gradients(params):
    for p in params:
        p.grad = DEVICE.empty(p.shape, p.dtype)
        DEVICE.kernels.scale_forward(p.data.reshape(-1), 0.5, p.grad.reshape(-1))


def test_a_written_step_keeps_what_it_knows_by_address():
    params = parameters(SHAPES[:2])
    others = copies(params)
    one, other = OPTIMIZERS["momentum"](params), OPTIMIZERS["momentum"](others)
    for _ in range(3):
        weights_as_gradients(others)
        step(other)
    weights_as_gradients(params)
    step(one)
    tape = _tape.Tape()
    with _recording.writing(tape):
        weights_as_gradients(params)
        one.step()
        one.zero_grad()
    del tape.launches[:2]  # as of kernels that don't name the gradients
    gc.collect()
    taken = [DEVICE.empty(p.shape, p.dtype) for p in params]  # where they lay, if it could
    graph = _graph.Graph(tape.launches)
    kept = tape._kept[0][1:]
    for _ in range(2):
        for (grad, *_), p in zip(kept, params, strict=True):
            DEVICE.kernels.scale_forward(p.data.reshape(-1), 0.5, grad)
        tape.fill()
        graph.run()
        tape.finish()
    for a, b in zip(numbers_of(params, one), numbers_of(others, other), strict=True):
        np.testing.assert_array_equal(a, b)
    lent = {_cuda.address_of(array) for array in taken}
    assert lent.isdisjoint(_cuda.address_of(grad) for grad, *_ in kept)


def test_without_nvidias_package_each_has_its_launch(monkeypatch):
    monkeypatch.setattr(_cuda, "IS_NVIDIAS", False)
    params = parameters(SHAPES[:2])
    give(params, 0)
    assert [kernel for kernel, _ in step(SGD(params, 0.1))] == ["_update", "_update"]


def test_arrays_of_the_host_have_no_address():
    with pytest.raises(TypeError, match=r"NumPy array of shape .3,. has no address on the GPU"):
        _cuda.address_of(np.ones(3, np.float32))
