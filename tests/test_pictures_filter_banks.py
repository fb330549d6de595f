"""Gabor and Gaussian filters: what they add up to, and what they answer to."""

import numpy as np
import pytest

from numcnn import Conv2d, ShapeError, pictures
from numcnn.pictures import filter_bank, gabor, gaussian, grating, tuning_curves


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("sigma", [1e-3, 0.3, 1.0, 50.0])
def test_a_gaussian_adds_up_to_one_and_is_round(size, sigma):
    values = gaussian(size, sigma)
    assert values.shape == (size, size)
    assert values.sum() == pytest.approx(1, abs=1e-12)
    assert np.array_equal(values, values.T)
    assert np.array_equal(values, values[::-1, ::-1])
    assert values.max() == values[size // 2, size // 2]


def test_a_gaussian_has_its_width():
    values = gaussian(41, 3.0)
    at = np.arange(41) - 20
    assert (values.sum(axis=0) * at**2).sum() == pytest.approx(9, rel=1e-6)
    assert values[20, 23] / values[20, 20] == pytest.approx(np.exp(-0.5))


def test_a_gaussian_keeps_an_even_grey_and_blurs():
    conv = Conv2d(1, 1, 5, bias=False, dtype="float64")
    conv.weight.data = filter_bank([gaussian(5, 1)])
    assert conv(np.full((1, 1, 6, 6), 0.7)) == pytest.approx(0.7)
    noise = np.random.default_rng(0).standard_normal((1, 1, 30, 30))
    assert conv(noise).std() < 0.4


def test_a_gabor_is_the_formula():
    size, wavelength, sigma, gamma = 7, 5.0, 2.0, 0.6
    theta, phase = np.deg2rad(30), np.deg2rad(40)
    values = gabor(size, wavelength, 30, sigma, 40, gamma)
    for row in range(size):
        for column in range(size):
            x, y = column - 3, row - 3
            u = x * np.cos(theta) + y * np.sin(theta)
            v = -x * np.sin(theta) + y * np.cos(theta)
            expected = np.exp(-(u * u + gamma**2 * v * v) / (2 * sigma**2))
            expected *= np.cos(2 * np.pi * u / wavelength + phase)
            assert values[row, column] == pytest.approx(expected, abs=1e-12)


def test_the_angle_of_a_gabor():
    upright = gabor(9, 4, 0)
    assert np.allclose(upright, upright[::-1])  # stripes from top to bottom
    assert upright[4, 4] > 0 > upright[4, 2]
    assert np.allclose(gabor(9, 4, 90), upright.T)
    assert np.allclose(gabor(9, 4, 180), upright)
    edge = gabor(9, 4, 0, phase=90)
    assert np.allclose(edge, -edge[:, ::-1])
    assert np.allclose(upright, gabor(9, 4, 0, sigma=0.56 * 4))
    falling = gabor(9, 4, 45)  # across the stripes it goes right and down
    assert falling[2, 6] > 0 > falling[6, 6] - falling[4, 4]
    assert abs(falling[3, 5]) > abs(falling[3, 3])


@pytest.mark.parametrize("size", [9, 12, 15])
@pytest.mark.parametrize("phase", [0, 60, 90])
def test_a_gabor_answers_strongest_at_its_own_angle(size, phase):
    angles = np.arange(0, 180, 15.0)
    bank = filter_bank([gabor(size, 5, angle, phase=phase) for angle in angles])
    curves = tuning_curves(bank, 5, angles)
    assert np.array_equal(curves.preferred, angles)
    assert curves.responses.shape == (12, 12)
    at_own = curves.responses.diagonal()
    across = curves.responses[np.arange(12), (np.arange(12) + 6) % 12]
    assert (across < 0.25 * at_own).all()


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_as_weights_of_a_convolution_that_sees_gratings(device):
    angles = [0, 30, 60, 90, 120, 150]
    conv = Conv2d(1, 6, 9, bias=False, device=device)
    conv.weight.data = filter_bank([gabor(9, 4, angle) for angle in angles])
    stripes = np.stack([grating(21, 4, angle)[None] for angle in angles])
    strength = np.abs(conv(stripes)).max(axis=(2, 3))  # over all places, so over all phases
    assert strength.argmax(axis=0).tolist() == list(range(6))
    assert strength.argmax(axis=1).tolist() == list(range(6))


def test_tuning_curves_are_amplitudes():
    # The answer to a moving grating is a sine wave; its amplitude is its largest value.
    weights = np.random.default_rng(1).standard_normal((2, 1, 5, 5))
    angles = [0.0, 40.0, 110.0]
    curves = tuning_curves(weights, 3.7, angles)
    for number in range(2):
        for at, angle in enumerate(angles):
            moving = [
                (weights[number, 0] * grating(5, 3.7, angle, phase)).sum()
                for phase in np.linspace(0, 360, 721)
            ]
            assert curves.responses[number, at] == pytest.approx(max(moving), rel=1e-4)


def test_tuning_of_filters_that_are_not_square_and_of_many_channels():
    weights = np.zeros((1, 2, 3, 5))
    weights[0, :, 1] = np.cos(2 * np.pi * (np.arange(5) - 2) / 4) / 2
    curves = tuning_curves(weights, 4)
    assert curves.angles.tolist() == list(range(0, 181, 3))
    assert curves.preferred.tolist() == [0]
    assert curves.responses[0, 0] == pytest.approx(curves.responses[0, -1]) == pytest.approx(3)


def test_a_bank_for_colours_answers_alike_to_grey():
    filters = [gabor(5, 4, 20), gaussian(5, 1)]
    grey, colour = filter_bank(filters), filter_bank(filters, 3)
    assert grey.shape == (2, 1, 5, 5)
    assert colour.shape == (2, 3, 5, 5)
    assert np.allclose(colour.sum(axis=1), grey[:, 0])


def test_a_grating():
    assert np.allclose(grating(8, 4, 0)[0], np.cos(np.pi / 2 * (np.arange(8) - 3.5)))
    assert np.allclose(grating(8, 4, 90), grating(8, 4, 0).T)
    assert np.allclose(grating(8, 4, 33, 180), -grating(8, 4, 33))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: gaussian(0, 1), "size must be at least 1"),
        (lambda: gaussian(3, 0), "sigma must be above 0"),
        (lambda: gabor(3, 0, 0), "wavelength must be above 0"),
        (lambda: gabor(3, 4, 0, sigma=-1), "sigma must be above 0"),
        (lambda: gabor(3, 4, 0, gamma=float("inf")), "gamma must be above 0"),
        (lambda: grating(3, float("nan"), 0), "wavelength must be above 0"),
        (lambda: tuning_curves(np.ones((1, 1, 3, 3)), 0), "wavelength must be above 0"),
        (lambda: tuning_curves(np.ones((3, 3)), 4), r"must have shape .* got \(3, 3\)"),
        (lambda: filter_bank([]), "filters of one size"),
        (lambda: filter_bank([gaussian(3, 1), gaussian(5, 1)]), r"\(3, 3\), \(5, 5\)"),
        (lambda: filter_bank([np.ones(3)]), "filters of one size"),
    ],
)
def test_filters_that_make_no_sense(call, said):
    with pytest.raises(ValueError, match=said):
        call()
    assert issubclass(ShapeError, ValueError)


def test_a_bank_can_be_seen():
    bank = filter_bank([gabor(9, 4, angle) for angle in (0, 90)])
    assert pictures.Filters("bank", bank).sheet().shape == (9, 19)
