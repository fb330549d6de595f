"""No kernel reads or writes beside an array, through pointers and in compiled loops neither.

Arrays stand between memory that nobody may touch (checks_fences.py): the processor itself ends a
program that goes one number too far, so that program is a process of its own.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core import config

pytestmark = [
    pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the fences are made of Linux's pages"
    ),
]


def fenced(side, which, timeout=300, **environment):
    """Run cases between fences; return exit status, last line of the output and errors."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("checks_fences.py")), side, which],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    return done.returncode, last, done.stderr[-2000:]


def check_shipped(side, which, cases, timeout, **environment):
    status, last, errors = fenced(side, which, timeout, **environment)
    assert status == 0, f"stopped at: {last}\n{errors}"
    arrays, made_inside = map(int, last.split())
    assert arrays > 3 * cases and made_inside > cases
    print(f"{side} {environment}: {arrays} arrays between fences, {made_inside} made by kernels")


CHECKED = {"NUMBA_BOUNDSCHECK": "1"}


@pytest.mark.timeout(900)
def test_no_shipped_kernel_goes_too_far():
    """Every kernel once, as compiled for all cores: what other tests have compiled already."""
    check_shipped("end", "short", 150, 800)


@pytest.mark.timeout(900)
def test_no_index_of_a_serial_build_goes_too_far():
    """A sixth of these, with every index checked, which takes a compilation of its own each.

    Which sixth follows from a hash of the kernels' sources: it is the same until one is edited. The
    long run has them all, and so has test_kernels_races.py, where no compiler takes part.
    """
    check_shipped("end", "sixth", 25, 800, **CHECKED)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("build", ["parallel", "serial"])
@pytest.mark.parametrize("side", ["end", "begin"])
def test_no_shipped_kernel_goes_too_far_on_any_shape(side, build):
    check_shipped(side, "all", 400, 3500, **(CHECKED if build == "serial" else {}))


@pytest.mark.parametrize(
    ("side", "planted"),
    [
        ("end", "writes_behind"),
        ("end", "reads_behind"),
        ("begin", "reads_before"),
        ("end", "writes_far_behind"),
        ("end", "writes_behind_scratch"),
    ],
)
def test_a_kernel_that_goes_too_far_is_stopped_by_the_processor(side, planted):
    status, last, errors = fenced(side, planted)
    assert status == -signal.SIGSEGV, errors
    assert last == planted


def test_an_index_too_far_is_an_error_in_a_serial_build():
    status, _, errors = fenced("begin", "indexes_behind", **CHECKED)
    assert status == 1 and "IndexError" in errors


def test_what_is_written_into_the_rest_of_a_page_is_found():
    status, _, errors = fenced("begin", "writes_behind")
    assert status == 1 and "writes_behind wrote beside an array" in errors


@pytest.mark.parametrize("planted", ["trusts_new_memory", "leaves_one_out"])
def test_numbers_that_nobody_wrote_show(planted):
    status, _, errors = fenced("end", planted)
    assert status == 1 and "a wrong number" in errors


def test_a_kernel_without_fault_passes():
    status, last, errors = fenced("end", "right")
    assert status == 0, errors
    arrays, made_inside = map(int, last.split())
    assert made_inside > 0  # room for each thread
    assert arrays == 2 + made_inside
