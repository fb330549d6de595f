"""``numcnn bench --device cpu cuda``: what a step is made of, on the CPU and without a GPU."""

import json
import os

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from numcnn.bench import devices, devices_report, spans, steps
from numcnn.bench.spans import Span
from numcnn.cli import app
from numcnn.device import DeviceError, get_device


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def no_gpu(monkeypatch):
    """Have no GPU, wherever this runs."""

    def get(name):
        if name == "cuda":
            raise DeviceError("device 'cuda' can't be used: it was taken away by a test")
        return get_device(name)

    monkeypatch.setattr(devices, "get_device", get)


@pytest.fixture
def quick_starts(monkeypatch):
    """Start no processes."""
    first = {"first_s": 0.5, "third_s": 0.1}
    cold = {"first_s": 3.0, "third_s": 0.1}
    monkeypatch.setattr(devices, "first_step", lambda *a: cold if len(a) > 3 else first)


def test_columns_are_what_lies_between_and_in_the_spans():
    found = spans.columns(
        [
            Span("host to device", "send", 1.0, 1.5),
            Span("kernel", "a", 2.0, 4.0, device_s=1.25),
            Span("kernel", "b", 4.0, 5.0),
            Span("device to host", "end_figures", 6.0, 6.25),
        ],
        0.0,
        7.0,
    )
    want = {"host to device": 0.5, "launch": 0.75, "kernel": 2.25, "device to host": 0.25}
    assert found == want | {"python": 1.0 + 0.5 + 1.0 + 0.75}
    assert sum(found.values()) == 7.0


def test_a_step_on_the_cpu_adds_up():
    step = steps.Step("mlp", 16, "cpu")
    step.run()
    found = devices.take_apart(step, 3)
    assert found["added_up"] == pytest.approx(1, abs=0.05)
    assert sum(found["columns"].values()) == pytest.approx(found["wall_s"], rel=0.05)
    assert 0 < found["columns"]["kernel"] < found["wall_s"]
    assert found["columns"]["launch"] == found["columns"]["host to device"] == 0
    calls = {row["name"]: row["calls"] for row in found["kernels"]}
    assert calls["linear_forward"] == calls["linear_backward_weight"] == 3
    assert calls["linear_backward_input"] == 2  # the first layer's isn't asked for
    assert calls["adam_update"] == 6
    own = sum(row["kernel_s"] for row in found["kernels"])
    assert own == pytest.approx(found["columns"]["kernel"])


def test_a_span_in_a_span_counts_once():
    device = get_device("reference")
    x, y = np.ones(3, np.float32), np.empty(3, np.float32)
    before = device.kernels
    with spans.recording(device) as found:
        device.kernels.relu_forward(x, y)
        device.begin_figures(x)
        assert device.kernels.__name__ == before.__name__
    assert [(s.kind, s.name) for s in found] == [
        ("kernel", "relu_forward"),
        ("kernel", "begin_figures"),
    ]
    assert found[0].nbytes == 24
    assert device.kernels is before
    assert "begin_figures" not in vars(device)


@pytest.mark.parametrize(
    ("name", "shapes", "products"),
    [
        ("conv2d_forward", [(2, 3, 5, 5), (4, 3, 2, 2), (4,), (2, 4, 4, 4)], 2 * 4 * 16 * 12),
        ("conv2d_backward_input", [(2, 4, 4, 4), (4, 3, 2, 2), (2, 3, 5, 5)], 2 * 4 * 16 * 12),
        ("conv2d_backward_weight", [(2, 4, 4, 4), (2, 3, 5, 5), (4, 3, 2, 2)], 2 * 4 * 16 * 12),
        ("linear_forward", [(7, 5), (3, 5), (3,), (7, 3)], 7 * 5 * 3),
        ("linear_backward_weight", [(7, 3), (7, 5), (3, 5)], 7 * 5 * 3),
        ("relu_forward", [(9,), (9,)], 0),
    ],
)
def test_operations_are_those_of_the_definition(name, shapes, products):
    assert spans.flop(name, tuple(map(np.empty, shapes))) == 2 * products


@pytest.mark.parametrize(
    ("ours", "theirs", "size"),
    [
        ([1, 2, 3], [2, 3, 4], None),
        ([1, 2, 3], [0.5, 1, 2], 1),
        ([1, 2, 3], [2, 1, 2], 4),
        ([1, 2, 3], [0.5, 3, 2], 16),  # what comes between counts
    ],
)
def test_the_batch_size_from_which_on_the_other_wins(ours, theirs, size):
    assert devices.first_win([1, 4, 16], ours, theirs) == size


def test_the_first_step_of_a_fresh_process(tmp_path):
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("there is nothing to load where nothing is compiled")
    found = steps.first_step("mlp", 2, "cpu")
    assert found["first_s"] > found["third_s"] > 0
    with pytest.raises(RuntimeError, match="no network 'nope'"):
        steps.first_step("nope", 2, "cpu")


def test_without_a_gpu_the_cpu_is_measured_and_the_rest_reported(no_gpu, quick_starts):
    question = devices.Question(batch_sizes=(2, 4), rounds=1, cold=True)
    result = devices.ask(["mlp"], question)
    assert result["devices"]["cuda"] == {
        "missing": "device 'cuda' can't be used: it was taken away by a test"
    }
    (one,) = result["results"]
    assert list(one["sides"]) == ["cpu"]
    assert one["first_win"] == {}
    assert one["sides"]["cpu"]["start"] == {"cache_load_s": 0.4, "compile_s": 2.5}
    assert [step["batch_size"] for step in one["sides"]["cpu"]["steps"]] == [2, 4]
    said = devices_report.answers(result)
    assert "cuda was not measured: device 'cuda' can't be used" in said
    assert "faster" not in said


def test_the_answer_in_words(quick_starts):
    question = devices.Question(("cpu", "reference"), (1, 2), rounds=1)
    result = devices.ask(["mlp"], question)
    assert set(result["results"][0]["first_win"]) == {"reference"}
    result["results"][0]["first_win"] = {"reference": None}
    assert "mlp: reference is faster than cpu never in the range 1 to 2" in devices_report.answers(
        result
    )
    result["results"][0]["first_win"] = {"reference": 2}
    assert "reference is faster than cpu from batches of 2 on" in devices_report.answers(result)


def test_command(no_gpu, quick_starts, tmp_path):
    table, picture = tmp_path / "d.json", tmp_path / "d.png"
    options = ["-m", "mlp", "--batch-size", "2", "--rounds", "1", "--json", str(table)]
    done = CliRunner().invoke(
        app, ["bench", "--device", "cpu", "cuda", *options, "--plot", str(picture)]
    )
    assert done.exit_code == 0, done.output
    assert "cuda was not measured" in done.output
    assert "linear_forward" in done.output
    written = json.loads(table.read_text(encoding="utf-8"))
    assert written["results"][0]["sides"]["cpu"]["added_up"] == pytest.approx(1, abs=0.05)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_device_that_is_none():
    done = CliRunner().invoke(app, ["bench", "--device=gpu"])
    assert done.exit_code == 2
    assert "there is no device 'gpu'; choose one of cpu, cuda, reference" in done.output


def test_share_of_the_peak_is_left_out_where_nothing_is_multiplied():
    row = {
        "name": "relu_forward",
        "calls": 1,
        "launch_s": 0,
        "kernel_s": 0.5,
        "flop": 0,
        "bytes": 100,
    }
    product = row | {"name": "linear_forward", "flop": 50}
    side = {"kernels": [row, product]}
    table = devices_report._kernel_table(
        {"network": "n", "sides": {"cpu": side}}, "cpu", {"bytes_per_s": 1000, "flop_per_s": 400}
    )
    console = Console(width=120, record=True)
    console.print(table)
    lines = console.export_text().splitlines()
    assert "20%" in next(line for line in lines if "relu" in line)
    assert "–" in next(line for line in lines if "relu" in line)
    assert "25%" in next(line for line in lines if "linear" in line)
