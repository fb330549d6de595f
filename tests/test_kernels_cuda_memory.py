"""Memory of the GPU, copies beside its kernels, and a training step that stays there.

Runs on a GPU or in Numba's simulator. There the last words are the reference's: a network trained
in plain Python must come out the same, within what rounding explains.
"""

import gc
import sys
import warnings

import numpy as np
import pytest
from checks_cuda import random

from numcnn import (
    SGD,
    Adam,
    AlphaDropout,
    BatchNorm2d,
    Callback,
    Conv2d,
    CrossEntropyLoss,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MSELoss,
    ReLU,
    Sequential,
)
from numcnn.device import get_device
from numcnn.evaluation import sent_ahead
from numcnn.kernels.cuda import _cuda, _figures, _memory


@pytest.fixture
def pool():
    return _memory.Pool()


# ---------------------------------------------------------------------------------------- the pool


def test_an_array_gets_the_memory_that_another_left(pool):
    first = pool.empty((3, 4), np.float32)
    assert (first.shape, first.strides, first.dtype) == ((3, 4), (16, 4), np.float32)
    del first
    gc.collect()
    second = pool.empty(5, np.int64)  # of the same size, once it is rounded
    assert (second.shape, pool.asked, pool.held) == ((5,), 1, 512)
    other = pool.empty((3, 4), np.float32)
    assert pool.asked == 2
    assert other.size == 12


def test_a_view_keeps_the_memory(pool):
    array = pool.empty((3, 4), np.float32)
    view = array.reshape(12)
    piece = array[1]
    del array, view
    gc.collect()
    held = pool.empty((3, 4), np.float32)
    assert pool.asked == 2
    del piece
    gc.collect()
    again = pool.empty((3, 4), np.float32)
    assert pool.asked == 2
    assert held.size == again.size


def test_what_lasts_takes_nothing_from_what_comes_and_goes(pool):
    del_me = pool.empty(7, np.float32)
    del del_me
    gc.collect()
    kept = pool.empty(7, np.float32, lasting=True)
    assert pool.asked == 2
    assert kept.size == 7


def test_arrays_without_numbers_take_nothing(pool):
    empty = pool.empty((0, 3), np.float32)
    assert (empty.shape, pool.asked) == ((0, 3), 0)


def test_unused_memory_can_be_given_back(pool):
    kept = pool.empty(100_000, np.float32)
    gone = pool.empty(50, np.float64)
    del gone
    gc.collect()
    assert pool.trim() == 512
    assert 400_000 <= pool.held <= 400_000 * 9 / 8
    assert pool.trim() == 0
    assert kept.size == 100_000


def test_where_memory_is_full_the_unused_is_given_back_first(pool, monkeypatch):
    unused = pool.empty(100, np.float32)
    del unused
    gc.collect()
    tries = []
    make = _memory.Block.__init__

    def full_at_first(self, size, lasting):
        tries.append(size)
        if len(tries) == 1:
            raise MemoryError
        make(self, size, lasting)

    monkeypatch.setattr(_memory.Block, "__init__", full_at_first)
    pool.empty(1000, np.float32)
    assert (tries, pool.held) == ([4096, 4096], 4096)
    tries.clear()
    pool.trim()
    with pytest.raises(MemoryError):
        pool.empty(1000, np.float32)


@pytest.mark.parametrize("nbytes", [1, 512, 513, 8191, 8193, 10**6, 123_456_789])
def test_a_block_is_little_larger_than_what_it_is_for(nbytes):
    size = _memory.rounded(nbytes)
    assert nbytes <= size <= max(nbytes + 511, nbytes * 9 / 8)
    assert size % 512 == 0


# -------------------------------------------------------------------------------------- the copies


def test_parcels_arrive_as_they_were_when_sent():
    hosts = [random(np.float64, 4, 3, seed=seed) for seed in range(5)]
    parcels = []
    for host in hosts:
        changing = host.copy()
        parcels.append(_memory.Parcel(changing, np.float32))
        changing[:] = np.nan
    for host, parcel in zip(hosts, parcels, strict=True):
        array = parcel.receive()
        assert array.dtype == np.float32
        np.testing.assert_array_equal(_cuda.to_host(array), host.astype(np.float32))


def test_a_parcel_may_be_empty_or_in_any_order():
    assert _memory.Parcel(np.empty((0, 3)), np.float32).receive().shape == (0, 3)
    turned = random(np.float32, 3, 5).T
    np.testing.assert_array_equal(
        _cuda.to_host(_memory.Parcel(turned, np.float32).receive()), turned
    )


def test_pinned_arrays_take_turns_and_the_host_waits_for_the_older_one(monkeypatch):
    waits = []
    event = type(_memory._next_pinned(2048).copied)
    monkeypatch.setattr(event, "synchronize", lambda self: waits.append(id(self)))
    for _ in range(4):
        _memory.Parcel(np.ones(512, np.float32), np.float32)
    assert len(set(waits)) == 2
    assert waits[:2] == waits[2:]


def test_batches_are_sent_one_ahead():
    class Model:
        device = get_device("cuda")
        dtype = np.dtype(np.float32)

    asked = []

    def batches():
        for number in range(3):
            asked.append(number)
            yield np.full((2, 3), number), f"y{number}"

    found = []
    for xb, yb in sent_ahead(Model, batches()):
        found.append((_cuda.to_host(xb)[0, 0], yb, len(asked)))
    assert found == [(0, "y0", 2), (1, "y1", 3), (2, "y2", 3)]
    assert list(sent_ahead(Model, iter(()))) == []


@pytest.mark.parametrize("size", [1, 70, 2100])
def test_figures(size):
    rng = np.random.default_rng(size)
    scores = rng.integers(-2, 3, (size, 3, 2)).astype(np.float32)  # with ties
    scores[rng.random(scores.shape) < 0.1] = np.nan
    labels = rng.integers(0, 3, (size, 2))
    labels[rng.random(labels.shape) < 0.2] = -7
    losses = random(np.float32, size, 2)
    want = get_device("cpu").begin_figures(losses, scores, labels, -7)
    on_gpu = [_cuda.to_device(array) for array in (losses, scores, labels)]
    total, hits = _memory.Reading(_figures.add_up(*on_gpu, -7)).wait()
    assert hits == want[1]
    assert want[1] > 0 or size == 1
    assert total == pytest.approx(want[0], abs=1e-12 * float(np.abs(losses).sum()))
    assert _memory.Reading(_figures.add_up(on_gpu[0])).wait() == [total, 0]


# --------------------------------------------------------------------------------------- training

X = random(np.float32, 8, 2, 4, 3)
Y = np.arange(8) % 3
OPTIMIZERS = {
    "adam": lambda p: Adam(p, lr=0.01),
    "sgd": lambda p: SGD(p, lr=0.05, momentum=0.9),
}


def network(device):
    return Sequential(
        Conv2d(2, 3, 3, padding=1, bias=False),
        ReLU(),
        BatchNorm2d(3),
        MaxPool2d(2),
        Flatten(),
        Dropout(0.3),
        Linear(6, 3),
        device=device,
        seed=1,
    )


class Counter(Callback):
    """Notes after each step how often the driver was asked for memory, and what was read."""

    def __init__(self):
        self.asked, self.reads, self.read = [], [], 0

    def on_batch_end(self, batch, figures):
        self.asked.append(_memory.POOL.asked)
        self.reads.append(self.read)
        self.read = 0


@pytest.fixture
def watched(monkeypatch):
    """Count what is read from the GPU; what isn't asked for in so many words is an error."""
    counter = Counter()
    monkeypatch.setattr(_memory, "POOL", _memory.Pool())
    kind = type(_cuda.empty(1, np.float32))
    copy = kind.copy_to_host

    def counted(self, ary=None, stream=0):
        assert sys._getframe(1).f_code in (
            _cuda.to_host.__code__,
            _memory.Reading.__init__.__code__,
        )
        counter.read += 1
        return copy(self, ary, stream)

    def refuse(self, *args, **kwargs):
        raise AssertionError("an array of the GPU came to the host without a word")

    monkeypatch.setattr(kind, "copy_to_host", counted)
    monkeypatch.setattr(kind, "__array__", refuse, raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield counter


@pytest.mark.parametrize(("name", "graphs"), [("adam", False), ("sgd", True)])
def test_training_stays_on_the_gpu_and_is_the_references(name, graphs, watched, monkeypatch):
    monkeypatch.setattr(get_device("cuda"), "graphs", graphs)
    histories, states = {}, {}
    for device in ("reference", "cuda"):
        model = network(device)
        callbacks = [watched] if device == "cuda" else []
        options = {"epochs": 2, "batch_size": 4, "optimizer": OPTIMIZERS[name], "verbose": False}
        histories[device] = model.fit(X, Y, callbacks=callbacks, **options)
        if device == "cuda":
            assert watched.asked[0] > 20
            if graphs:  # step 2 is written down, and has memory of its own from then on
                assert watched.asked[0] < watched.asked[1]
            after = watched.asked[2 if graphs else 0 :]
            assert after == after[:1] * len(after), "memory was asked for after the first steps"
            assert watched.reads == [1, 1, 1, 1], "the loss and the hits are one reading"
        states[device] = model.state_dict()
    # 4 steps of sums of at most 27 terms: 1e-5 leaves room for what Adam's division magnifies
    want, got = histories["reference"], histories["cuda"]
    np.testing.assert_allclose(got.batch_losses, want.batch_losses, rtol=1e-5)
    assert [epoch["accuracy"] for epoch in got.epochs] == [e["accuracy"] for e in want.epochs]
    for key, expected in states["reference"].items():
        np.testing.assert_allclose(states["cuda"][key], expected, atol=1e-5, err_msg=key)


def test_two_runs_give_the_same_bits():
    runs = []
    for _ in range(2):
        model = network("cuda")
        model.fit(X[:6], Y[:6], epochs=1, batch_size=4, optimizer="adam", verbose=False)
        runs.append(model.state_dict())
    for key, values in runs[0].items():
        np.testing.assert_array_equal(values, runs[1][key], key)


def test_a_loss_is_read_when_it_is_asked_for(watched):
    device = get_device("cuda")
    scores, loss = device.to_device(random(np.float32, 4, 3)), CrossEntropyLoss().to("cuda")
    loss.begin(scores, Y[:4], count_hits=True)
    dscores = loss.backward()
    assert watched.read == 1  # on its way; nothing has waited for it
    assert loss.total == 0.0
    reference = CrossEntropyLoss().to("reference")
    host = random(np.float32, 4, 3)
    assert loss.finish() == pytest.approx(reference(host, Y[:4]), rel=1e-6)
    assert loss.hits == (host.argmax(axis=1) == Y[:4]).sum()
    np.testing.assert_allclose(device.to_host(dscores), reference.backward(), rtol=1e-5, atol=1e-7)


def test_losses_apart_keep_their_labels():
    """Labels go through the same two pinned arrays; those of a first loss must stay."""
    device = get_device("cuda")
    host = [random(np.float32, 4, 3, seed=seed) for seed in range(4)]
    losses = [CrossEntropyLoss().to("cuda") for _ in host]
    labels = [np.full(4, number % 3) for number in range(4)]
    for loss, scores, label in zip(losses, host, labels, strict=True):
        loss(device.to_device(scores), label)
    for loss, scores, label in zip(losses, host, labels, strict=True):
        reference = CrossEntropyLoss().to("reference")
        reference(scores, label)
        got = device.to_host(loss.backward())
        np.testing.assert_allclose(got, reference.backward(), rtol=1e-5, atol=1e-7)


def test_a_loss_against_numbers():
    device = get_device("cuda")
    pred, target = random(np.float32, 5, 2), random(np.float32, 5, 2, seed=1)
    loss, reference = MSELoss().to("cuda"), MSELoss().to("reference")
    value = loss(device.to_device(pred), device.to_device(target))
    assert value == pytest.approx(reference(pred, target), rel=1e-6)
    np.testing.assert_allclose(device.to_host(loss.backward(2.0)), reference.backward(2.0), 1e-6)


def test_alpha_dropout_decides_and_adds_on_the_gpu(watched):
    x, layers = random(np.float32, 6, 5), {}
    for device in ("reference", "cuda"):
        layers[device] = AlphaDropout(0.4).to(device)
        layers[device].reseed(3)
    y = layers["cuda"](get_device("cuda").to_device(x))
    assert watched.read == 0
    np.testing.assert_allclose(_cuda.to_host(y), layers["reference"](x), rtol=1e-5, atol=1e-6)
