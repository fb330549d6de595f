"""exp, expm1, tanh, log1p, erfc and maximum for loops: arithmetic that compiles to vectors.

The C library computes one number per call, and a call keeps the compiler from vectorising the
loop around it. These are a few products and sums, the same for every number:

- exp(x) = 2ᵏ exp(r), where k is the integer nearest to x / ln 2 and r = x - k ln 2, at most
  ln 2 / 2 in size. ln 2 is subtracted in two parts, the first short enough for k times it to be
  exact. exp(r) = 1 + r + r² p(r), with a polynomial p.
- k is rounded without an integer in sight: x / ln 2 + 1.5·2²³ has no room for fractions, and its
  lowest bits are k. Shifted to where a float32 number has its exponent they make 2ᵏ. This comes
  as two factors, so that results below the smallest normal number, and infinity, are right.
- expm1(x) = 2ᵏ (exp(r) - 1) + (2ᵏ - 1) has no such difference near 0, where k is 0.
- tanh(x) = -e / (2 + e) with e = expm1(-2 |x|), and the sign of x.
- log1p(x) = 2 artanh(s) with s = x / (2 + x), at most 1/3: an odd polynomial.
- erfc(x) = exp(-x²) t p(t) with t = 1 / (1 + 0.4 x), and 2 - that for the other sign.

The polynomials have the least largest error (relative, for erfc) on their intervals; they were
found by exchange of the extrema in 40 digits, and tests/test_kernels_functions.py finds them anew
and measures every function on float32 numbers of all sizes: exp is within 1.1 units in the last
place of the exact value, expm1 and tanh 2.0, log1p 1.3. erfc squares its argument, so what it loses
grows with x² (relative to the result, which is then tiny): 4 + 2 x² half units.

For float64, and with NUMBA_DISABLE_JIT=1, they are those of `math`. `maximum` knows what to do
with NaN, which is why a loop of them may be vectorised; one of ``max()`` may not.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

# What the compiler may do: one rounding for a product and a sum, but no other order. What it must:
# put the function into the loop, since a call is what keeps loops from being vectorised.
EXACT = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}
_FLOAT, _INT = ir.FloatType(), ir.IntType(32)

ONE, TWO, HALF = np.float32(1), np.float32(2), np.float32(0.5)
MAGIC = np.float32(1.5 * 2**23)
PER_LN2 = np.float32(1 / math.log(2))
LN2_HIGH = np.float32(0.693359375)  # 9 bits
LN2_LOW = np.float32(math.log(2) - 0.693359375)
LEAST, LARGEST = np.float32(-104), np.float32(89)  # exp is 0 below and infinite above
ALL_LOST = np.float32(-20)  # expm1 is -1 below
SLOPE = np.float32(0.4)

# coefficients, that of the lowest power first
EXP = tuple(
    np.float32(c)
    for c in (0.5000000027, 0.1666657697, 0.04166637513, 8.363181235e-3, 1.394112413e-3)
)
ARTANH = tuple(np.float32(c) for c in (0.3333331949, 0.2000389118, 0.1411563978, 0.1344180463))
ERFC = tuple(
    np.float32(c)
    for c in (
        *(0.225706224, 0.22496534, 0.21480852, 0.130195237, 0.270575835),
        *(-0.281592214, 0.544102098, -0.496313784, 0.196951778, -0.0293990248),
    )
)


def exp(x):
    """Return e to the power of x."""
    return math.exp(x)


def expm1(x):
    """Return exp(x) - 1 for x that is not positive."""
    return math.expm1(x)


def tanh(x):
    """Return the hyperbolic tangent of x."""
    return math.tanh(x)


def log1p(x):
    """Return log(1 + x) for x from 0 to 1."""
    return math.log1p(x)


def erfc(x):
    """Return 1 minus the error function of x."""
    return math.erfc(x)


def maximum(a, b):
    """Return the greater of two numbers of one type, or NaN where one is NaN."""
    return a if a > b or a != a else b


@intrinsic
def _maximum(typing, a, b):
    def generate(context, builder, signature, args):
        number = args[0].type
        name = f"llvm.maximum.f{8 * context.get_abi_sizeof(number)}"
        kind = ir.FunctionType(number, [number] * 2)
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, args, fastmath=("nsz",))

    return a(a, a), generate


@overload(maximum)
def _choose_maximum(a, b):
    return lambda a, b: _maximum(a, b)  # noqa: PLW0108 (Numba wants a function)


def _for_float32(plain):
    """Compile the decorated function where `plain` is called with a float32 number."""

    def register(fast):
        @overload(plain, jit_options=EXACT)
        def choose(x):
            return fast if x == types.float32 else plain

        return fast

    return register


@intrinsic
def _power_of_two(typing, x):
    """Return 2ᵏ for x = MAGIC + k."""

    def generate(context, builder, signature, args):
        bits = builder.bitcast(args[0], _INT)
        exponent = builder.add(builder.shl(bits, _INT(23)), _INT(127 << 23))
        return builder.bitcast(exponent, _FLOAT)

    return types.float32(types.float32), generate


@intrinsic
def _with_sign(typing, size, sign):
    """Return |size| with the sign of `sign`."""

    def generate(context, builder, signature, args):
        kind = ir.FunctionType(_FLOAT, [_FLOAT] * 2)
        copy = cgutils.get_or_insert_function(builder.module, kind, "llvm.copysign.f32")
        return builder.call(copy, args)

    return types.float32(types.float32, types.float32), generate


@_for_float32(exp)
def _exp(x):
    x = LEAST if x < LEAST else x  # NaN stays NaN
    x = LARGEST if x > LARGEST else x
    k = (x * PER_LN2 + MAGIC) - MAGIC
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = EXP[0] + r * (EXP[1] + r * (EXP[2] + r * (EXP[3] + r * EXP[4])))
    half = HALF * k + MAGIC
    rest = (k - (half - MAGIC)) + MAGIC
    return (ONE + (r + r * r * p)) * _power_of_two(half) * _power_of_two(rest)


@_for_float32(expm1)
def _expm1(x):
    x = ALL_LOST if x < ALL_LOST else x
    shifted = x * PER_LN2 + MAGIC
    k = shifted - MAGIC
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = EXP[0] + r * (EXP[1] + r * (EXP[2] + r * (EXP[3] + r * EXP[4])))
    power = _power_of_two(shifted)
    return power * (r + r * r * p) + (power - ONE)


@_for_float32(tanh)
def _tanh(x):
    e = expm1(-TWO * abs(x))
    return _with_sign(e / (TWO + e), x)


@_for_float32(log1p)
def _log1p(x):
    s = x / (TWO + x)
    z = s * s
    p = ARTANH[0] + z * (ARTANH[1] + z * (ARTANH[2] + z * ARTANH[3]))
    return TWO * (s + s * z * p)


@_for_float32(erfc)
def _erfc(x):
    size = abs(x)
    t = ONE / (ONE + SLOPE * size)
    p = ERFC[5] + t * (ERFC[6] + t * (ERFC[7] + t * (ERFC[8] + t * ERFC[9])))
    p = ERFC[0] + t * (ERFC[1] + t * (ERFC[2] + t * (ERFC[3] + t * (ERFC[4] + t * p))))
    tail = exp(-size * size) * (t * p)
    return TWO - tail if x < 0 else tail
