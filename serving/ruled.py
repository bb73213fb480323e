"""What the rules say of a row, as one reason among the others. Pure.

Its contribution is what the points of the rules that fired add to the blended log-odds, against no
rule at all; a contribution of the trees adds `slope` times itself there, which is how they compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving import rules
from serving.explain import Reason, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from serving.calibrator import Calibrator
    from serving.rules import Rule

GROUP, LABEL = "rules", "Rules"
NAMED = 4  # rules that are told by name, those of most points


def reasons(
    declared: Sequence[Rule],
    records: Sequence[Mapping[str, object]],
    shares: np.ndarray,
    calibrator: Calibrator,
) -> list[Reason | None]:
    """Return per row the reason that its rules are, None where they add nothing.

    `shares` (n, f + 1) are the contributions of the features and the base.
    """
    margin = np.cumsum(shares, axis=1)[:, -1]  # one order of adding, whatever the number of rows
    fired = [rules.fired(declared, record) for record in records]
    points = np.array([sum(rule.points for rule in each) for each in fired], np.int64)
    with_and_without = np.stack([points, np.zeros_like(points)])
    given, bare = calibrator.probability(np.stack([margin, margin]), with_and_without)
    adds = (points * calibrator.per_point).tolist()
    parts = zip(fired, records, adds, (given - bare).tolist(), strict=True)
    return [_reason(*part) if part[2] else None for part in parts]


def joined(
    found: tuple[Reason, ...], by_rules: Reason | None, *, slope: float, top: int
) -> tuple[Reason, ...]:
    """Return the reasons of one row with that of the rules in its place, at most `top`."""
    if by_rules is None:
        return found
    strength = abs(by_rules.contribution)
    place = sum(slope * abs(reason.contribution) >= strength for reason in found)
    return (*found[:place], by_rules, *found[place:])[:top]


def _reason(
    fired: tuple[Rule, ...], record: Mapping[str, object], adds: float, change: float
) -> Reason:
    strongest = sorted(fired, key=lambda rule: -rule.points if adds > 0 else rule.points)
    feature = strongest[0].when.feature
    return Reason(
        feature=feature,
        label=LABEL,
        value=record[feature],
        contribution=adds,
        group=GROUP,
        features=tuple(dict.fromkeys(rule.when.feature for rule in fired)),
        probability_change=change,
        text=f"rules: {_named(strongest)}, {told(change)}",
    )


def _named(strongest: Sequence[Rule]) -> str:
    most = sorted(strongest, key=lambda rule: -abs(rule.points))
    more = f" and {len(most) - NAMED} more" if len(most) > NAMED else ""
    return ", ".join(f"{rule.name} ({rule.points:+d})" for rule in most[:NAMED]) + more
