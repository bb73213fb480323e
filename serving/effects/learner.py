"""The story of a learning: which rows may speak, what came of them, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from serving.effects import (
    averages,
    curves,
    evidence,
    hidden,
    nuisances,
    panel,
    placebos,
    staying,
    targeting,
)
from serving.effects.known import Curve, Overlap
from serving.forecast.evidence import Grade

if TYPE_CHECKING:
    from serving.effects.definition import Definition
    from serving.effects.evidence import Basis, Experiment
    from serving.effects.known import Cause, Figure, NegativeControl, Placebo, Sensitivity
    from serving.effects.nuisances import Run
    from serving.effects.panel import Panel
    from serving.effects.rows import Rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """What the rows say."""

    basis: Basis
    overlap: Overlap
    arms: dict[str, dict[str, Cause]]
    figures: list[Figure]
    curves: list[Curve]
    sensitivity: list[Sensitivity]
    placebo: Placebo
    negative_controls: list[NegativeControl]
    missed: list[float]  # horizons, days
    by_features: bool  # are rows weighed for censoring by their features?
    is_uncovered: bool  # or do these tell of it, but some rows have none like them to weigh?


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why nothing is told, and what was seen."""

    why: Refusal
    overlap: Overlap | None = None
    negative_controls: tuple[NegativeControl, ...] = ()


def learn(
    definition: Definition, rows: Rows, pool: Rows, run: Run, *, seed: int = 0
) -> Learnt | Refused:
    """Learn the effects of an action from rows with features; why not, where they cannot tell, and
    which experiment in the pool could.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(rows.arm, minlength=len(rows.arms))
    asked = _experiment(definition, pool)
    by_chance = evidence.logged(rows).any()
    if definition.only_by_chance and not by_chance:
        return Refused(why=_by_chance(definition, asked))
    if counts.min() < evidence.LEAST_ROWS:
        return Refused(why=_few(rows, counts, asked))
    fold = nuisances.folds(rows.cluster, rng)
    basis = evidence.by_lot(rows) if by_chance else evidence.by_history(rows, fold, run)
    if isinstance(basis, Refusal):
        return Refused(why=basis)
    seen = overlap(basis)
    why = evidence.overlapping(basis, asked)
    if why is not None:
        return Refused(why=why, overlap=seen)
    moved = [*placebos.negative_controls(definition, basis), *placebos.earlier(definition, basis)]
    worst = max(moved, key=lambda each: abs(each.effect / each.sd) if each.sd else 0.0,
                default=None)  # fmt: skip
    if worst is not None and worst.sd and abs(worst.effect / worst.sd) > evidence.MOVED_Z:
        why = _moved(worst, asked)
        return Refused(why=why, overlap=seen, negative_controls=tuple(moved))
    return _learnt(definition, basis, moved, run, rng) or Refused(
        why=_unseen(asked), overlap=seen, negative_controls=tuple(moved)
    )


def _learnt(
    definition: Definition,
    basis: Basis,
    moved: list[NegativeControl],
    run: Run,
    rng: np.random.Generator,
) -> Learnt | None:
    """Return what is learnt from the rows of a basis; None where too little came of them."""
    fold = nuisances.folds(basis.rows.cluster, rng)
    foretold = _staying(definition, basis, fold, run)
    is_covered = foretold is None or _is_covered(definition, basis, foretold)
    stays = foretold if is_covered else None
    told, missed = panel.columns(definition, basis.rows, stays)
    if not _is_seen(basis, told):
        return None
    found = panel.panel(basis, told, fold, run)
    parts = {**(basis.rows.segments or {})}
    if definition.bands > 1:
        parts[averages.BAND] = averages.bands(found, definition.bands)
    figures = averages.figures(found, parts)
    names = basis.rows.arms
    hazards = {
        names[arm]: averages.causes(found, arm, parts)
        for arm in range(1, len(names))
        if basis.rows.causes
    }
    return Learnt(
        basis=basis,
        overlap=overlap(basis),
        arms=hazards,
        figures=figures,
        curves=_curves(definition, found, run, rng),
        sensitivity=hidden.sensitivity(found, figures),
        placebo=placebos.placebo(found, rng),
        negative_controls=moved,
        missed=missed,
        by_features=stays is not None,
        is_uncovered=not is_covered,
    )


def _staying(
    definition: Definition, basis: Basis, fold: np.ndarray, run: Run
) -> staying.Staying | None:
    """Return how rows stay to be followed, where their features tell of it."""
    told = panel.followed(definition, basis.rows)
    return staying.staying(basis.rows, fold, run, max(told)) if told else None


def _is_covered(definition: Definition, basis: Basis, stays: staying.Staying) -> bool:
    rows = basis.rows
    return stays.is_covered(rows.followed, max(panel.followed(definition, rows)))


def overlap(basis: Basis) -> Overlap:
    """Return how far the arms of a basis can be compared."""
    names = basis.rows.arms
    return Overlap(
        edges=evidence.BINS,
        histogram=dict(zip(names, basis.histogram, strict=True)),
        lots=basis.drawn,
        used=len(basis.rows),
        trimmed=basis.share_trimmed,
        worth=dict(zip(names, evidence.worth(basis), strict=True)),
    )


def _is_seen(basis: Basis, told: list[panel.Column]) -> bool:
    """Did enough come of both arms to tell anything?"""
    shown = [column for column in told if column.kind in {"happens", "sum"}]
    if not shown:
        return False
    main = next((c for c in reversed(shown) if c.name == "forward"), shown[0])
    came = main.of.value != 0
    arms = range(len(basis.rows.arms))
    return min(int(came[basis.rows.arm == a].sum()) for a in arms) >= evidence.LEAST_EVENTS


def _curves(
    definition: Definition, found: Panel, run: Run, rng: np.random.Generator
) -> list[Curve]:
    """Return whom each arm helps most, by outcome, where the definition asks for it."""
    wanted = {outcome.name for outcome in definition.outcomes if outcome.targeting}
    last = max(column.horizon for column in found.columns)
    several = []
    for number, column in enumerate(found.columns):
        if column.name not in wanted or column.horizon != last:
            continue
        case = targeting.Case(
            asked=targeting.of_outcome(found.asked, number),
            chance=found.basis.chance,
            cluster=found.basis.rows.cluster,
            of=column.of,
        )
        for arm in range(1, len(found.basis.rows.arms)):
            ranked = targeting.ranked(case, arm, rng, run)
            banded = curves.banded(ranked, case.cluster, definition.cost, rng)
            several.append(
                _curve(banded, at=(found, number, arm)).model_copy(
                    update={
                        "plain_qini": curves.plain(ranked, case, arm),
                        "is_better": _is_better(definition, ranked, case, arm, banded),
                    }
                )
            )
    return several


def _is_better(
    definition: Definition,
    ranked: list[targeting.Ranked],
    case: targeting.Case,
    arm: int,
    banded: curves.Banded,
) -> bool:
    """Is it shown that treating the best gains more than treating everyone? By an interval that
    rests on enough outcomes of those left out.
    """
    seen = curves.left_out(ranked, case, arm, definition.cost)
    low = float(np.quantile(banded.policy, curves.LOW))
    return low > 0.0 and seen >= evidence.LEAST_EVENTS


def _curve(banded: curves.Banded, *, at: tuple[Panel, int, int]) -> Curve:
    found, number, arm = at
    column, low_high = found.columns[number], banded.band
    return Curve(
        arm=found.basis.rows.arms[arm],
        outcome=column.name,
        horizon_days=column.horizon,
        share=tuple(curves.shares().tolist()),
        gain=tuple(banded.found.gain.tolist()),
        low=tuple(low_high[0].tolist()),
        high=tuple(low_high[1].tolist()),
        qini=banded.found.qini,
        qini_low=float(np.quantile(banded.qini, curves.LOW)),
        qini_high=float(np.quantile(banded.qini, curves.HIGH)),
        plain_qini=banded.found.qini,
        policy_share=banded.found.share,
        policy_gain=banded.found.policy,
        policy_low=float(np.quantile(banded.policy, curves.LOW)),
        policy_high=float(np.quantile(banded.policy, curves.HIGH)),
        is_better=False,
    )


def _experiment(definition: Definition, rows: Rows) -> Experiment:
    """Return the experiment that would tell."""
    horizon = definition.horizons_days[0]
    if rows.causes:
        first = rows.causes["forward"]
    elif definition.outcomes:
        first = rows.outcomes[definition.outcomes[0].name].first(len(rows), rows.since)
    else:
        first = np.full(len(rows), np.inf)
    return evidence.experiment(rows, first <= horizon, horizon, definition.ratio)


def _by_chance(definition: Definition, asked: Experiment) -> Refusal:
    return Refusal(
        rule=f"the effect of '{definition.action}' must be learnt from what was given by chance,"
        " with the chance logged",
        value="no such lot",
        remedy=f"state it in a scenario with grade '{Grade.ASSUMPTION}' (E3), or {asked}",
    )


def _few(rows: Rows, counts: np.ndarray, asked: Experiment) -> Refusal:
    said = ", ".join(f"{n:,} {arm}" for arm, n in zip(rows.arms, counts, strict=True))
    return Refusal(
        rule=f"each arm must have at least {evidence.LEAST_ROWS} rows",
        value=said,
        remedy=str(asked),
    )


def _moved(worst: NegativeControl, asked: Experiment) -> Refusal:
    return Refusal(
        rule="an action must not change what came before it",
        value=f"{worst.effect:+.1%} of '{worst.name}' in the {worst.days:g} days before,"
        f" {abs(worst.effect / worst.sd):.1f} standard errors: the arms differ in more than the"
        " action",
        remedy=str(asked),
    )


def _unseen(asked: Experiment) -> Refusal:
    return Refusal(
        rule=f"at least {evidence.LEAST_EVENTS} of each arm must have had the outcome",
        value="fewer",
        remedy=str(asked),
    )
