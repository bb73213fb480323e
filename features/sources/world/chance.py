"""Chance and calendar: a generator of its own for every concern, and moments inside a week.

Times are int64 microseconds since the start of the world. The stream of a concern depends on the
seed, the part and its name alone, so that a new concern changes nothing that others draw.
"""

from __future__ import annotations

import hashlib

import numpy as np

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
NEVER = np.iinfo(np.int64).max

# share of each weekday, Monday first, and the hours from, most, until
OFFICE = ((0.21, 0.22, 0.21, 0.20, 0.16, 0.0, 0.0), (7.0, 11.0, 18.0))
ANYTIME = ((0.17, 0.17, 0.17, 0.16, 0.14, 0.09, 0.10), (5.0, 14.0, 23.5))


def stream(seed: int, concern: str, part: int = 0) -> np.random.Generator:
    """Return the generator of one concern in one part of the world."""
    name = int.from_bytes(hashlib.sha256(concern.encode()).digest()[:8])
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, name, part])))


def moments(
    rng: np.random.Generator,
    week: np.ndarray,
    habit: tuple[tuple[float, ...], tuple[float, float, float]] = ANYTIME,
) -> np.ndarray:
    """Draw a moment in each given week (count since the start), at full seconds."""
    days, (first, most, last) = habit
    # guards the last bin against a sum of shares a rounding error below one
    bounds = np.cumsum(days)[:-1]
    day = np.searchsorted(bounds, rng.random(week.shape), side="right")
    seconds = (rng.triangular(first, most, last, week.shape) * 3_600).astype(np.int64)
    return np.asarray(week * WEEK + day * DAY + seconds * SECOND, dtype=np.int64)


def delays(rng: np.random.Generator, count: int, mean_hours: float) -> np.ndarray:
    """Draw exponential waiting times in microseconds, at least one second."""
    return (1 + rng.exponential(mean_hours * 3_600, count).astype(np.int64)) * SECOND


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x))."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def walk(
    rng: np.random.Generator, level: np.ndarray, steps: int, memory: float, noise: float
) -> np.ndarray:
    """Draw AR(1) paths around `level`, one row per entity: shape (len(level), steps)."""
    path = np.empty((len(level), steps))
    away = rng.normal(0.0, noise / np.sqrt(1.0 - memory**2), len(level))
    for step in range(steps):
        path[:, step] = level + away
        away = memory * away + rng.normal(0.0, noise, len(level))
    return path
