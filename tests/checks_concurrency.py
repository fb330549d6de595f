"""What threads and child processes do at once, as a program of its own.

A library that ends the process when two threads enter it must not take the tests along, and which
library that is can be chosen once per process. ``python checks_concurrency.py JOB:ARGUMENT ...``
prints what was found as JSON; tests/test_concurrency.py says what it must be.
"""

import hashlib
import json
import multiprocessing
import os
import sys
import threading
import time
import warnings

import numba
import numpy as np

from numcnn import (
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    MaxUnpool2d,
    ReLU,
    Sequential,
)

X = np.random.default_rng(0).standard_normal((96, 1, 16, 16)).astype(np.float32)
Y = np.arange(96) % 10


def classifier(seed):
    """Return a network whose layers differ in what a forward pass leaves on them."""
    return Sequential(
        Conv2d(1, 8, 3, padding=1),
        BatchNorm2d(8),
        ReLU(),
        MaxPool2d(2),
        Dropout(0.5),
        Flatten(),
        Linear(512, 10),
        seed=seed,
    )


def autoencoder(seed):
    """Return a network in which one layer reads what another one left behind."""
    pool = MaxPool2d(2)
    return Sequential(Conv2d(1, 8, 3, padding=1), pool, MaxUnpool2d(2, pool=pool), seed=seed)


def digest(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def train(seed):
    """Return the digest of a network's weights after six steps."""
    network = classifier(seed)
    network.fit(X, Y, epochs=2, batch_size=32, verbose=False)
    return digest(*network.state_dict().values())


def predict(network, part):
    """Return the digest of what a network says of every other picture."""
    return digest(network.predict(X[part::2], batch_size=24))


def at_once(jobs, rounds):
    """Run each job `rounds` times in a thread of its own; return how often it answered what."""
    start = threading.Barrier(len(jobs))
    answers = [[] for _ in jobs]

    def work(job, own):
        start.wait()
        try:
            for _ in range(rounds):
                own.append(job())
        except Exception as error:
            own.append(repr(error))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(jobs, answers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def threads_job(rounds):
    """Train two networks, and predict with two that threads share; compare with one by one."""
    shared = [classifier(9), autoencoder(9)]
    jobs = [lambda seed=seed: train(seed) for seed in (0, 1)]
    jobs += [lambda part=part: predict(shared[0], part) for part in (0, 1)]
    jobs += [lambda part=part: predict(shared[1], part) for part in (0, 1)]
    expected = [job() for job in jobs]
    shared[:] = [classifier(9), autoencoder(9)]  # whose weights aren't drawn yet
    before = time.perf_counter()
    answers = at_once(jobs, rounds)
    wrong = [
        answer
        for want, got in zip(expected, answers, strict=True)
        for answer in got
        if answer != want
    ]
    return {
        "layer": numba.threading_layer(),
        "threads": len(jobs),
        "answers": sum(map(len, answers)),
        "wrong": wrong[:3],
        "seconds": round(time.perf_counter() - before, 1),
        "training again": all(layer.training for net in shared for layer in net.layers()),
    }


def predict_in_child(network):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scores = [network.predict(X) for _ in range(2)]
    assert (scores[0] == scores[1]).all()
    return scores[0], [f"{one.category.__name__}: {one.message}" for one in told]


def children_job(method):
    """Predict here, then in a child that was started by `method`."""
    network = classifier(9)
    here = network.predict(X)
    with multiprocessing.get_context(method).Pool(1) as pool:
        there, told = pool.apply(predict_in_child, (network,))
    again = network.predict(X)
    return {
        "layer": numba.threading_layer(),
        "off": float(np.abs(here - there).max()),
        "told": told,
        "parent goes on": bool((again == here).all()),
    }


def forks_job(rounds):
    """Fork again and again while two threads are inside kernels and a third one compiles."""
    network = classifier(9)
    here = network.predict(X)
    over = threading.Event()

    def predict_on():
        while not over.is_set():
            network.predict(X)

    def compile_on():
        while not over.is_set():
            numba.njit(lambda x: x + 1)(1)

    threads = [threading.Thread(target=work) for work in (predict_on, predict_on, compile_on)]
    for thread in threads:
        thread.start()
    codes = []
    for _ in range(rounds):
        child = os.fork()
        if not child:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                right = np.allclose(network.predict(X), here, atol=1e-5)
                right = right and numba.njit(lambda x: x + 2)(1) == 3
            os._exit(0 if right else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    over.set()
    for thread in threads:
        thread.join()
    return {"layer": numba.threading_layer(), "codes": codes}


JOBS = {
    "threads": lambda argument: threads_job(int(argument)),
    "children": children_job,
    "forks": lambda argument: forks_job(int(argument)),
}

if __name__ == "__main__":
    asked = [each.partition(":") for each in sys.argv[1:]]
    print(json.dumps({job + by + argument: JOBS[job](argument) for job, by, argument in asked}))
