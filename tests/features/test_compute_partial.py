"""Features over all buckets: measured in parts and merged, they are those of the whole."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given

from cluster.errors import WrongUse
from features import compute, log
from features.compute import partial
from features.spine import SCORING
from features.views import aggregates as a
from features.views.language import Events, View
from tests.features.test_compute_oracle import AT, DAY, QUICK, logs

VISITS = Events(kind="touch", names=("web_visit", "pricing_visit"))
ALL: dict[str, Any] = {"label": "", "events": VISITS}
FEATURES: tuple[a.Feature, ...] = (
    a.Count(name="count", window_days=7, **ALL),
    a.Sum(name="sum", **ALL),
    a.Mean(name="mean", window_days=1, **ALL),
    a.Min(name="min", **ALL),
    a.Max(name="max", window_days=7, **ALL),
    a.Distinct(name="accounts", column="account", **ALL),
    a.HoursSince(name="hours", **ALL),
    a.HoursSinceFirst(name="first", **ALL),
    a.Ratio(name="ratio", per=Events(kind="touch"), **ALL),
    a.Trend(name="trend", window_days=1, than_days=7, **ALL),
)
VIEW = View(name="by_text", entity="campaign", owner="", description="", privacy="public",
            features=FEATURES)  # fmt: skip


def _spine() -> pa.Table:
    rows = [(c, None, at) for c in ("blue", "green", "red") for at in (AT, AT + 3 * DAY)]
    columns = list(zip(*rows, strict=True))
    arrays = [pa.array(c, f.type if f.name != "time" else pa.int64())
              for c, f in zip(columns, SCORING, strict=True)]  # fmt: skip
    return pa.table(arrays, names=SCORING.names).cast(SCORING)


def _parts(events: pa.Table) -> list[pa.Table]:
    """The buckets: each row, and each account, in one of them. The texts stand for campaigns."""
    accounts = pa.array(["ab"[int(key) % 2] for key in events["row_key"].to_pylist()], pa.string())
    named = events
    for name, column in (("campaign", events["text"]), ("account", accounts)):
        named = named.set_column(named.schema.get_field_index(name), name, column)
    return [named.filter(pc.equal(named["account"], account)) for account in ("a", "b")]


@QUICK
@given(logs())
def test_parts_together_are_the_whole(events: pa.Table) -> None:
    """Bit by bit, also where a bucket has no event."""
    parts, spine = _parts(events), _spine()
    whole = compute.compute(VIEW, pa.concat_tables(parts), spine)
    made = [compute.measured(VIEW, part, spine) for part in parts]
    assert compute.together(VIEW, spine, made).equals(whole)


def test_a_part_that_is_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: one bucket alone is not the whole."""
    times = pa.array([AT - 5, AT - 4]).cast(log.MICROSECONDS)
    plain = {"row_key": ["1", "2"], "source": ["t"] * 2, "kind": ["touch"] * 2,
             "name": ["web_visit"] * 2, "event_time": times, "known_at": times,
             "account": ["a", "b"], "text": ["red", "red"], "number": [1, 2]}  # fmt: skip
    full = {f.name: plain.get(f.name, pa.nulls(2, f.type)) for f in log.CANDIDATE}
    events = log.identified(pa.table(full).cast(log.CANDIDATE))
    made = [compute.measured(VIEW, part, _spine()) for part in _parts(events)]
    assert compute.together(VIEW, _spine(), made)["count"].to_pylist() == [0, 0, 0, 0, 2, 2]
    monkeypatch.setattr(partial, "joined", lambda how, one, other: one)
    assert compute.together(VIEW, _spine(), made)["count"].to_pylist() == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    "feature",
    [
        a.Distinct(name="x", column="text", **ALL),
        a.LastText(name="x", **ALL),
        a.Gap(name="x", statistic="max", **ALL),
        a.Streak(name="x", **ALL),
        a.Decay(name="x", half_life_days=1, **ALL),
        a.Silence(name="x", **ALL),
    ],
    ids=lambda feature: type(feature).__name__,
)
def test_what_cannot_be_made_of_parts_is_refused(feature: a.Feature) -> None:
    """Named, before anything is computed."""
    view = View(name="v", entity="rep", owner="", description="", privacy="public",
                features=(feature,))  # fmt: skip
    with pytest.raises(WrongUse, match=f"a feature of rep must be .* {type(feature).__name__} 'x'"):
        compute.require_mergeable(view)
