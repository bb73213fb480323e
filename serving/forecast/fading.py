"""How fast the past fades: chances change, so older steps count less, by as much as pays.

Every candidate half-life is judged on the later half of the history, step by step: the log
likelihood of the moves of a step by the chances that were learnt as many steps before it as one is
to look ahead (prequential; A. P. Dawid, "Statistical theory: the prequential approach", 1984). The
longest is taken that is not told from the best. Looking one step ahead only would take a good month
for a new age. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.forecast import moves

if TYPE_CHECKING:
    from serving.forecast.person import Person

HALF_LIVES_DAYS = (28.0, 56.0, 91.0, 182.0, 364.0, np.inf)
TELLING = 2.0  # of the log likelihood of what varies as chance has it: less tells nothing
MEDIAN_CHI = 0.455  # of chi squared with one degree of freedom: no single step decides
_TINY = 1e-9
LEAST_STEPS = 8  # below it nothing fades: there is too little to choose by


def weights(person: Person, ahead: int) -> np.ndarray:
    """Return what each row counts, float64 [rows], to look so many steps ahead: 1 in the last step,
    less before.
    """
    age = len(person.bounds) - 2 - person.step
    return np.asarray(0.5 ** (age / half_life(person, ahead)))


def half_life(person: Person, ahead: int) -> float:
    """Return the best half-life in steps; infinity where nothing fades."""
    steps = len(person.bounds) - 1
    if steps < LEAST_STEPS + 2 * ahead:
        return float(np.inf)
    by_step = _by_step(person, steps)
    several = [days / person.funnel.step_days for days in HALF_LIVES_DAYS]
    judged = np.array([_judged(by_step, each, ahead) for each in several])
    likelihood, dispersion = judged[:, 0], max(1.0, float(judged[:, 1].min()))
    return several[int(np.flatnonzero(likelihood >= likelihood.max() - TELLING * dispersion)[-1])]


def _by_step(person: Person, steps: int) -> np.ndarray:
    """Return the moves of each step, float64 [steps, stages, bands, stages + 2]."""
    return moves.counts(person, person.step, steps)


def _judged(by_step: np.ndarray, half_life: float, ahead: int) -> tuple[float, float]:
    """Return the log likelihood of the later half by what was learnt so long before each step, and
    how much more the forward moves of a step vary than chance would have them: where all units are
    shocked alike, the likelihood is as much too sure of itself.
    """
    kept, total, excess = 0.5 ** (1.0 / half_life), 0.0, []
    so_far, ahead_of = np.zeros_like(by_step[0]), moves.is_forward(by_step.shape[1])[:, None, :]
    for number, now in enumerate(by_step[: len(by_step) - ahead]):
        so_far = so_far * kept + now
        if number + ahead >= len(by_step) // 2:
            then = by_step[number + ahead]
            chances = moves.shares(moves.posterior(so_far[None]))[0]
            total += float((then * np.log(chances)).sum())
            chance, units = (chances * ahead_of).sum(axis=-1), then.sum(axis=-1)
            off = float((then * ahead_of).sum() - (units * chance).sum())
            excess.append(off**2 / max(float((units * chance * (1.0 - chance)).sum()), _TINY))
    return total, float(np.median(excess)) / MEDIAN_CHI
