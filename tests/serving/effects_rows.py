"""Rows whose effects are planted, for tests: leads of accounts, some keener than others."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cluster.settings import validated
from serving.effects import evidence
from serving.effects.definition import Definition
from serving.effects.rows import DAY, Events, Rows

ARMS = ("control", "treated")
ACTION: dict[str, Any] = {
    "action": "outreach",
    "description": "planted",
    "born": {"kind": "lead", "names": ["created"]},
    "funnel": "sales",
    "lots": {
        "events": {"kind": "intervention", "names": ["outreach"]},
        "arms": {"control": ["control"], "treated": ["treated"]},
        "chance": "treated",
    },
    "horizons_days": [28],
    "settle_days": 0,
    "views": ["lead_engagement"],
    "bands": 1,
}


class Planted(NamedTuple):
    """Rows, and what is true of each."""

    rows: Rows
    risk: np.ndarray  # (n, 2), to go forward within 28 days, by arm
    keen: np.ndarray


def definition(**more: Any) -> Definition:
    """Return a definition of the planted action."""
    return validated(Definition, {**ACTION, **more}, where="test")


def planted(
    n: int = 2000, ratio: float = 1.0, seed: int = 0, *, sight: float = 1.0, follow: float = 200.0
) -> Planted:
    """Return rows of leads of whom the keen go forward sooner and are treated more often, by a
    chance that is logged; features tell who is keen, with noise unless `sight` is 1. Every lead is
    lost at the same rate, and followed for between 0 and `follow` days.
    """
    rng = np.random.default_rng(seed)
    keen = rng.random(n) < 0.4
    chance = np.where(keen, 0.75, 0.25)
    treated = rng.random(n) < chance
    base = np.where(keen, 0.014, 0.004)
    rate = base * np.where(treated, ratio, 1.0)
    lose = 0.005
    forward, lost = rng.exponential(1.0 / rate), rng.exponential(1.0 / lose, n)
    seen = np.where(rng.random(n) < sight, keen, rng.random(n) < 0.4)
    risks = [_risk(base * factor, lose, 28.0) for factor in (1.0, ratio)]
    before = np.flatnonzero(rng.random(n) < np.where(keen, 0.6, 0.2))
    rows = Rows(
        entity=np.array([f"lead-{i}" for i in range(n)], object),
        time=(np.arange(n) * DAY // 20).astype(np.int64),
        since=0.0,
        arm=treated.astype(np.int64),
        arms=ARMS,
        chance=np.column_stack([1 - chance, chance]),
        cluster=np.arange(n) // 2,
        followed=rng.random(n) * follow,
        outcomes={},
        before={"earlier": Events(before, np.full(len(before), -1.0), np.zeros(len(before)))},
        causes={
            "forward": np.where(forward < lost, forward, np.inf),
            "lost": np.where(lost < forward, lost, np.inf),
        },
        names=("keen", "noise"),
        features=np.column_stack([seen, rng.normal(size=n)]).astype(np.float32),
        segments={},
    )
    return Planted(rows, np.column_stack(risks), keen)


def _risk(rate: np.ndarray, lose: float, h: float) -> np.ndarray:
    both = rate + lose
    return rate / both * -np.expm1(-both * h)


def by_lot(rows: Rows) -> evidence.Basis:
    """Return the basis of rows whose chances are logged."""
    found = evidence.by_lot(rows)
    assert isinstance(found, evidence.Basis)
    return found
