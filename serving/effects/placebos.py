"""What must show nothing: actions drawn again by the same chances, outcomes from before the action
(negative controls: Lipsitch, Tchetgen Tchetgen and Cohen 2010, Epidemiology 21, 383-388), and the
action itself moved to before it began (a placebo in time: Imbens and Rubin 2015, chapter 21).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.effects import evidence, measured, scores
from serving.effects.known import NegativeControl, Placebo
from serving.forecast.evidence import Grade

if TYPE_CHECKING:
    from features.targets import Named
    from serving.effects.definition import Definition
    from serving.effects.evidence import Basis
    from serving.effects.panel import Panel

DRAWS = 200


def placebo(panel: Panel, rng: np.random.Generator) -> Placebo:
    """Return how often the interval of an action that was drawn again, and so did nothing, held 0:
    about 90 % if errors are as large as told.
    """
    basis, number = panel.basis, panel.main
    column, rows = panel.columns[number], basis.rows
    # what is expected whatever is done: nothing of it depends on the arm
    expected = (basis.chance * panel.expected[:, :, number]).sum(axis=1)
    same = np.repeat(expected[:, None], 2, axis=1)
    held = []
    for _ in range(DRAWS):
        arm = drawn(basis.chance, rng)
        two = np.where(arm == 0, 0, np.where(arm == 1, 1, -1))
        score = scores.scores(column.of, two, basis.chance[:, :2], same)
        low, high = scores.average(score[:, 1] - score[:, 0], rows.cluster).interval
        held.append(low <= 0.0 <= high)
    return Placebo(outcome=column.name, draws=DRAWS, held=float(np.mean(held)))


def drawn(chance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an arm for each row by its chances (n, arms): (n,) int64."""
    below = np.cumsum(chance, axis=1)[:, :-1]
    return np.asarray((rng.random(len(chance))[:, None] >= below).sum(axis=1))


def negative_controls(definition: Definition, basis: Basis) -> list[NegativeControl]:
    """Return the effect of each arm on what came before it, by weights alone: a model of what is
    known at T would know it. What came of too few rows, or not of too few, says nothing.
    """
    rows, found = basis.rows, []
    for each in definition.negative_controls:
        came = rows.before[each.name].before(len(rows), each.days)
        told = _effects(basis, came, each.name, each.days)
        blind = {"is_blind": _is_blind(definition, basis, each.events)}
        found += [of.model_copy(update=blind) for of in told]
    return found


def earlier(definition: Definition, basis: Basis) -> list[NegativeControl]:
    """Return the effect of each arm as if it had begun its shortest horizon earlier: on outcomes
    between then and T, in the same way.
    """
    rows, days, found = basis.rows, definition.horizons_days[0], []
    for each in definition.outcomes:
        came = rows.outcomes[each.name].before(len(rows), days)
        told = _effects(basis, came, each.name, days)
        blind = {"is_blind": _is_blind(definition, basis, each.events)}
        found += [of.model_copy(update={"is_earlier": True, **blind}) for of in told]
    return found


def _is_blind(definition: Definition, basis: Basis, events: Named) -> bool:
    """Were chances fitted to features at T that count these events? Then weights make arms alike
    in them, whatever else the arms differ in.
    """
    return basis.grade is Grade.OBSERVATIONAL and definition.is_counted(events)


def _effects(basis: Basis, came: np.ndarray, name: str, days: float) -> list[NegativeControl]:
    """Return the effect of each arm on what came before it, (n,) bool, where enough is to be
    expected of that arm and of the control at the rate of all rows.
    """
    rows, worth = basis.rows, evidence.worth(basis)
    rate = float(came.mean()) if len(came) else 0.0
    score = scores.weighted(measured.certain(came), rows.arm, basis.chance)
    found = []
    for arm in range(1, len(rows.arms)):
        if min(rate, 1.0 - rate) * min(worth[0], worth[arm]) < evidence.LEAST_EVENTS:
            continue
        effect = scores.average(score[:, arm] - score[:, 0], rows.cluster)
        # an arm of few rows that happens to have had few of them tells too small an error itself
        even = float(np.sqrt(rate * (1.0 - rate) * (1.0 / worth[0] + 1.0 / worth[arm])))
        sd = max(effect.sd, even)
        found.append(
            NegativeControl(arm=rows.arms[arm], name=name, days=days, effect=effect.value, sd=sd)
        )
    return found
