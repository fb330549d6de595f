"""Every layer in float32 beside float64, within the bound that follows from its sums' length."""

import numpy as np
import pytest
from typer.testing import CliRunner

from numcnn import audit, cli, layers
from numcnn.error_bounds import EPS, conv2d_terms
from numcnn.kernels import cpu
from numcnn.kernels.cpu import _jit
from numcnn.layer_bounds import Passes, both_passes, means, neighbours, sums

# made of other layers, or of a layer's own weights: what they compute, those do
PARTS = {"Chain", "Layer", "Parameter", "weight_norm", "remove_weight_norm"}
COMPOSED = PARTS | {"is_grad_enabled", "no_grad"}


@pytest.fixture(autouse=True)
def one_core(request, monkeypatch):
    """Have large arrays, too, take the kernels for one core, unless the test is a long one.

    Those for all cores would be compiled in float64 for these tests alone. In float32 they are
    held to such bounds, one by one, by the kernels' own tests.
    """
    if request.node.get_closest_marker("long") is None:
        monkeypatch.setattr(_jit, "SMALL", 2**62)


def ids(case):
    return f"{case.name}-{case.bound.__name__}-{'x'.join(map(str, case.shape))}"


def test_every_layer_is_audited():
    judged = {case.name for case in audit.AUDITS}
    assert set(layers.__all__) - COMPOSED == judged


@pytest.mark.parametrize("case", audit.AUDITS, ids=ids)
def test_float32_is_within_its_bound_of_float64(case):
    found = list(audit._findings(case, seed=3))
    assert {each.array for each in found} >= {"y", "dx"}
    parameters = [name for name, _ in case.build().named_parameters()]
    assert len(found) == 2 + len(parameters)
    for each in found:
        assert each.ok, each


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("case", audit.AUDITS, ids=ids)
def test_float32_is_within_its_bound_for_other_numbers(case):
    for seed in range(50):
        for each in audit._findings(case, seed):
            assert each.ok, (seed, each)


def passes(build, shape, length=None):
    rng = np.random.default_rng(0)
    layer = build().to("float64")
    x = rng.standard_normal(shape)
    dy = rng.standard_normal(layer.output_shape(shape))
    return Passes(build, layer, x, dy, both_passes(layer, x, dy), length)


def test_a_convolution_counts_its_terms_itself():
    case = passes(lambda: layers.Conv2d(4, 6, (3, 2), groups=2), (5, 4, 9, 8))
    y, weight = case.found["y"].shape, case.found["dweight"].shape
    found = {name: terms for name, (terms, _) in sums(case).items()}
    expected = {
        "y": conv2d_terms("forward", weight, y, 2) + 1,  # the bias
        "dx": conv2d_terms("backward_input", weight, y, 2),
        "dweight": conv2d_terms("backward_weight", weight, y, 2),
        "dbias": 5 * 7 * 7,
    }
    assert found == expected


def test_the_bound_of_a_row_by_hand():
    case = passes(lambda: layers.Linear(3, 1), (1, 3))
    weight, bias = (each.data for each in case.layer.parameters())
    size = np.abs(weight * case.x).sum() + np.abs(bias)
    terms, bound = sums(case)["y"]
    assert terms == 4
    np.testing.assert_allclose(bound[0], 5 * EPS * size, rtol=1e-12)


def test_a_mean_is_told_its_length():
    terms, bound = means(passes(lambda: layers.AvgPool2d(2), (1, 1, 2, 2), 4))["y"]
    assert terms == 4
    assert bound.item() > 0


def test_the_bound_of_a_response_knows_pixels_of_zero():
    # A picture of zeros in one place: 0/0 once gave NaN for a bound, which nothing is within.
    plain = passes(lambda: layers.LocalResponseNorm(3, 0.5), (1, 4, 2, 2))
    x = plain.x.copy()
    x[0, :, 1, 1] = 0
    case = plain._replace(x=x, found=both_passes(plain.layer, x, plain.dy))
    terms, bound = neighbours(case)["dx"]
    roundings = terms + 12 + (terms + 4) * (2 * 0.75 + 2) + 8
    # y = x / k^beta there, so dx = dy / k^beta with k = 1, and nothing is subtracted
    expected = roundings * EPS * 3 * np.abs(plain.dy[0, :, 1, 1])
    np.testing.assert_allclose(bound[0, :, 1, 1], expected, rtol=1e-12)
    assert np.isfinite(bound).all()


@pytest.mark.parametrize(
    ("kernel", "layer", "array"),
    [
        ("linear_forward", "Linear", "y"),
        ("linear_backward_weight", "Linear", "dweight"),
        ("softmax_backward_input", "Softmax", "dx"),
        ("pixel_shuffle_forward", "PixelShuffle", "y"),
        ("batch_norm_backward_input", "BatchNorm2d", "dx"),
        ("sigmoid_forward", "Sigmoid", "y"),
    ],
)
def test_an_error_that_rounding_cant_explain_is_found(kernel, layer, array, monkeypatch):
    right = getattr(cpu, kernel)

    def wrong(*arguments):
        right(*arguments)
        if arguments[-1].dtype == np.float32:
            arguments[-1].reshape(-1)[-1] *= np.float32(1.02)

    monkeypatch.setattr(cpu, kernel, wrong)
    bad = [found for found in audit.audit(layer) if not found.ok]
    assert bad
    assert array in {found.array for found in bad}  # what starts from it is wrong too


def test_nan_is_no_small_error(monkeypatch):
    right = cpu.relu_forward

    def wrong(x, y):
        right(x, y)
        if y.dtype == np.float32:
            y[3] = np.nan

    monkeypatch.setattr(cpu, "relu_forward", wrong)
    (y, _) = audit.audit("relu")
    assert not y.ok


def test_the_command_prints_a_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    result = CliRunner().invoke(cli.app, ["audit", "--layer", "avgpool2d", "--seed", "5"])
    assert result.exit_code == 0, result.output
    for word in ("length of sum", "bound", "seen error", "share of the bound", "AvgPool2d"):
        assert word in result.output
    assert "2 bounds hold; " in result.output


def test_the_command_fails_where_a_bound_is_exceeded(monkeypatch):
    found = audit.Finding("Linear(2, 1)", "dx", 7, 1e-6, 2e-6, 2.0)
    monkeypatch.setattr(audit, "audit", lambda layer, seed: iter([found]))
    result = CliRunner().invoke(cli.app, ["audit"])
    assert result.exit_code == 1
    assert "dx of Linear(2, 1) is 2.00e-06 away from float64, and sums of 7 terms" in result.output
    assert "1 of 1 bounds are exceeded" in result.output


def test_the_command_knows_its_layers():
    result = CliRunner().invoke(cli.app, ["audit", "--layer", "conv3d"])
    assert result.exit_code == 2
    assert "there is no layer 'conv3d' to check; did you mean 'conv2d'?" in result.output
