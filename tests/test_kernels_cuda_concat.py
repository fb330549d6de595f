"""Concatenation on a GPU, or in the simulator, against the reference."""

import pytest
from checks_cuda import InOut, Out, both_dtypes, check, random


@both_dtypes
@pytest.mark.parametrize(
    ("shape", "offset", "total"), [((2, 3, 5), 2, 7), ((3, 2, 4), 0, 2), ((0, 2, 3), 1, 4)], ids=str
)
def test_concat(shape, offset, total, dtype):
    y = random(dtype, shape[0], total, shape[2])
    check("concat_forward", random(dtype, *shape, seed=1), offset, InOut(y), exact=True)
    check("concat_backward_input", y, offset, Out(shape, dtype), exact=True)
