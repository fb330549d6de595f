"""Pictures of a network on the GPU, or in Numba's simulator: as on the host."""

import checks_cuda  # noqa: F401  skips this file without a GPU or simulator
import numpy as np
import pytest

from numcnn import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, pictures

X = np.random.default_rng(0).standard_normal((2, 1, 5, 5)).astype(np.float32)


def network(device):
    layers = [Conv2d(1, 2, 2), ReLU(), MaxPool2d(2), Flatten(), Linear(8, 2)]
    model = Sequential(*layers, seed=0, dtype="float64", device=device)
    model.input_shape = (1, 1, 5, 5)
    return model


@pytest.fixture(scope="module")
def pair():
    return network("cuda"), network("reference")


def test_numbers_are_those_of_the_reference(pair):
    def looks(model):
        maps = pictures.feature_maps(model, X[0]).maps
        best = pictures.activation_maximization(model, 1, steps=2)
        dream = pictures.deep_dream(model, X[0], 0, octaves=1, steps=2)
        flow = pictures.gradient_flow(model, X, np.array([0, 1]))
        return [
            pictures.filters(model).weights,
            *maps.values(),
            pictures.saliency(model, X[0], 1).gradient,
            best.picture,
            best.activations,
            dream.after,
            dream.norms[0],
            pictures.receptive_field(model, 2).paths,
            list(pictures.dead_units(model, X).units.values()),
            list(flow.gradients.values()),
        ]

    for mine, reference in zip(*map(looks, pair), strict=True):
        assert isinstance(mine, np.ndarray | list)
        np.testing.assert_allclose(mine, reference, rtol=1e-9, atol=1e-12)
    assert all(parameter.grad is None for parameter in pair[0].parameters())
