"""All that is held for and against a candidate, folded from what was seen in the order it was seen.

Each account counts once per guard, so that one account that fails often says no more than another:
the chances of false alarms rest on that. Folding the same sightings again gives the same bits,
however they were cut. Pure: its owner keeps it to one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from serving.releases import calibrated, odds, pairs, shift
from serving.releases.wealth import Wealth

if TYPE_CHECKING:
    from datetime import datetime

    from serving.releases.plan import Plan
    from serving.releases.sighting import Matured, Overridden, Pair, Sighting
    from serving.releases.wealth import Floats

HAPPENS = ("errors", "timeouts", "latency", "fallbacks")  # guards of what a decision shows itself
OVERRIDES, SPLIT = "overrides", "split"
type Event = tuple[bool, float]  # from the candidate? and the chance that it would be


@dataclass(kw_only=True)
class Evidence:
    """What was seen of one release. Its members are plain values."""

    which: dict[str, Wealth] = field(default_factory=dict)  # by guard: more often in the candidate
    above: dict[str, Wealth] = field(default_factory=dict)  # by guard: more often than its ceiling
    lower: Wealth = field(default_factory=lambda: Wealth.of(odds.BETS))  # outcome, in the candidate
    ratio: Wealth = field(default_factory=lambda: Wealth.of(len(odds.RATIOS)))  # outcome, by odds
    worse: Wealth = field(default_factory=lambda: Wealth.of(len(pairs.STAKES)))
    not_worse: Wealth = field(default_factory=lambda: Wealth.of(len(pairs.STAKES)))
    off: dict[str, Wealth] = field(default_factory=dict)  # by arm: chances are not what they say
    scores: dict[int, dict[str, list[int]]] = field(default_factory=dict)  # by step and arm: bins
    accounts: dict[str, int] = field(default_factory=dict)  # by arm
    in_step: dict[int, int] = field(default_factory=dict)  # accounts of the candidate, by step
    pairs: int = 0
    last_at: datetime | None = None  # of a decision of the candidate
    counted: dict[str, set[str]] = field(default_factory=dict)  # accounts, by what they counted for

    def saw(self, plan: Plan, seen: Sequence[Sighting]) -> None:
        """Count decisions, in their order. What could come from one arm alone says nothing of the
        two, and costs no account its say.
        """
        drawn = [each for each in seen if 0 < each.share < 1]
        for name in HAPPENS:
            bad = [
                each
                for each in drawn
                if name in each.bad and not each.is_incident and self._is_first(name, each.account)
            ]
            self._which(name, [(each.is_candidate, each.share) for each in bad], odds.HIGHER)
            self._above(plan, name, seen)
        new = [each for each in drawn if self._is_first(SPLIT, each.account)]
        self._which(SPLIT, [(each.is_candidate, each.share) for each in new], odds.EITHER)
        for each in new:
            arm = arm_of(is_candidate=each.is_candidate)
            self.accounts[arm] = self.accounts.get(arm, 0) + 1
        self._scored(drawn)
        self._stepped(seen)

    def mirrored(self, plan: Plan, seen: Sequence[tuple[Sighting, Sighting]]) -> None:
        """Count copies that the candidate made unseen, each beside the decision that was answered.

        Only one of them could go wrong unseen, so nothing is asked of which arm it was.
        """
        copies = [copy for _, copy in seen]
        for name in HAPPENS:
            self._above(plan, name, copies)
        self._scored([each for both in seen for each in both if not each.share])
        for copy in copies:
            self.last_at = copy.at

    def overridden(self, seen: Sequence[Overridden]) -> None:
        """Count decisions that a person decided otherwise, in the order in which that was said. It
        tells of its arm alone: no arm has an account more by it, and it is no sign of life.
        """
        drawn = [each for each in seen if 0 < each.share < 1]
        new = [each for each in drawn if self._is_first(OVERRIDES, each.account)]
        self._which(OVERRIDES, [(each.is_candidate, each.share) for each in new], odds.HIGHER)

    def paired(self, plan: Plan, seen: Sequence[Pair]) -> None:
        """Count pairs of scores whose outcome is known, each lead once: in the order of decisions,
        and each only when its horizon is over, or the order itself would tell the outcome.
        """
        seen = [each for each in seen if self._is_first("pair", each.lead)]
        if not seen:
            return
        stable, candidate = (np.array([getattr(p, arm) for p in seen]) for arm in ARMS)
        outcomes, margin = np.array([p.outcome for p in seen]), plan.guards.quality.margin
        apart = pairs.differences(stable, candidate, outcomes)
        self.worse, _ = self.worse.after(pairs.gains(apart, margin=margin))
        self.not_worse, _ = self.not_worse.after(pairs.gains(-apart, margin=-margin))
        for arm, chances in zip(ARMS, (stable, candidate), strict=True):
            gains = calibrated.gains(chances, outcomes)
            before = self.off.get(arm, Wealth.of(len(calibrated.CLAIMS)))
            self.off[arm], _ = before.after(gains)
        self.pairs += len(seen)

    def matured(self, seen: Sequence[Matured]) -> None:
        """Count outcomes of accounts that either arm decided about, in the order they came."""
        won = [each for each in seen if each.outcome and self._is_first("outcome", each.account)]
        events = [(each.is_candidate, each.share) for each in won]
        self.lower, _ = self.lower.after(_gains(events, odds.LOWER))
        self.ratio, _ = self.ratio.after(_gains(events, odds.RATIOS))

    def _is_first(self, what: str, account: str) -> bool:
        """Note that an account counted for something; False if it had."""
        counted = self.counted.setdefault(what, set())
        before = len(counted)
        counted.add(account)
        return len(counted) > before

    def _which(self, name: str, events: Sequence[Event], ratios: Floats) -> None:
        before = self.which.get(name, Wealth.of(len(ratios)))
        self.which[name], _ = before.after(_gains(events, ratios))

    def _above(self, plan: Plan, name: str, seen: Iterable[Sighting]) -> None:
        """Bet that a guard speaks more often than its ceiling, at the first decision that the
        candidate makes of an account in an hour.
        """
        ceiling = getattr(plan.guards, name).ceiling
        if ceiling is None:
            return
        asked = [
            (name in each.bad, ceiling)
            for each in seen
            if each.is_candidate and self._is_first(f"{name} above", each.hourly)
        ]
        before = self.above.get(name, Wealth.of(odds.BETS))
        self.above[name], _ = before.after(_gains(asked, odds.HIGHER))

    def _scored(self, seen: Iterable[Sighting]) -> None:
        for each in seen:
            if each.chance is not None and self._is_first(f"scores@{each.step}", each.in_arm):
                arm = arm_of(is_candidate=each.is_candidate)
                arms = self.scores.setdefault(each.step, {name: [0] * shift.BINS for name in ARMS})
                arms[arm][shift.bin_of(each.chance)] += 1

    def _stepped(self, seen: Iterable[Sighting]) -> None:
        for each in seen:
            if not each.is_candidate:
                continue
            self.last_at = each.at
            if self._is_first(f"step@{each.step}", each.account):
                self.in_step[each.step] = self.in_step.get(each.step, 0) + 1


STABLE, CANDIDATE = ARMS = ("stable", "candidate")


def arm_of(*, is_candidate: bool) -> str:
    """Return the name of an arm."""
    return CANDIDATE if is_candidate else STABLE


def _gains(events: Sequence[Event], ratios: Floats) -> Floats:
    """Return what bets gain by events; those that could come from one arm alone say nothing."""
    drawn = [each for each in events if 0 < each[1] < 1]
    flags = np.array([flag for flag, _ in drawn], dtype=bool)
    shares = np.array([share for _, share in drawn], dtype=float)
    return odds.gains(flags, shares, ratios)
