"""Spines: labels, maturity and population by the definition of a target."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from cluster.settings import CONFIGS
from features import spine
from features.targets import Target, load_target

Events = Callable[..., pa.Table]
DAY_0 = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
TARGET = Target.model_validate(
    {
        "name": "test",
        "description": "",
        "entity": "lead",
        "anchor": {"kind": "lead", "names": ["created"]},
        "delay_days": 2,
        "every_days": 10,
        "times": 2,
        "horizon_days": 30,
        "settle_days": 1,
        "label": {"kind": "lead", "names": ["qualified"]},
        "closed_by": [{"kind": "lead", "names": ["disqualified"]}],
        "view": "lead_engagement",
    }
)


def _lead(lead: str, **moments: float) -> list[dict[str, Any]]:
    return [{"kind": "lead", "name": n, "lead": lead, "at": at} for n, at in moments.items()]


def _rows(events: pa.Table, day: float) -> dict[tuple[str, float], tuple[bool, bool]]:
    rows = spine.training(TARGET, events, DAY_0 + timedelta(days=day)).to_pylist()
    return {
        (r["entity"], (r["time"] - DAY_0) / timedelta(days=1)): (r["label"], r["mature"])
        for r in rows
    }


def test_the_label_window_is_half_open(make_events: Events) -> None:
    """At T itself counts (it was not known before T), at T + horizon does not."""
    events = make_events(
        *_lead("at_T", created=0, qualified=2),
        *_lead("last", created=0, qualified=31.99),
        *_lead("too_late", created=0, qualified=32),
    )
    labels = {lead: label for (lead, day), (label, _) in _rows(events, 100).items() if day == 2}
    assert labels == {"at_T": True, "last": True, "too_late": False}


def test_a_closed_entity_has_no_further_rows(make_events: Events) -> None:
    """A lead qualified or disqualified before T is not asked about again."""
    events = make_events(
        *_lead("won", created=0, qualified=5),
        *_lead("early", created=0, qualified=1),
        *_lead("out", created=0, disqualified=6),
        *_lead("open", created=0),
    )
    assert sorted(_rows(events, 100)) == [
        ("open", 2.0), ("open", 12.0), ("out", 2.0), ("won", 2.0),
    ]  # fmt: skip


def test_a_closing_that_nobody_knew_of_does_not_close(make_events: Events) -> None:
    """Disqualified on day 6, learnt on day 20: on day 12 the lead was still worked."""
    late = {"kind": "lead", "name": "disqualified", "lead": "l", "at": 6, "known": 20}
    events = make_events(*_lead("l", created=0), late)
    assert ("l", 12.0) in _rows(events, 100)


@pytest.mark.parametrize(("day", "mature"), [(32.99, False), (33, True)])
def test_an_immature_row_is_neither_positive_nor_negative(
    make_events: Events, day: float, mature: bool
) -> None:
    """Maturity needs the whole horizon and the days to settle."""
    events = make_events(*_lead("l", created=0))
    assert _rows(events, day)[("l", 2.0)] == (False, mature)


def test_among_closed_leaves_out_what_stayed_open(make_events: Events) -> None:
    """Neither won nor lost within the horizon: no label at all."""
    target = TARGET.model_copy(update={"among_closed": True, "times": 1})
    events = make_events(
        *_lead("won", created=0, qualified=9),
        *_lead("lost", created=0, disqualified=9),
        *_lead("open", created=0),
    )
    rows = spine.training(target, events, DAY_0 + timedelta(days=90)).to_pylist()
    assert {r["entity"]: (r["label"], r["mature"]) for r in rows} == {
        "won": (True, True), "lost": (False, True), "open": (False, False),
    }  # fmt: skip


def test_scoring_rows_are_the_open_entities(make_events: Events) -> None:
    """Created by now, and neither labelled nor closed as known by now."""
    events = make_events(
        *_lead("open", created=1),
        *_lead("gone", created=1, disqualified=3),
        *_lead("won", created=1, qualified=3),
        *_lead("not_yet", created=9),
    )
    rows = spine.scoring(TARGET, events, DAY_0 + timedelta(days=5))
    assert rows["entity"].to_pylist() == ["open"]


def test_every_declared_target_loads() -> None:
    """Each file in configs/targets is valid and its view exists."""
    files = (CONFIGS / "targets").glob("*.yaml")
    assert {load_target(str(path)).name for path in files} >= {
        "lead_qualification",
        "opportunity_win",
    }


def test_a_wrong_target_names_the_nearest() -> None:
    """A typing error on the command line is answered with the name meant."""
    with pytest.raises(WrongUse, match=r"did you mean 'lead_qualification.yaml'"):
        load_target("lead_qualifcation")
