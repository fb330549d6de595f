"""The picture of docs/cuda.md: what the simulator was seen to do is what the page says."""

import numpy as np
import pytest
from checks_cuda import kernels

from numcnn.kernels.cuda import _cuda
from numcnn.pictures import thread_map as pictures


@pytest.fixture(scope="module")
def seen():
    if not _cuda.SIMULATED:
        pytest.skip("threads can only be watched in the simulator")
    return pictures._convolution()


@pytest.mark.parametrize(("way", "output", "count"), [(0, "y", 36), (1, "dx", 169)])
def test_every_number_has_one_owner_and_that_is_the_thread_of_its_number(seen, way, output, count):
    writes = [access for access in seen[way] if access.write]
    assert {access.what for access in writes} == {output}
    assert len(writes) == count == len({access.place for access in writes})
    width = int(count**0.5)
    for access in writes:
        assert access.thread == access.place[-2] * width + access.place[-1]


def test_a_thread_of_the_gradient_gathers_from_every_window_over_its_pixel(seen):
    """Pixel (4, 4) lies in the windows that begin at rows and columns 2 and 4: dy 1 and 2."""
    thread = 4 * 13 + 4
    read = {a.place[-2:] for a in seen[1] if a.thread == thread and a.what == "dy"}
    assert read == {(1, 1), (1, 2), (2, 1), (2, 2)}


def test_the_picture(seen, tmp_path):
    figure = pictures.thread_map(tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes) == 6
    labels = [text.get_text() for text in figure.axes[3].texts]
    assert labels == [str(number) for number in range(169)]


def test_only_the_simulator_can_be_watched(monkeypatch):
    monkeypatch.setattr(_cuda, "SIMULATED", False)
    with pytest.raises(RuntimeError, match="NUMBA_ENABLE_CUDASIM=1"):
        pictures.watch(kernels.relu_forward, {"x": np.ones(1)})
