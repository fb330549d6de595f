"""The parts of ``numcnn bench gpu`` and ``numcnn bench --device cuda`` on the device itself.

In the simulator with tiny networks, and a clock that means nothing there: what is shown is that
every part runs, finds what it should, and writes what a reader needs.
"""

import sys
import types

import numpy as np
import pytest
from checks_cuda import kernels  # noqa: F401 - skips this file where there is no device
from checks_cuda_products import by_numpy

from numcnn.bench import devices, gpu_algorithms, gpu_parts, networks, spans
from numcnn.bench.steps import Step
from numcnn.device import get_device
from numcnn.error_bounds import OPERATIONS
from numcnn.kernels.cuda import _cuda, _peak, _tiles, conv2d_winograd


def test_every_thread_does_all_its_multiply_adds():
    blocks, rounds = 2, 3
    operations, sums = _peak.multiply_add(blocks, rounds)
    assert operations == blocks * _peak.THREADS * 16 * rounds
    half = np.float32(0.5)
    want = np.array([half, half + 1, half - 1, -half, 1, 2, -1, 1.5], np.float32)
    for _ in range(rounds):
        want = want * half + np.float32(1)
    np.testing.assert_allclose(_cuda.to_host(sums), want.sum(), rtol=1e-6)


def test_a_step_on_the_gpu_is_taken_apart():
    step = Step("mlp", 4, "cuda")
    found = devices.take_apart(step, 1)
    names = {row["name"]: row for row in found["kernels"]}
    assert {"linear_forward", "sigmoid_forward", "adam_update", "begin_figures"} <= set(names)
    assert names["linear_forward"]["calls"] == 3
    assert names["linear_forward"]["flop"] == 2 * 4 * (2 * 5 + 5 * 20 + 20 * 2)
    assert found["columns"]["host to device"] > 0
    assert found["columns"]["device to host"] > 0
    assert found["added_up"] == pytest.approx(1, abs=0.05)


def test_parity_says_how_near_it_is(monkeypatch):
    found = gpu_parts.parity(("mlp",), 3)
    near = found["networks"]["mlp"]
    assert 0 < near["difference"] < near["bound"]
    assert found["failed"] == []
    assert found["rows"][0].startswith("mlp ×3: differs by ")
    results = Step.results
    monkeypatch.setattr(
        Step,
        "results",
        lambda self: {
            k: v * (1 + 0.01 * (self.device.name == "cuda")) for k, v in results(self).items()
        },
    )
    found = gpu_parts.parity(("mlp",), 3)
    assert len(found["failed"]) == 1
    assert "WRONG" in found["rows"][0]


def test_shares_of_the_peak(monkeypatch):
    monkeypatch.setattr(gpu_parts, "peak", lambda device: 1e9)
    monkeypatch.setattr(gpu_parts, "bandwidth", lambda device: 1e9)
    monkeypatch.setattr(
        gpu_parts, "in_turn", lambda sides, rounds: [s() for s in sides.values()] and {"": 1e-3}
    )
    found = gpu_parts.peak_share(((1, 2, 3),), 1)
    operations = [one["operation"] for one in found["convolutions"]]
    assert operations == ["forward", "backward_input", "backward_weight"]
    flop = 2 * 1 * 2 * 2 * 9 * 9
    assert {one["share_of_peak"] for one in found["convolutions"]} == {flop / 1e-3 / 1e9}
    assert len(found["rows"]) == 4


@pytest.fixture
def two_shapes(monkeypatch):
    """Have convolutions by each algorithm of two tiny shapes timed, each once."""
    monkeypatch.setattr(_tiles, "choose", lambda rows, tensor_cores: _tiles.Tile(16, 16, 4, 4, 4))
    if _cuda.SIMULATED:
        monkeypatch.setattr(conv2d_winograd, "multiply", by_numpy)
    monkeypatch.setattr(gpu_algorithms, "LEAST_SECONDS", 1e-9)

    def once(sides, rounds):
        return {name: (side(), 1e-3 * len(name))[1] for name, side in sides.items()}

    monkeypatch.setattr(gpu_algorithms, "in_turn", once)
    return gpu_algorithms.Case(2, 1, 2, 3), gpu_algorithms.Case(1, 2, 1, 5)


def test_algorithms_are_compared_and_timed(two_shapes):
    found = gpu_algorithms.algorithms(two_shapes[:1])
    assert [one["operation"] for one in found["convolutions"]] == [*OPERATIONS]
    for one in found["convolutions"]:
        assert one["seconds"] == pytest.approx(
            {"implicit_gemm": 13e-3, "loops": 5e-3, "winograd": 8e-3}
        )
        assert all(0 < used < 1 for used in one["bound_used"].values())
    assert found["rows"][0] == (
        "2×1×3×3, 2 filters of 3×3, forward: implicit_gemm 13 ms, loops 5 ms, winograd 8 ms"
    )
    assert found["rows"][-1] == (
        "backward_weight: winograd is faster than implicit_gemm for 1 of 1 shapes, "
        "1.62 to 1.62 times as fast"
    )
    assert found["failed"] == found["left_out"] == []


def test_what_is_wrong_or_comes_too_late_isnt_timed(two_shapes, monkeypatch):
    right = conv2d_winograd.conv2d_forward
    monkeypatch.setattr(
        conv2d_winograd, "conv2d_forward", lambda x, w, b, *rest: right(x, w, b * 2, *rest)
    )
    monkeypatch.setattr(gpu_algorithms, "OPERATIONS", ("forward",))
    found = gpu_algorithms.algorithms(two_shapes[:1])
    assert found["failed"] == ["2×1×3×3, 2 filters of 3×3, forward: WRONG: winograd"]
    assert found["convolutions"] == []
    found = gpu_algorithms.algorithms(two_shapes, seconds=-1)
    assert len(found["left_out"]) == 2
    assert found["rows"] == ["no time for 2 passes"]


def test_the_shapes_are_those_that_winograd_could_pay_for():
    for case in gpu_algorithms.CASES:
        assert min(case.channels, case.filters) >= 64
    assert len(set(gpu_algorithms.CASES)) == len(gpu_algorithms.CASES)


def test_bandwidth_counts_reading_and_writing():
    assert devices.bandwidth(get_device("cuda"), nbytes=512, rounds=1) > 0


def test_the_share_of_launches(monkeypatch):
    monkeypatch.setattr(gpu_parts, "BATCH", 2)
    found = gpu_parts.launches("mlp", 1)
    assert list(found["sides"]) == ["one by one", "as a graph"]
    for side, row in zip(found["sides"].values(), found["rows"], strict=True):
        assert 0 <= side["launch_share"] <= 1
        assert side["wall_s"] > 0
        assert "launch share" in row


def test_a_step_that_cant_be_repeated_is_no_figure(monkeypatch):
    monkeypatch.setattr(get_device("cuda"), "graphs", False)
    with pytest.raises(RuntimeError, match="not repeated: graphs are switched off"):
        Step("mlp", 2, "cuda").repeated()()


def test_a_repeated_step_learns_as_the_other_does():
    steps = [Step("mlp", 2, "cuda") for _ in range(2)]
    repeated = steps[1].repeated()
    assert [steps[0].run() for _ in range(4)] == [repeated() for _ in range(4)]


def test_steps_beside_torch(monkeypatch):
    """PyTorch's own side needs a GPU; here something else takes its turns."""
    switches = types.SimpleNamespace
    matrices, cudnn = switches(allow_tf32=None), switches(allow_tf32=None)
    backends = switches(cuda=switches(matmul=matrices), cudnn=cudnn)
    monkeypatch.setitem(sys.modules, "torch", switches(__version__="0", backends=backends))
    turns = []
    monkeypatch.setattr(gpu_parts, "_theirs", lambda step: lambda: turns.append(cudnn.allow_tf32))
    monkeypatch.setattr(gpu_parts, "BATCH", 2)
    found = gpu_parts.torch_steps(("mlp",), 1)
    assert [one["tf32"] for one in found["steps"]] == [False, True]
    assert turns == [False] * 4 + [True] * 4
    assert all(set(one["seconds"]) == {"numcnn", "torch"} for one in found["steps"])
    assert "TF32 on" in found["rows"][1]


def test_recording_leaves_the_device_as_it_was():
    device = get_device("cuda")
    before = device.kernels, set(vars(device))
    with spans.recording(device) as found:
        device.to_host(device.to_device(np.ones(3, np.float32)))
    assert [span.name for span in found] == ["to_device", "to_host"]
    assert (device.kernels, set(vars(device))) == before
    assert networks.build("mlp").device is not device
