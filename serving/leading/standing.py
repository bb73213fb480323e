"""Where a release stands: what its guards say by what was seen, and what the judge makes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from serving.judging.case import Case
from serving.releases import judge
from serving.releases.assignment import PLACES

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cluster.database import Database
    from serving.releases.judge import Finding, Verdict
    from serving.releases.release import Release

BUDGET_S = 1.0  # that one question may read on


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What looks have seen of a release, as far as they were counted."""

    verdict: Verdict
    look: int  # number of the last that was counted; below 0: none
    looked_at: datetime
    is_whole: bool  # were all looks counted?
    more_outcomes: int | None  # that the guard of the outcome would need; None: none are enough

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What each guard says."""
        return self.verdict.findings


def judged(case: Case, release: Release, now: datetime, *, is_whole: bool = True) -> Judged:
    """Return what a case says of a release by now."""
    verdict = case.verdict(release, now)
    share = release.places / PLACES
    return Judged(
        verdict=verdict,
        look=case.look.number,
        looked_at=case.look.at,
        is_whole=is_whole,
        more_outcomes=judge.more_outcomes(release.plan, case.evidence, share),
    )


class Cases:
    """The cases of the newest releases, kept from one question to the next, so that each look is
    counted once. Safe to share between threads.
    """

    def __init__(
        self,
        database: Database,
        *,
        budget_s: float = BUDGET_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._budget_s = budget_s
        self._monotonic = monotonic
        self._cases: dict[str, tuple[str, Case]] = {}  # by target: the key of its release
        self._working = Lock()

    def read(self, release: Release, now: datetime) -> Judged | None:
        """Return what was seen of a release, counted as far as time allows; None while another
        counts.
        """
        if not self._working.acquire(timeout=self._budget_s):
            return None
        try:
            case = self._case(release)
            return judged(case, release, now, is_whole=self._followed(case))
        finally:
            self._working.release()

    def _case(self, release: Release) -> Case:
        key, case = self._cases.get(release.target, ("", None))
        if case is None or key != release.key:
            case = Case(self._database, release)
            self._cases[release.target] = (release.key, case)
        return case

    def _followed(self, case: Case) -> bool:
        """Count looks until all are, or the time is over; are all?"""
        end = self._monotonic() + self._budget_s
        return all(self._monotonic() < end for _ in case.steps())
