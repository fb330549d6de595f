"""The small matrices of Winograd's algorithm F(4×4, 3×3), each for a few numbers of one thread.

They evaluate polynomials at the points 0, ±P, ±Q and infinity. The usual 1 and 2 would spare a few
multiplications; 3/4 and 3/2 cost a third of the rounding errors, and float32 holds their squares
exactly. Rows of a matrix that belong to +p and -p share their sums: those over the even powers of
p, and those over the odd ones. A matrix is applied to the columns of a tile, then to its rows.
"""

import numpy as np

from ._cuda import device

# Constants of float32: Python's own numbers would make everything float64.
P, Q = np.float32(3 / 4), np.float32(3 / 2)
P2, Q2 = P * P, Q * Q
BOTH, PRODUCT = P2 + Q2, P2 * Q2

# a row of G: the powers of a point, divided by its distances from the other points
AT_0 = np.float32(1 / PRODUCT.item())
AT_P = 1 / (2 * (P2 - Q2).item() * P2.item())
AT_Q = 1 / (2 * (Q2 - P2).item() * Q2.item())
P_0, P_1, P_2 = (np.float32(AT_P * P.item() ** k) for k in range(3))
Q_0, Q_1, Q_2 = (np.float32(AT_Q * Q.item() ** k) for k in range(3))


@device
def turn_input(d0, d1, d2, d3, d4, d5):
    """Return Bᵀ d."""
    even, odd = d4 - Q2 * d2, P * (d3 - Q2 * d1)
    even_q, odd_q = d4 - P2 * d2, Q * (d3 - P2 * d1)
    first = d4 - BOTH * d2 + PRODUCT * d0
    last = d5 - BOTH * d3 + PRODUCT * d1
    return first, even + odd, even - odd, even_q + odd_q, even_q - odd_q, last


@device
def turn_weight(g0, g1, g2):
    """Return G g."""
    even, odd = P_0 * g0 + P_2 * g2, P_1 * g1
    even_q, odd_q = Q_0 * g0 + Q_2 * g2, Q_1 * g1
    return AT_0 * g0, even + odd, even - odd, even_q + odd_q, even_q - odd_q, g2


@device
def turn_output(m0, m1, m2, m3, m4, m5):
    """Return Aᵀ m."""
    even, odd = m1 + m2, P * (m1 - m2)
    even_q, odd_q = m3 + m4, Q * (m3 - m4)
    return (
        m0 + even + even_q,
        odd + odd_q,
        P2 * even + Q2 * even_q,
        m5 + P2 * odd + Q2 * odd_q,
    )


@device
def turn_gradient(y0, y1, y2, y3):
    """Return A y: the transpose of `turn_output`."""
    even, odd = y0 + P2 * y2, P * (y1 + P2 * y3)
    even_q, odd_q = y0 + Q2 * y2, Q * (y1 + Q2 * y3)
    return y0, even + odd, even - odd, even_q + odd_q, even_q - odd_q, y3


@device
def turn_sum(m0, m1, m2, m3, m4, m5):
    """Return Gᵀ m: the transpose of `turn_weight`."""
    even, even_q = m1 + m2, m3 + m4
    return (
        AT_0 * m0 + P_0 * even + Q_0 * even_q,
        P_1 * (m1 - m2) + Q_1 * (m3 - m4),
        m5 + P_2 * even + Q_2 * even_q,
    )
