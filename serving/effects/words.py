"""What is known of an effect, in sentences that a planner reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.effects import hidden, scores
from serving.forecast.evidence import GRADE_WORDS, Grade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving.effects.definition import Definition
    from serving.effects.known import Cause, Curve, Figure, Sensitivity
    from serving.effects.learner import Learnt

METHOD = (
    "doubly robust scores (AIPW), cross-fitted in 5 folds of accounts, outcome models by XGBoost,"
    " {chance}, censoring weights by {censoring}, errors clustered by account"
)
CHANCES = {
    Grade.RANDOMISED: "chances as logged",
    Grade.OBSERVATIONAL: "chances of treatment by XGBoost",
}
UNCOVERED = (
    "features tell who was followed for less, and of some hardly any like them were followed for"
    " the longest horizon: rows are weighed for that by arm alone, as if it went with nothing else"
)
BLIND = ", but shows little: features count it, and the chances were fitted to them"
NOT_SHOWN = "targeting is not shown to beat treating everyone"


def said(definition: Definition, learnt: Learnt) -> list[str]:
    """Return what was learnt."""
    return [
        *_grade(learnt),
        *(line for arm, told in learnt.arms.items() for line in _causes(definition, arm, told)),
        *(figure(each) for each in learnt.figures if _is_last(learnt, each)),
        *(curve(each) for each in learnt.curves),
        *_checks(learnt),
        *(f"horizon of {h:g} days: too few were followed for so long" for h in learnt.missed),
        *([UNCOVERED] if learnt.is_uncovered else []),
    ]


def _grade(learnt: Learnt) -> Iterator[str]:
    basis = learnt.basis
    yield f"grade {basis.grade.code}, {GRADE_WORDS[basis.grade]}"
    counts = {arm: int((basis.rows.arm == n).sum()) for n, arm in enumerate(basis.rows.arms)}
    used = ", ".join(f"{count:,} {arm}" for arm, count in counts.items())
    trimmed = f"; {basis.trimmed:,} of {basis.drawn:,} left out" if basis.trimmed else ""
    yield f"rows: {used}{trimmed}"


def _causes(definition: Definition, arm: str, told: dict[str, Cause]) -> Iterator[str]:
    words = {"forward": "goes forward", "lost": "is lost"}
    for name, cause in told.items():
        low, high = cause.interval
        yield (
            f"{arm}: {words[name]} at {cause.ratio:.2f} times the rate ({low:.2f} to {high:.2f}),"
            f" for {definition.lasts_days:g} days"
        )
    if "lost" not in told:
        yield f"{arm}: too few were lost to tell what it does to that"


def _is_last(learnt: Learnt, figure: Figure) -> bool:
    last = max(each.horizon_days for each in learnt.figures)
    return figure.column == "all" and figure.horizon_days == last


def figure(of: Figure) -> str:
    """Return a difference of means in words."""
    low, high = of.interval
    what = f"{of.arm}: {of.outcome} within {of.horizon_days:g} days"
    if of.measure == "happens":
        return (
            f"{what} {100 * of.effect:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}) on"
            f" {of.control:.1%}"
        )
    if of.measure == "gained":
        return f"{what}: {of.effect:+.2f} days sooner ({low:+.2f} to {high:+.2f}) per unit"
    return f"{what} {of.effect:+.3g} {of.unit} ({low:+.3g} to {high:+.3g}) on {of.control:.3g}"


def curve(of: Curve) -> str:
    """Return in words whether it is known whom an action helps most."""
    low, high = 1000 * of.qini_low, 1000 * of.qini_high
    is_ranked = low > 0.0
    ranks = "the ranking is better than chance" if is_ranked else "no ranking is shown to be better"
    beats = (
        f"leaving out {1 - of.policy_share:.0%} gains {1000 * of.policy_gain:.3g} per 1,000"
        " over treating everyone"
    )
    return (
        f"{of.arm}, {of.outcome}: Qini {1000 * of.qini:.1f} per 1,000 ({low:.1f} to {high:.1f}),"
        f" {ranks}; {beats if of.is_better else NOT_SHOWN}"
    )


def _checks(learnt: Learnt) -> Iterator[str]:
    told = learnt.placebo
    yield (
        f"placebo: of {told.draws} actions drawn again, {told.held:.0%} of the 90 % intervals of"
        f" '{told.outcome}' held 0"
    )
    for each in learnt.negative_controls:
        low, high = each.effect - scores.Z90 * each.sd, each.effect + scores.Z90 * each.sd
        which = (
            f"as if it had begun {each.days:g} days earlier"
            if each.is_earlier
            else "which came before it"
        )
        yield (
            f"{each.arm}: {100 * each.effect:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
            f" of '{each.name}', {which}, where 0 is right{BLIND if each.is_blind else ''}"
        )
    if learnt.basis.grade is Grade.OBSERVATIONAL:
        for bound in learnt.sensitivity:
            yield (
                f"{bound.arm}, {bound.outcome}: a hidden cause would have to go with both at a"
                f" ratio of {bound.e_value:.2f} to explain it away ({bound.e_value_of_limit:.2f}"
                f" for the interval); {odds(bound)}"
            )


def odds(of: Sensitivity) -> str:
    """Return in words how much a hidden cause must change the odds of the action."""
    if of.odds_of_limit is None or of.odds_of_limit <= 1.0:
        return "the interval holds 0 without one"
    if of.odds_of_limit >= hidden.MOST_ODDS:
        return f"the interval is clear of 0 until one changes the odds {hidden.MOST_ODDS:g} times"
    return f"the interval holds 0 once one changes the odds {of.odds_of_limit:.2f} times"


def method(grade: Grade, by_features: bool) -> str:
    """Return how an effect of a grade was learnt, censoring weighed by features or by arm."""
    censoring = "XGBoost hazards" if by_features else "Kaplan and Meier"
    return METHOD.format(chance=CHANCES[grade], censoring=censoring)
