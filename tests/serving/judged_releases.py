"""A release over an empty workspace, and records of decisions as its judge reads them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from serving.judging import told
from serving.slots import releases
from tests.serving.simulated_releases import BEGAN, release

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.slots.releases import Kept

AT = BEGAN + timedelta(minutes=1)
TARGET = "lead_qualification"


def begun(place: Workspace, step: int = 2, reason: str = "a test") -> Kept:
    """Begin a release that is at a step."""
    made = release(step=step)
    found = releases.put(place, made, None, actor="ada", reason=reason, now=BEGAN)
    assert isinstance(found, releases.Kept), str(found)
    return found


def decide(place: Workspace, count: int, *, fails: bool, first: int = 0, at: datetime = AT) -> None:
    """Journal decisions of which every tenth is the candidate's, which fails or does not."""
    bodies = [_body(n, fails=fails) for n in range(first, first + count)]
    done = [place.journal.append(told.DECISION, body, now=at) for body in bodies]
    assert all(each.result() for each in done)


def _body(n: int, *, fails: bool) -> dict[str, Any]:
    is_candidate = n % 10 == 0
    drawn = {"release": "r1", "epoch": 1, "step": 2, "share": 0.05, "took_ms": 9}
    return {
        "seen": {"shard": f"account-{n}"},
        "release": {**drawn, "arm": "candidate" if is_candidate else "stable"},
        "fallback": {"cause": "model_failed", "detail": ""} if fails and is_candidate else None,
        "verdict": {"confidence": "high"},
        "probability": (n % 50) / 50,
        "basis": {"target": f"{TARGET}@1"},
    }
