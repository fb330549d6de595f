"""Random decisions: CUDA against the reference, bit for bit."""

import numpy as np
import pytest
from checks_cuda import Out, both_dtypes, check

from numcnn import Dropout


@both_dtypes
@pytest.mark.parametrize("size", [67, 1030, 0])
def test_bernoulli(size, dtype):
    key = 0xA4093822, 0x299F31D0
    check("bernoulli_forward", *key, 3 * 2**40 + 7, 3**19, 1.25, Out(size, dtype), exact=True)
    check("bernoulli_forward", *key, 0, 2**32 - 1, 1.25, Out(size, dtype), exact=True)


def test_a_mask_is_the_same_on_the_gpu():
    x = np.ones((7, 10), np.float32)
    masks = []
    for device in ("cuda", "reference"):
        layer = Dropout(0.4).to(device)
        layer.reseed(3)
        masks.append(layer.device.to_host(layer(layer.device.to_device(x))))
    np.testing.assert_array_equal(*masks)
