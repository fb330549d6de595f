"""Freed memory is kept: the next step's arrays come without asking the system."""

import os
import platform
import subprocess
import sys

import pytest

ROUNDS = 20
COUNT_FAULTS = f"""
import resource
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({ROUNDS}):
        arrays = [np.ones(3 << 17) for _ in range(8)]  # 3 MiB each, gone at once
        del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
from numcnn.kernels.cpu import _memory
faults()  # the last time that anything is new
print(plain, faults(), _memory.keep_freed_memory())
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def count(**variables):
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    environment.pop("GLIBC_TUNABLES", None)
    command = [sys.executable, "-c", COUNT_FAULTS]
    output = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, check=True
    ).stdout
    plain, kept, told = output.split()
    return int(plain), int(kept), told == "True"


def test_arrays_come_from_kept_memory():
    plain, kept, told = count()
    assert told
    if plain < 100 * ROUNDS:
        pytest.skip(f"pages here are so large that there is nothing to save: {plain} faults")
    assert kept < plain / 20


def test_the_users_own_settings_stay():
    plain, kept, told = count(MALLOC_TRIM_THRESHOLD_="131072")
    assert not told
    assert kept > plain / 2
