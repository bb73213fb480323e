"""The choice of a curve by nested validation: on blocks of time it was not fitted on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from jobs.train.calibration import logistic
from jobs.train.calibration.blend import blend
from jobs.train.calibration.curves import CURVES
from serving.calibrator import Calibrator

if TYPE_CHECKING:
    from jobs.train.calibration.blend import Blend, Evidence, Scale
    from jobs.train.calibration.curves import Curve

BLOCKS = 5
MIN_RARER = 100  # rows of the rarer outcome before there is a choice


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A curve by name, and why it."""

    name: str
    said: str


def chosen(evidence: Evidence, scale: Scale) -> Choice:
    """Choose among CURVES: the simplest whose log loss is within one standard error of the best.

    Blend and curve are fitted on all blocks but one and judged on that one. The standard error is
    that of the rows' differences, times the root of the design effect.
    """
    if evidence.rarer < MIN_RARER:
        few = f"{evidence.rarer} of the rarer outcome, a choice takes {MIN_RARER}"
        return Choice(name="Platt", said=f"Platt ({few})")
    losses = _losses(evidence, scale)
    best = min(CURVES, key=lambda name: losses[name].mean())
    effect = len(evidence.label) / blend(evidence, scale).rows
    for name in CURVES:
        gap = losses[name] - losses[best]
        error = float(gap.std() * np.sqrt(effect / len(gap)))
        if gap.mean() <= error:
            return Choice(name=name, said=_said(name, best, losses, error))
    raise AssertionError("the best is no worse than itself")


def curve(name: str, evidence: Evidence, fitted: Blend) -> Curve:
    """Fit the curve of this name to the scores of a blend."""
    worth = fitted.rows / max(1, len(evidence.label))
    return CURVES[name](fitted.score(evidence), evidence.label, worth)


def _losses(evidence: Evidence, scale: Scale) -> dict[str, np.ndarray]:
    """Return per curve the log loss of each row by a fit that never saw its block."""
    rows = np.arange(len(evidence.label))
    found: dict[str, list[np.ndarray]] = {name: [] for name in CURVES}
    for block in np.array_split(rows, BLOCKS):
        rest, held = evidence.at(np.setdiff1d(rows, block)), evidence.at(block)
        fitted = blend(rest, scale)
        for name, losses in found.items():
            bent = Calibrator(curve=curve(name, rest, fitted)).logit(fitted.score(held))
            losses.append(logistic.losses(bent, held.label))
    return {name: np.concatenate(losses) for name, losses in found.items()}


def _said(name: str, best: str, losses: dict[str, np.ndarray], error: float) -> str:
    shown = ", ".join(f"{each} {found.mean():.4f}" for each, found in losses.items())
    why = "the best" if name == best else f"the simplest within one standard error ({error:.4f})"
    return f"{name}, {why} on {BLOCKS} blocks of time it was not fitted on (log loss {shown})"
