# mypy: disable-error-code=no-untyped-def
# Numba finds the types.
"""Singular values of a matrix whose rows may differ by any power of e, each with all its digits.

Pairs of rows are turned until all are orthogonal: the one-sided method of Jacobi (Hestenes 1958), on rows of norm 1
with the log of their size beside them. It finds even the smallest value to rounding where the rows, at norm 1, are well
conditioned (Demmel and Veselić 1992), and no number leaves the range of floats.
"""

import math

from numba import carray, njit

from bptt.kernels.vector import lanes, load, store, total

LANES = lanes("float64")
SWEEPS = 60


@njit(error_model="numpy")
def _dot(rows, i, j, width):
    sums = load(rows, i, 0, width) * load(rows, j, 0, width)
    for k in range(LANES, width, LANES):
        sums = sums + load(rows, i, k, width - k) * load(rows, j, k, width - k)
    return total(sums)


@njit(error_model="numpy")
def _scale(rows, i, factor, width):
    for k in range(0, width, LANES):
        store(rows, i, k, width - k, factor * load(rows, i, k, width - k))


@njit(error_model="numpy")
def _turn(rows, i, j, down, up, width):
    """Replace row i by i - down j, and row j by j + up i."""
    for k in range(0, width, LANES):
        one, other = load(rows, i, k, width - k), load(rows, j, k, width - k)
        first, second = one - down * other, other + up * one
        store(rows, i, k, width - k, first)
        store(rows, j, k, width - k, second)


@njit(error_model="numpy")
def _normalise(rows, logs, i, width):
    norm = math.sqrt(_dot(rows, i, i, width))
    if norm > 0.0:
        _scale(rows, i, 1 / norm, width)
    logs[i] += math.log(norm) if norm > 0.0 else -math.inf


@njit(error_model="numpy")
def _turn_all(rows, logs, tolerance):
    """Turn pairs of rows until the cosine of each is small; `logs` then holds the logs of the singular values."""
    count, width = rows.shape
    for i in range(count):
        _normalise(rows, logs, i, width)
    for _ in range(SWEEPS):
        turned = 0
        for p in range(count):
            for q in range(p + 1, count):
                i, j = (p, q) if logs[p] >= logs[q] else (q, p)
                if logs[j] == -math.inf:
                    continue
                cosine = _dot(rows, i, j, width)
                if not abs(cosine) > tolerance:
                    continue
                turned += 1
                # In rows m_i = w_i and m_j = r w_j the angle's tangent is t; t / r stays finite as r goes to 0.
                ratio = math.exp(logs[j] - logs[i])
                gap = -math.expm1(2 * (logs[j] - logs[i]))
                reach = gap + math.sqrt(gap * gap + 4 * ratio * ratio * cosine * cosine)
                up = -2 * cosine / reach
                _turn(rows, i, j, up * ratio * ratio, up, width)
                shrink = -math.log1p(up * up * ratio * ratio) / 2
                logs[i] += shrink
                logs[j] += shrink
                _normalise(rows, logs, i, width)
                _normalise(rows, logs, j, width)
        if turned == 0:
            return


def turn_all(rows, width, count, logs):
    _turn_all(carray(rows, (count, width)), carray(logs, (count,)), width * 2.0**-53)
