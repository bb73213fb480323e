"""Draws by inversion: one uniform number in, one variate out.

One number per draw keeps common random numbers common: a scenario that changes a rate moves its
variate and no other.
"""

from __future__ import annotations

import math

from numba import njit

# the normal quantile by P. J. Acklam: relative error 1.15e-9, before the step that corrects it
_CENTRE_TOP = (
    -3.969683028665376e01,
    2.209460984245205e02,
    -2.759285104469687e02,
    1.383577518672690e02,
    -3.066479806614716e01,
    2.506628277459239e00,
)
_CENTRE_BOTTOM = (
    -5.447609879822406e01,
    1.615858368580409e02,
    -1.556989798598866e02,
    6.680131188771972e01,
    -1.328068155288572e01,
    1.0,
)
_TAIL_TOP = (
    -7.784894002430293e-03,
    -3.223964580411365e-01,
    -2.400758277161838e00,
    -2.549732539343734e00,
    4.374664141464968e00,
    2.938163982698783e00,
)
_TAIL_BOTTOM = (
    7.784695709041462e-03,
    3.224671290700398e-01,
    2.445134137142996e00,
    3.754408661907416e00,
    1.0,
)
_TAIL = 0.02425
_POISSON_LARGE = 500.0  # above this mean exp(-mean) nears underflow
_GAMMA_STEPS = 30
_SERIES_TERMS = 100_000
_TINY = 1e-300
_PRECISION = 1e-15


@njit(cache=True, nogil=True)
def normal(u: float) -> float:
    """Return the standard normal quantile of u: Acklam's approximation and one Halley step."""
    if u > 0.5:
        return -_lower_normal(1.0 - u)
    return _lower_normal(u)


@njit(cache=True, nogil=True)
def poisson(mean: float, u: float) -> int:
    """Return the smallest k with P(Poisson <= k) >= u; above a mean of 500 Cornish-Fisher."""
    if mean > _POISSON_LARGE:
        z = normal(u)
        return max(0, math.floor(mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0 + 0.5))
    k = 0
    probability = math.exp(-mean)
    total = probability
    while total < u and probability > 0.0:
        k += 1
        probability *= mean / k
        total += probability
    return k


@njit(cache=True, nogil=True)
def gamma(shape: float, u: float) -> float:
    """Return the quantile of u of Gamma(shape, 1): Wilson-Hilferty, then Halley steps."""
    x = _gamma_guess(shape, u)
    log_gamma = math.lgamma(shape)
    for _ in range(_GAMMA_STEPS):
        density = math.exp((shape - 1.0) * math.log(x) - x - log_gamma) if x > 0.0 else 0.0
        if density == 0.0:
            return x
        newton = (_gamma_below(shape, x, log_gamma) - u) / density
        move = newton / (1.0 - 0.5 * min(1.0, newton * ((shape - 1.0) / x - 1.0)))
        x = x - move if x > move else 0.5 * x
        if abs(move) < 1e-12 * x:
            return x
    return x


@njit(cache=True, nogil=True)
def _lower_normal(u: float) -> float:
    if u < _TAIL:
        q = math.sqrt(-2.0 * math.log(u))
        x = _horner(_TAIL_TOP, q) / _horner(_TAIL_BOTTOM, q)
    else:
        q = u - 0.5
        x = q * _horner(_CENTRE_TOP, q * q) / _horner(_CENTRE_BOTTOM, q * q)
    error = 0.5 * math.erfc(-x / math.sqrt(2.0)) - u
    newton = error * math.sqrt(2.0 * math.pi) * math.exp(0.5 * x * x)
    return x - newton / (1.0 + 0.5 * x * newton)


@njit(cache=True, nogil=True)
def _horner(coefficients: tuple[float, ...], x: float) -> float:
    total = 0.0
    for coefficient in coefficients:
        total = total * x + coefficient
    return total


@njit(cache=True, nogil=True)
def _gamma_guess(shape: float, u: float) -> float:
    if shape > 1.0:
        cube = 1.0 - 1.0 / (9.0 * shape) + normal(u) / (3.0 * math.sqrt(shape))
        return max(1e-3, shape * cube * cube * cube)
    split = 1.0 - shape * (0.253 + shape * 0.12)
    if u < split:
        return float((u / split) ** (1.0 / shape))
    return 1.0 - math.log(1.0 - (u - split) / (1.0 - split))


@njit(cache=True, nogil=True)
def _gamma_below(shape: float, x: float, log_gamma: float) -> float:
    """Return P(Gamma(shape) <= x): series below shape + 1, Lentz's fraction above."""
    scale = math.exp(shape * math.log(x) - x - log_gamma)
    if x < shape + 1.0:
        return scale * _gamma_series(shape, x)
    return 1.0 - scale * _gamma_fraction(shape, x)


@njit(cache=True, nogil=True)
def _gamma_series(shape: float, x: float) -> float:
    term = 1.0 / shape
    total = term
    for k in range(1, _SERIES_TERMS):
        term *= x / (shape + k)
        total += term
        if term < total * _PRECISION:
            break
    return total


@njit(cache=True, nogil=True)
def _gamma_fraction(shape: float, x: float) -> float:
    b = x + 1.0 - shape
    c = 1.0 / _TINY
    d = 1.0 / b
    total = d
    for k in range(1, _SERIES_TERMS):
        a = k * (shape - k)
        b += 2.0
        d = 1.0 / (a * d + b)
        c = b + a / c
        total *= d * c
        if abs(d * c - 1.0) < _PRECISION:
            break
    return total
