"""Elementwise functions on vectors: within 2.5 units in the last place everywhere, right at ±∞, NaN passed on.

exp is 2ⁿ eʳ with small r and a polynomial for eʳ (Cody & Waite 1980); log is n ln 2 + log(1 + f)
with the series of artanh (Fdlibm's e_log). The rest follow from these. A function of the table without a line here is
called lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from scipy import special

from .values import Value
from .vector import on_vectors

LOG2_E = 1 / math.log(2)
# ln 2 in two parts, the first with so many trailing zeros that n times it is exact.
LN2 = {32: (0.693359375, -2.12194440e-4), 64: (0.6931471803691238, 1.9082149292705877e-10)}
# Where r lies. Were it centred on 0, n = 1 would begin at lower x, where twice the rounding of r counts in tanh.
REST = 0.5 - math.log(2), 0.5
OFF_CENTRE = sum(REST) / 2 * LOG2_E
LARGEST = {32: 88.73, 64: 709.79}  # beyond it exp overflows
SMALLEST = {32: -125.0, 64: -800.0}  # beyond it exp is 0, even times 10⁴
TANH_IS_ONE = {32: 9.1, 64: 19.1}  # from it on, tanh rounds to 1
SILU_IS_X = 1e4  # from it on; below its negative, silu is 0
ARTANH_TERMS = {32: 6, 64: 11}


def _economised(terms: int) -> list[float]:
    """Return the coefficients of a polynomial near (eʳ − 1 − r)/r² for r in REST.

    It is the Taylor series without the last terms of its Chebyshev series (Lanczos 1938).
    """
    taylor = Polynomial(1 / special.factorial(np.arange(2, 22)))
    short = taylor.convert(domain=REST, kind=Chebyshev).truncate(terms)
    found: list[float] = short.convert(kind=Polynomial).coef.tolist()
    return found


COEFFICIENTS = {bits: _economised(terms) for bits, terms in {32: 5, 64: 10}.items()}


def _expm1_reduced(r: Value) -> Value:
    """Return eʳ − 1 for r in REST: r + r² times a polynomial, which is one in r² of pairs of terms."""
    terms, square = [r.spread(number) for number in COEFFICIENTS[r.bits]], r * r
    pairs = [low + high * r for low, high in zip(terms[::2], terms[1::2], strict=False)]
    *lower, found = pairs + terms[2 * len(pairs) :]
    for pair in reversed(lower):
        found = found * square + pair
    return found * square + r


def _reduced(x: Value) -> tuple[Value, Value, Value]:
    """Return (n, 2ⁿ, r) with x = n ln 2 + r, r in REST."""
    n, power = (x * LOG2_E - OFF_CENTRE).rounded()
    high, low = LN2[x.bits]
    return n, power, (x - n * high) - n * low


def _shrunk(x: Value) -> Value:
    """Return eˣ for x up to 0."""
    n, _, r = _reduced(x.at_least(SMALLEST[x.bits]))
    return (_expm1_reduced(r) + 1.0).scaled(n)


def _exp(x: Value) -> Value:
    return _shrunk(x.at_most(LARGEST[x.bits]))


def _tanh(x: Value) -> Value:
    """Return tanh as (e²ˣ − 1) / (e²ˣ + 1), from |x|."""
    size = x.call("fabs").at_most(TANH_IS_ONE[x.bits])
    _, scale, r = _reduced(size + size)
    grown = _expm1_reduced(r) * scale + (scale - 1.0)
    return grown.nearly_over(grown, 2.0).call("copysign", x)


def _sigmoid(x: Value) -> Value:
    """Return 1 / (1 + e⁻ˣ), or eˣ / (1 + eˣ) where x < 0: nothing overflows and small values keep their digits."""
    shrunk = _shrunk(-x.call("fabs"))
    return x.if_less(0.0, shrunk, shrunk.spread(1.0)).nearly_over(shrunk, 1.0)


def _log(x: Value) -> Value:
    """Return log x; 0 gives −∞, negative numbers NaN."""
    tiny = float(np.finfo(np.float32 if x.bits == 32 else np.float64).tiny)
    lift = 25 if x.bits == 32 else 54
    lifted = x.if_less(tiny, x * 2.0**lift, x)  # denormals become normal
    n, m = lifted.split(math.sqrt(0.5))
    n = n - x.if_less(tiny, float(lift), 0.0)
    largest = float(np.finfo(np.float32 if x.bits == 32 else np.float64).max)
    found = x.spread(largest).if_less(x, x, _log_of_parts(n, m))
    edge = x.if_less(0.0, float("nan"), float("-inf"))
    return x.if_nan(x, x.spread(0.0).if_less(x, found, edge))


def _log_of_parts(n: Value, m: Value) -> Value:
    """Return n ln 2 + log m for m in [√½, √2): log(1+f) = f − f²/2 + s (f²/2 + R(s²)), s = f/(2+f)."""
    f = m - 1.0
    s = f / (f + 2.0)
    square = s * s
    series = square.spread(2 / (2 * ARTANH_TERMS[m.bits] + 1))
    for k in range(ARTANH_TERMS[m.bits] - 1, 0, -1):
        series = series * square + 2 / (2 * k + 1)
    half = f * f * 0.5
    high, low = LN2[m.bits]
    return n * high - ((half - (s * (half + series * square) + n * low)) - f)


def _softplus(x: Value) -> Value:
    """Return max(x, 0) + log(1 + e^−|x|), with what rounding took from 1 + e^−|x| put back."""
    shrunk = _shrunk(-x.call("fabs"))
    grown = shrunk.spread(1.0).exactly(shrunk, "fadd")
    lost = shrunk.exactly(grown.exactly(shrunk.spread(1.0), "fsub"), "fsub")
    n, m = grown.split(math.sqrt(0.5))
    return x.if_less(0.0, 0.0, x) + (_log_of_parts(n, m) + lost / grown)


def _silu(x: Value) -> Value:
    """Return x / (1 + e⁻ˣ), with x multiplied in before eˣ may become denormal."""
    n, _, r = _reduced((-x.call("fabs")).at_least(SMALLEST[x.bits]))
    grown = _expm1_reduced(r) + 1.0
    finite = x.at_least(-SILU_IS_X)  # −∞ · 0 is 0 here
    found = x.if_less(0.0, (grown * finite).scaled(n), x).over(grown.scaled(n), 1.0)
    return x.if_less(SILU_IS_X, found, x)


PLAIN: dict[str, Callable[..., Any]] = {
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "silu": lambda x: x * special.expit(x),
    "relu": lambda x: np.where(x <= 0, 0.0, x),
    "abs": np.abs,
    "step": lambda x: np.heaviside(x, 0.0),
    "sign": np.sign,
    "geq": lambda a, b: np.heaviside(np.subtract(a, b), 1.0),
    "max": np.maximum,
    "min": np.minimum,
}


def _named(name: str, count: int) -> Callable[[Callable[..., Value]], Any]:
    return on_vectors(count, PLAIN[name])


tanh = _named("tanh", 1)(_tanh)
sigmoid = _named("sigmoid", 1)(_sigmoid)
exp = _named("exp", 1)(_exp)
log = _named("log", 1)(_log)
softplus = _named("softplus", 1)(_softplus)
silu = _named("silu", 1)(_silu)
sqrt = _named("sqrt", 1)(lambda x: x.call("sqrt"))
absolute = _named("abs", 1)(lambda x: x.call("fabs"))
relu = _named("relu", 1)(lambda x: x.if_less(0.0, 0.0, x))
step = _named("step", 1)(lambda x: x.if_nan(x, x.spread(0.0).if_less(x, 1.0, 0.0)))
sign = _named("sign", 1)(lambda x: x.spread(0.0).if_less(x, 1.0, x.if_less(0.0, -1.0, x)))
geq = _named("geq", 2)(lambda a, b: a.if_nan(a, b.if_nan(b, a.if_less(b, 0.0, 1.0))))
maximum = _named("max", 2)(lambda a, b: b.if_nan(b, a.if_less(b, b, a)))
minimum = _named("min", 2)(lambda a, b: b.if_nan(b, b.if_less(a, b, a)))
