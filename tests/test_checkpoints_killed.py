"""Trainings that `kill -9` ends at random moments go on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numba.core import config

SCRIPT = Path(__file__).with_name("checks_repeat.py")

pytestmark = [
    pytest.mark.skipif(config.DISABLE_JIT, reason="each start would take minutes as plain Python"),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9"),
]


def start(*arguments):
    # of this process's one group, so that nothing else is hit
    return subprocess.Popen(
        [sys.executable, SCRIPT, *map(str, arguments)],
        env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    out, err = process.communicate(timeout=1000)
    assert process.returncode == 0, err
    found = json.loads(out.splitlines()[-1])
    del found["ran"]
    return found


def step_of(line):
    assert line.startswith("step "), line
    return int(line.split()[1])


def kill_after(process, step, wait):
    """Kill a training `wait` seconds after it has done a step; return the last one heard of."""
    for line in process.stdout:
        reached = step_of(line)
        if reached >= step:
            break
    else:
        raise AssertionError(f"it ended before step {step}: {process.stderr.read()}")
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL
    steps = [step_of(line) for line in rest.splitlines() if line.startswith("step ")]
    return max([reached, *steps])


def half_written(folder):
    """Return whether the kill came in the middle of writing a checkpoint."""
    names = [path.name for path in folder.iterdir()]
    whole = {name.partition(".")[0] for name in names if name.endswith(".json")}
    return any(name.endswith(".tmp") or name.partition(".")[0] not in whole for name in names)


def check_kills(tmp_path, epochs, kills, early, seed):
    """Kill a training at random moments, and compare with one that nobody touched."""
    draw = random.Random(seed)
    undisturbed = result(start(epochs))
    last = undisturbed["steps"] - kills // 5 - 3
    targets = sorted(draw.sample(range(1, last), kills - early))
    folder = tmp_path / "checkpoints"
    reached, torn, done = 0, 0, 0
    for number, target in enumerate(targets):
        if number < early:  # while it starts, or finds its way back
            process = start(epochs, tmp_path, 1)
            time.sleep(draw.uniform(0, 1.5))
            process.kill()
            out, _ = process.communicate(timeout=100)
            assert process.returncode == -signal.SIGKILL
            reached = max([reached, *map(step_of, out.splitlines())])
            done += 1
        process = start(epochs, tmp_path, draw.choice((1, 1, 2, 7)))
        reached = kill_after(process, max(target, reached + 1), draw.uniform(0, 0.02))
        torn += half_written(folder)
        done += 1
    resumed = result(start(epochs, tmp_path, 3))
    print(f"{done} kills, {torn} of them in the middle of a checkpoint, {resumed['steps']} steps")
    assert done == kills
    assert resumed == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_training_that_was_killed_goes_on_bit_by_bit(tmp_path):
    check_kills(tmp_path, epochs=4, kills=2, early=0, seed=1)


@pytest.mark.long
@pytest.mark.timeout(6000)
def test_fifty_kills_leave_the_weights_of_a_training_without_one(tmp_path):
    check_kills(tmp_path, epochs=120, kills=50, early=10, seed=2)
