"""The CUDA kernels of losses against the reference; bounds: checks_cuda.py."""

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check, random, run_reference

from numcnn import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Linear,
    MSELoss,
    MSLELoss,
    MultiMarginLoss,
    NLLLoss,
    Sequential,
    SmoothL1Loss,
    get_device,
)

SIZES = pytest.mark.parametrize("size", [1, 65])
COLUMNS = pytest.mark.parametrize("shape", [(4, 5, 1), (2, 3, 4)], ids=str)
IGNORE = -7


def uniform(dtype, *shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.01, 0.99, shape).astype(dtype)


def compare(op, given, size, dtype):
    """Compare both directions of an elementwise loss."""
    check(f"{op}_forward", *given, Out(size, dtype))
    check(f"{op}_backward_input", *given, random(dtype, size, seed=2), Out(size, dtype))


@both_dtypes
@SIZES
@pytest.mark.parametrize(
    ("op", "numbers"),
    [("l1", ()), *(("smooth_l1", (b,)) for b in (0.0, 0.6)), ("huber", (0.6,))],
    ids=str,
)
def test_distances(op, numbers, size, dtype):
    pred, target = random(dtype, size), random(dtype, size, seed=1)
    if size > 1:
        pred[:6] = target[0], np.nan, np.inf, -np.inf, 1e4, -1e4
    compare(op, (pred, target, *numbers), size, dtype)


@both_dtypes
@SIZES
def test_msle(size, dtype):
    pred, target = uniform(dtype, size), uniform(dtype, size, seed=1)
    if size > 1:
        pred[:3], target[3:5] = (np.nan, -1, -2), (-1, np.nan)
    compare("msle", (pred, target), size, dtype)


@both_dtypes
@SIZES
@pytest.mark.parametrize("log_target", [0, 1])
def test_kl_div(log_target, size, dtype):
    pred, target = random(dtype, size), uniform(dtype, size)
    if size > 1:
        target[:3], pred[3:5] = (0, -1, np.nan), (np.nan, 1e4)
    compare("kl_div", (pred, target, log_target), size, dtype)


@both_dtypes
@SIZES
@pytest.mark.parametrize("repeat", [1, 5])
def test_bce(repeat, size, dtype):
    pred, target = uniform(dtype, size), uniform(dtype, size, seed=1)
    if size > 1:
        pred[:8] = 0, 1, 0, 1, 1e-20, -0.5, 1.5, np.nan
        target[:4], target[8:10] = (0, 1, 1, 0), (2, -1)
    compare("bce", (pred, target, uniform(dtype, repeat, seed=2)), size, dtype)


@both_dtypes
@SIZES
@pytest.mark.parametrize("repeat", [1, 5])
def test_bce_with_logits(repeat, size, dtype):
    pred, target = random(dtype, size), uniform(dtype, size, seed=1)
    if size > 1:
        pred[:4], target[:4] = (1e4, -1e4, 1e4, np.nan), (1, 1, 0, 0)
    weights = uniform(dtype, repeat, seed=2), 3 * uniform(dtype, max(1, repeat - 2), seed=3)
    compare("bce_with_logits", (pred, target, *weights), size, dtype)


def labels(shape):
    n, c, p = shape
    target = np.random.default_rng(5).integers(0, c, (n, p))
    target.reshape(-1)[1::3] = IGNORE
    return target


@both_dtypes
@COLUMNS
def test_nll(shape, dtype):
    n, c, p = shape
    target, options = labels(shape), (uniform(dtype, c), IGNORE)
    check("nll_forward", random(dtype, *shape), target, *options, Out((n, p), dtype), exact=True)
    dlosses = random(dtype, n, p, seed=1)
    check("nll_backward_input", target, *options, dlosses, Out(shape, dtype), exact=True)


@both_dtypes
@COLUMNS
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("op", ["softmax_cross_entropy", "soft_target_cross_entropy"])
def test_cross_entropy(op, smoothing, shape, dtype):
    n, c, p = shape
    scores, losses, out = random(dtype, *shape) * 3, Out((n, p), dtype), Out(shape, dtype)
    scores[0, :, 0] += 1000
    scores[1, 0, 0] = np.nan
    target, options = labels(shape), (uniform(dtype, c), IGNORE, smoothing)
    if op == "soft_target_cross_entropy":
        target, options = uniform(dtype, *shape, seed=1), (uniform(dtype, c), smoothing)
    forward = (scores, target, *options, losses, out)
    check(f"{op}_forward", *forward, terms=c)
    probabilities = run_reference(f"{op}_forward", forward)[len(forward) - 1]
    dlosses = random(dtype, n, p, seed=1)
    check(f"{op}_backward_input", probabilities, target, *options, dlosses, out, terms=c)


@both_dtypes
@pytest.mark.parametrize("power", [1, 2])
def test_multi_margin(power, dtype):
    scores, weight = random(dtype, 7, 5), uniform(dtype, 5)
    scores[0] = 2, 1, 3, 1, 2  # exactly at the margin
    scores[1, 3] = np.nan
    target = np.array([0, 4, 1, 2, 3, 0, 1])
    given = (scores, target, power, 1.0, weight)
    check("multi_margin_forward", *given, Out(7, dtype), terms=5)
    dlosses = random(dtype, 7, seed=1)
    check("multi_margin_backward_input", *given, dlosses, Out((7, 5), dtype), terms=5)


# ---- the losses themselves ------------------------------------------------------------------

WEIGHT = [0.5, 2.0, 1.0]
LOSSES = [
    (CrossEntropyLoss(WEIGHT, ignore_index=1, label_smoothing=0.1), True),
    (CrossEntropyLoss(WEIGHT, label_smoothing=0.1), False),
    (NLLLoss(WEIGHT, reduction="none", ignore_index=1), True),
    (MultiMarginLoss(2, weight=WEIGHT), True),
    (MSELoss("half_sum"), False),
    (L1Loss(), False),
    (SmoothL1Loss(beta=0.3), False),
    (HuberLoss(delta=0.3), False),
    (MSLELoss("none"), False),
    (BCELoss(WEIGHT), False),
    (BCEWithLogitsLoss(pos_weight=WEIGHT), False),
    (KLDivLoss("batchmean"), False),
]


@both_dtypes
@pytest.mark.parametrize(("loss", "labelled"), LOSSES, ids=[repr(loss) for loss, _ in LOSSES])
def test_a_loss_on_the_gpu_is_that_of_the_reference(loss, labelled, dtype):
    pred = uniform(dtype, 4, 3)
    target = np.array([0, 2, 1, 2]) if labelled else uniform(dtype, 4, 3, seed=1)
    loss.to("reference")
    value, gradient = loss(pred, target), loss.backward()
    device = get_device("cuda")
    there = target if labelled else device.to_device(target)
    loss.to("cpu")  # predictions on the GPU take the loss with them
    found = loss(device.to_device(pred), there)
    assert loss.device.name == "cuda"
    eps = 40 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, value, rtol=eps)
    dpred = loss.backward()
    assert device.owns(dpred)
    np.testing.assert_allclose(device.to_host(dpred), gradient, rtol=eps, atol=eps)


def test_numbers_that_cannot_be_meant_are_found_on_the_gpu_too():
    device = get_device("cuda")
    half, outside = (device.to_device(np.full((2, 2), v, np.float32)) for v in (0.5, 1.5))
    with pytest.raises(ValueError, match=r"pred\[0, 0\] is 1.5; it must be a probability"):
        BCELoss()(outside, half)
    with pytest.raises(TypeError, match="takes labels from the host"):
        NLLLoss()(half, device.to_device(np.array([0, 1])))


def test_training_on_the_gpu_with_soft_targets():
    x, y = random(np.float32, 6, 3), np.array([0, 1, -100, 0, 1, 1])
    soft = np.eye(2)[y.clip(0)] * 0.8 + 0.1
    found = []
    for device in ("reference", "cuda"):
        model = Sequential(Linear(3, 2), seed=1, device=device)
        model.fit(x, soft, batch_size=4, verbose=False, seed=1)
        model.fit(x, y, batch_size=4, verbose=False, seed=1)
        found.append((*model.evaluate(x, soft)[:1], *model.evaluate(x, y)))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
