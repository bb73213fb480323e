"""What a simulation looks up, tabulated per draw before the kernel runs.

The kernel then only compares a uniform number with a table: a lever or a shock is arithmetic here
and costs nothing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from serving.forecast import philox, variates
from serving.forecast.stages import DESTINATIONS, LOST, STAGES

if TYPE_CHECKING:
    from serving.forecast.funnel import Span
    from serving.forecast.hazards import Parameters
    from serving.forecast.scenario import Levers

# purposes of random numbers, never renumbered; below 16 and from 64 on see the funnel
SHOCK = 16
ARRIVALS = (17, 18)  # leads, deals without a lead
ARRIVAL_FACTOR = (19, 20)
EFFECT = 32  # plus the number of the lever
_TINY = 1e-300  # keeps a share of nothing defined
_LEAST_VARIANCE = 1e-6  # below it a weekly factor is 1 for every purpose
# the kernel asks for won, then the stages from last to first; what is left is lost
_ORDER = tuple(range(LOST - 1, -1, -1))


class Tables(NamedTuple):
    """One row per draw."""

    deals: np.ndarray  # float64 [draws, weeks, stage, band, place], cumulative in _ORDER
    leads: np.ndarray  # float64 [draws, band, set of contacts in force, (qualified, disqualified)]
    arrivals: np.ndarray  # int64 [draws, weeks, 2]: leads, deals without a lead
    amounts: np.ndarray  # float64 [draws, 2], mean and sd of log cents


def tabulate(parameters: Parameters, levers: Levers, span: Span) -> Tables:
    """Return the tables of the draws of `span`, given one row of `parameters` for each."""
    return Tables(
        deals=_deals(parameters, span),
        leads=_leads(parameters, levers, span),
        arrivals=np.stack([_arrivals(parameters, span, kind) for kind in range(2)], axis=-1),
        amounts=parameters.amounts,
    )


def _deals(parameters: Parameters, span: Span) -> np.ndarray:
    """Multiply the odds of going forward by exp(sd z) of the week; accumulate as asked."""
    factor = np.exp(parameters.shock_sd * _normals(span, span.weeks, SHOCK))
    ahead = np.arange(len(DESTINATIONS)) > np.arange(len(STAGES))[:, None]
    ahead[:, LOST] = False
    rates = parameters.deals[:, None]
    weights = np.where(ahead[:, None, :], rates * factor[:, :, None, None, None], rates)
    cumulative = np.cumsum(weights[..., _ORDER], axis=-1)
    return np.ascontiguousarray(cumulative / weights.sum(axis=-1, keepdims=True))


def _leads(parameters: Parameters, levers: Levers, span: Span) -> np.ndarray:
    """Multiply the rate of qualification for every set of contacts that may be in force.

    History already contains contacts, in a share p of lead-weeks, and the hazards are its averages:
    a contact multiplies the average rate by r / (1 + p (r - 1)) for a hazard ratio r against no
    contact.
    """
    log_ratios = [np.zeros(span.draws)]
    for lever in range(levers.rate.size):
        z = _normals(span, 1, EFFECT + lever)[:, 0]
        effect = levers.log_ratio[lever] + levers.log_ratio_sd[lever] * z
        relative = effect - np.log1p(parameters.contacted * np.expm1(effect))
        log_ratios += [others + relative for others in log_ratios]
    ratio = np.exp(np.stack(log_ratios, axis=-1))[:, None, :]
    return raised(parameters.leads[:, :, None, 1], parameters.leads[:, :, None, 2], ratio)


def raised(qualified: np.ndarray, disqualified: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Return the weekly chances (..., 2) after the rate of the first is raised by `ratio`."""
    either = np.clip(qualified + disqualified, 1e-12, 1.0 - 1e-12)
    total = -np.log1p(-either)
    first, second = total * (qualified / either), total * (disqualified / either)
    both = first * ratio + second
    chance, share = -np.expm1(-both), first * ratio / np.maximum(both, _TINY)
    return np.stack([chance * share, chance * (1.0 - share)], axis=-1)


def _arrivals(parameters: Parameters, span: Span, kind: int) -> np.ndarray:
    rate = np.repeat(parameters.arrivals[:, kind, None], span.weeks, axis=1)
    variance = parameters.arrival_variance[kind]
    if variance > _LEAST_VARIANCE:
        u = _uniforms(span, span.weeks, ARRIVAL_FACTOR[kind])
        rate = rate * np.vectorize(variates.gamma, otypes=[float])(1.0 / variance, u) * variance
    u = _uniforms(span, span.weeks, ARRIVALS[kind])
    return np.asarray(np.vectorize(variates.poisson, otypes=[np.int64])(rate, u))


def _normals(span: Span, steps: int, purpose: int) -> np.ndarray:
    u = _uniforms(span, steps, purpose)
    return np.asarray(np.vectorize(variates.normal, otypes=[float])(u))


def _uniforms(span: Span, steps: int, purpose: int) -> np.ndarray:
    """Return [draws, steps] numbers of nobody in particular."""
    return philox.common(span.seed, span.first_draw, span.draws, steps, purpose)
