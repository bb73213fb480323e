"""The report: equal numbers give equal bytes, missing parts are named, nothing foreign is run."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pandas as pd

from cluster.errors import Refusal
from jobs.report import page, pictures

POINTS = [
    {"probability": p, "rate": p * 0.9, "low": p * 0.7, "high": p * 1.2, "rows": 50}
    for p in (0.1, 0.3, 0.6)
]
CURVE = {"share": [0, 0.2, 1], "model": [0, 0.6, 1], "rules": [0, 0.4, 1]}


def _forecast() -> pd.DataFrame:
    rows = [
        {"scenario": s, "part": "all", "measure": m, "span": "cumulative", "week": w}
        for s in ("baseline", "outreach", "difference")
        for m in ("won", "value_cents")
        for w in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    for step, name in enumerate(("p05", "p25", "p50", "p75", "p95")):
        frame[name] = frame["week"] * (step + 1)
    return frame.assign(mean=frame["p50"].astype(float))


def test_the_same_numbers_give_the_same_bytes() -> None:
    """A report of unchanged inputs is the same file."""
    for draw in (lambda: pictures.calibration(POINTS), lambda: pictures.lift(CURVE)):
        assert draw() == draw()
    rows = _forecast()
    assert pictures.fan(rows, "won", ["baseline"]) == pictures.fan(rows, "won", ["baseline"])


def test_a_picture_says_what_to_see() -> None:
    """The caption carries the numbers that the drawing shows."""
    assert "model 60%, rules 40%" in pictures.lift(CURVE).caption
    fan = pictures.fan(_forecast(), "won", ["baseline", "outreach"])
    assert "business as usual: 9 (3 to 15); with outreach: 9 (3 to 15)" in fan.caption
    assert "After 3 weeks +9.0 deals" in pictures.difference(_forecast()).caption


def test_what_is_missing_is_named_and_nothing_foreign_is_run() -> None:
    """The remedy is on the page; markup in a name is text; no other host is asked."""
    refused = Refusal(rule="a model", value="<script>alert(1)</script>", remedy="train it")
    html = page.render([refused], refused, top=3, as_of="today")
    assert "train it" in html
    assert "<script>" not in html
    assert not re.findall(r'(?:src|href)="http', html)


def test_a_reason_is_what_was_found_and_a_time_is_in_utc() -> None:
    """Its arrow tells what it did; nothing where there is no time."""
    several = "rules: took content (+15), decides (+10), raises the chance by 12.3 points"
    assert page.finding(several) == "rules: took content (+15), decides (+10)"
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert page.moment(noon) == "2026-03-01 10:00 UTC"
    assert page.moment(None) == "none"
