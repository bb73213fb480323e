"""A result that nobody simulated: numbers made up for tests of what shows them."""

from __future__ import annotations

from typing import Any

from serving.wire.simulations import SimulationResultOut

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


def band(steps: int, slope: float, *, least: int = 0) -> dict[str, Any]:
    """Quantiles that rise."""
    middle = [least + slope * (step + 1) for step in range(steps)]
    shares = {"p05": 0.6, "p25": 0.85, "p50": 1.0, "p75": 1.15, "p95": 1.4}
    return {"mean": middle, **{n: [round(v * s) for v in middle] for n, s in shares.items()}}


def spread(mean: float) -> dict[str, float]:
    """A mean and an interval."""
    return {"mean": mean, "low": mean - abs(mean) / 2, "high": mean + abs(mean) / 2}


def arm(name: str, *, steps: int, lift: float, text: str = "plain") -> dict[str, Any]:
    """One scenario; a lift of 0 is what the others are compared with."""
    is_base = lift == 0.0
    parts = [
        {"part": part, "won": spread(10 * share), "value_cents": spread(4e7 * share)}
        for part, share in (("existing", 1.0), ("leads", 0.5), ("new", 0.7 + lift), ("all", 2.2))
    ]
    evidence = {
        "lever": text, "kind": "outreach", "grade": "assumption", "code": "E3",
        "ratio": 1.3, "low": 1.1, "high": 1.6, "said": text,
    }  # fmt: skip
    payoff = {
        "won": spread(12.4), "value_cents": spread(3.1e7), "cost_cents": spread(4.2e6),
        "gain_cents": spread(2.7e7), "contacts": 940.0, "unsubscribed": 3.5, "pays": 0.94,
        "steps_to_value": 7, "by_step": band(steps, 1e6, least=-500_000),
        "timing": {"earlier": 4.2, "later": 1.1, "more": 14.0, "displaced": 1.6,
                   "steps_gained": 2.4},
    }  # fmt: skip
    return {
        "name": name,
        "grade": None if is_base else "assumption",
        "label": None if is_base else "assumption",
        "won": band(steps, 2.0 + lift),
        "value_cents": band(steps, 3e6 * (1 + lift)),
        "parts": parts,
        "slices": [
            {"dimension": "segment", "value": text, "won": spread(3), "value_cents": spread(1e7)}
        ],
        "stages": [{"stage": "lead", "mean": [40.0] * steps}],
        "desks": [
            {"desk": text, "capacity": [60] * (steps - 1) + [0],
             "made": [60.0 * lift] * steps, "waiting": [5.0] * steps}
        ],
        "evidence": [] if is_base else [evidence],
        "downside": {
            "value_at_risk_cents": 9_000_000, "shortfall_cents": 7.5e6,
            "goals": {"won": 0.4}, "loses": None if is_base else 0.06,
        },
        "payoff": None if is_base else payoff,
        "hour_prices": [] if is_base else [
            {"desk": text, "value_cents_per_hour": spread(9_100), "won_per_hour": spread(0.02),
             "more_hours": 120.0}
        ],
    }  # fmt: skip


def result(
    names: tuple[str, ...] = ("more_calls",), *, steps: int = 26, text: str = "plain"
) -> SimulationResultOut:
    """Business as usual and some scenarios."""
    arms = [arm("baseline", steps=steps, lift=0.0, text=text)]
    arms += [arm(n, steps=steps, lift=0.3 * (k + 1), text=text) for k, n in enumerate(names)]
    cell = {
        "lever": text, "segment": text, "band": None, "share": 0.4, "contacts": 310.0,
        "gain_cents_per_contact": 4_150.0,
    }  # fmt: skip
    said = {
        "id": "0" * 32, "funnel": "sales", "description": text, "as_of": "2026-02-01T00:00:00Z",
        "step": "week", "steps": steps, "draws": 1000, "seed": 1, "against": "baseline",
        "grade": "assumption", "coverage": [text], "said": [text], "arms": arms,
        "plan": {
            "scenario": names[0], "budget_cents": 1_000_000, "spent_cents": 9.9e5,
            "hour_price_cents": {text: 4_000.0}, "budget_price": 1.7, "cells": [cell],
            "regret_cents": spread(5e5),
        },
    }  # fmt: skip
    return SimulationResultOut.model_validate(said)
