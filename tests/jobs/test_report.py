"""The report: equal numbers give equal bytes, missing parts are named, nothing foreign is run."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from cluster.access.privacy import Privacy
from cluster.errors import Refusal
from jobs.report import gather, page, pictures

if TYPE_CHECKING:
    import pytest

    from cluster.workspace import Workspace

POINTS = [
    {"probability": p, "rate": p * 0.9, "low": p * 0.7, "high": p * 1.2, "rows": 50}
    for p in (0.1, 0.3, 0.6)
]
CURVE = {"share": [0, 0.2, 1], "model": [0, 0.6, 1], "rules": [0, 0.4, 1]}


def _forecast() -> pd.DataFrame:
    rows = [
        {
            "scenario": s,
            "dimension": "all",
            "part": "all",
            "measure": m,
            "span": "cumulative",
            "step": w,
        }
        for s in ("baseline", "outreach", "difference")
        for m in ("won", "value_cents")
        for w in (1, 2, 3)
    ]
    frame = pd.DataFrame(rows)
    for step, name in enumerate(("p05", "p25", "p50", "p75", "p95")):
        frame[name] = frame["step"] * (step + 1)
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
    html = page.render([refused], refused, top=3, as_of="today", shows=Privacy.PUBLIC)
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


def test_what_is_withheld_is_said_and_nobody_is_called_nan(trained: Workspace) -> None:
    """Above a class the page tells arrows alone, and that it does; below it, neither."""
    part, none = _part(trained, Privacy.PUBLIC), Refusal(rule="a", value="b", remedy="c")
    assert part.scores is not None
    pages = {
        shows: page.render([one], none, top=5, as_of="today", shows=shows)
        for shows, one in ((Privacy.PUBLIC, part), (Privacy.PERSONAL, _part(trained)))
    }
    assert "above the privacy class 'public'" in pages[Privacy.PUBLIC]
    assert "withheld" not in pages[Privacy.PERSONAL].lower()
    assert not any(">nan<" in each for each in pages.values())


def test_an_account_that_is_not_known_is_none(
    trained: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However pandas spells what is missing."""
    read = trained.tables.read

    def without(name: str) -> pa.Table:
        rows = read(name)
        place, text = rows.schema.get_field_index("account"), pa.nulls(len(rows), pa.string())
        return rows.set_column(place, "account", text)

    monkeypatch.setattr(trained.tables, "read", without)
    part = _part(trained)
    assert part.scores is not None
    assert {*part.scores["account"]} == {None}


def _part(workspace: Workspace, shows: Privacy = Privacy.PERSONAL) -> gather.ModelPart:
    part = gather.model_part(workspace, "lead_qualification", shows)
    assert isinstance(part, gather.ModelPart)
    return part
