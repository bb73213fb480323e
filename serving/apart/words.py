"""What a replica and a candidate's replica say to each other: plain values, as the code of one may
be another version than that of the other. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from serving.decide import Basis, Case, Decision
from serving.explain import Reason
from serving.policy import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # of a question about nobody


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Cases to decide on."""

    cases: tuple[Case, ...]
    now: datetime
    reasons: bool


def asking(cases: Sequence[Case], now: datetime, *, reasons: bool) -> dict[str, Any]:
    """Return cases as plain values."""
    said = [{**vars(each), "features": dict(each.features)} for each in cases]
    return {"cases": said, "now": now, "reasons": reasons}


def asked(said: Mapping[str, Any]) -> Asked:
    """Return what `asking` made plain."""
    cases = tuple(Case(**each) for each in said["cases"])
    return Asked(cases=cases, now=said["now"], reasons=said["reasons"])


def answering(made: Sequence[Decision]) -> list[dict[str, Any]]:
    """Return decisions as plain values."""
    return [_plain(each) for each in made]


def answered(said: Sequence[Mapping[str, Any]]) -> list[Decision]:
    """Return what `answering` made plain."""
    return [_decision(each) for each in said]


def _plain(made: Decision) -> dict[str, Any]:
    reasons = None if made.reasons is None else [dict(vars(each)) for each in made.reasons]
    return {
        **vars(made),
        "verdict": dict(vars(made.verdict)),
        "reasons": reasons,
        "features": dict(made.features),
        "basis": dict(vars(made.basis)),
    }


def _decision(said: Mapping[str, Any]) -> Decision:
    why = said["reasons"]
    return Decision(
        **{
            **said,
            "verdict": Verdict(**said["verdict"]),
            "reasons": None if why is None else tuple(Reason(**each) for each in why),
            "basis": Basis(**said["basis"]),
        }
    )
