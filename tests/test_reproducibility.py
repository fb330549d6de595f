"""One seed decides everything: the same bits for any number of threads, layer and process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import config

import numcnn
from numcnn import (
    DataLoader,
    Dropout,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Linear,
    Sequential,
    weights_hash,
)
from numcnn.data import random_shift

SCRIPT = Path(__file__).with_name("checks_repeat.py")
EPOCHS = 10  # of ten steps
ALL = [(layer, threads) for layer in ("omp", "workqueue") for threads in (1, 2, 8)]
SOME = [("omp", 1), ("workqueue", 8)]


def run_with(layer, threads, what):
    """Train 100 steps in a process of its own; return what came of it, and how it ran."""
    own = {"NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, SCRIPT, str(what)],
        env=os.environ | own | {"OMP_WAIT_POLICY": "passive"},
        capture_output=True,
        text=True,
        timeout=1000,
        check=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    return result, result.pop("ran")


def check_runs(settings, what=EPOCHS):
    results = {}
    for layer, threads in settings:
        results[layer, threads], ran = run_with(layer, threads, what)
        if not config.DISABLE_JIT:
            assert ran == {"layer": layer, "threads": threads}
    print({f"{layer} {threads}": result["weights"] for (layer, threads), result in results.items()})
    first = next(iter(results.values()))
    assert first["steps"] == 100
    assert all(result == first for result in results.values()), results


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(config.DISABLE_JIT, reason="minutes as plain Python, which has no threads")
def test_weights_are_the_same_for_other_threads_and_layers():
    check_runs(SOME)


@pytest.mark.long
@pytest.mark.timeout(4000)
@pytest.mark.skipif(config.DISABLE_JIT, reason="minutes as plain Python, which has no threads")
@pytest.mark.parametrize("what", [EPOCHS, "lenet"], ids=["every-randomness", "lenet"])
def test_weights_are_the_same_for_1_2_and_8_threads_under_omp_and_workqueue(what):
    check_runs(ALL, what)


def noisy(**options):
    return Sequential(
        Flatten(),
        GaussianNoise(0.1),
        Linear(16, 8),
        Dropout(0.2),
        GaussianDropout(0.2),
        Linear(8, 3),
        **options,
    )


def data():
    rng = np.random.default_rng(3)
    return rng.standard_normal((20, 1, 4, 4)).astype(np.float32), rng.integers(0, 3, 20)


def trained(model, batches=None, **options):
    x, y = data()
    given = (x, y) if batches is None else (batches(x, y),)
    model.fit(*given, **{"epochs": 2, "batch_size": 5, "verbose": False} | options)
    return weights_hash(model)


def moved(x, y, **options):
    return DataLoader(x, y, 5, shuffle=True, transform=random_shift(1), **options)


@pytest.mark.parametrize("batches", [None, moved], ids=["arrays", "augmented"])
def test_one_seed_decides_initial_values_order_augmentation_and_dropout(batches):
    one = trained(noisy(seed=4), batches)
    assert trained(noisy(seed=4), batches) == one
    assert trained(noisy(seed=5), batches) != one
    assert trained(noisy(seed=4), batches, seed=9) != one  # the order alone


def test_manual_seed_decides_what_no_seed_was_given_for():
    hashes = []
    for seed in (1, 1, 2):
        numcnn.manual_seed(seed)
        hashes.append(trained(noisy(), moved))
    assert hashes[0] == hashes[1] != hashes[2]


def test_without_a_seed_every_training_differs():
    assert trained(noisy(), moved) != trained(noisy(), moved)


def test_global_random_numbers_have_no_influence_and_are_left_alone():
    np.random.seed(0)
    one = trained(noisy(seed=4), moved)
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    assert trained(noisy(seed=4), moved) == one
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_loader_with_a_seed_of_its_own_keeps_it():
    x, y = data()
    loader = moved(x, y, seed=7)
    noisy(seed=4).fit(loader, verbose=False)
    assert loader.seed == 7
    with pytest.raises(ValueError, match=r"fit\(seed=3\) and DataLoader\(seed=7\) both decide"):
        noisy(seed=4).fit(loader, seed=3, verbose=False)


@pytest.mark.parametrize("layer", [Dropout(0.5), GaussianDropout(0.5), GaussianNoise(1.0)])
def test_a_drawing_follows_from_the_state_alone(layer):
    x = np.ones((3, 4), np.float32)
    layer.reseed(5)
    first, state, second = layer(x), layer.random_state(), layer(x)
    assert (first != second).any()
    other = type(layer)(0.5 if isinstance(layer, Dropout) else 1.0)
    other.set_random_state(json.loads(json.dumps(state)))
    np.testing.assert_array_equal(other(x), second)
    layer.reseed(6)
    assert (layer(x) != first).any()


def test_weights_hash_tells_bits_names_and_shapes():
    def hashed(change=lambda model: None, **options):
        model = Sequential(Linear(2, 3), Linear(3, 2), seed=1, **options)
        change(model)
        return weights_hash(model)

    def last_bit(model):
        weight = model[0].weight.data.copy()
        weight[0, 0] = np.nextafter(weight[0, 0], np.float32(9))
        model[0].weight.data = weight

    assert hashed() == hashed(lambda model: model.forward(np.ones((1, 2))))
    assert hashed() != hashed(last_bit)
    assert hashed() != hashed(dtype="float64")
    zero = Linear(2, 2, bias=False)
    zero.weight.data = np.zeros((2, 2))
    negative = Linear(2, 2, bias=False)
    negative.weight.data = -np.zeros((2, 2))
    assert weights_hash(zero) != weights_hash(negative)
    assert weights_hash(Sequential(zero)) != weights_hash(zero)


def test_threads_of_this_process_make_no_difference(threads):
    hashes = set()
    for count in (1, 2):
        threads(min(count, numba.config.NUMBA_NUM_THREADS))
        hashes.add(trained(noisy(seed=4), moved))
    assert len(hashes) == 1
