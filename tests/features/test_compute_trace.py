"""The way back from a value to its events: enough to make it again, apart from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.errors import WrongUse
from features import compute
from tests.features.test_compute_oracle import AT, QUICK, VIEW, _log, _spine, logs


def _row() -> pa.Table:
    return _spine().slice(2, 1)  # the first lead, three days after AT


def _value(view: Any, events: pa.Table) -> Any:
    return compute.compute(view, events, _row())[view.features[0].name][0].as_py()


def _rows_of(events: pa.Table, some: pa.Table, *, among: bool) -> pa.Table:
    """The events whose rows are, or are not, among some: every version of them."""
    is_there = pc.is_in(events["row_key"], value_set=some["row_key"].combine_chunks())
    return events.filter(is_there if among else pc.invert(is_there))


@QUICK
@given(logs(), st.sampled_from(VIEW.features))
def test_the_traced_events_alone_make_the_same_value(events: pa.Table, feature: Any) -> None:
    """All other rows are deleted."""
    alone = replace(VIEW, features=(feature,))
    traced = compute.trace(VIEW, feature.name, events, _row())
    assert _value(alone, _rows_of(events, traced, among=True)) == _value(alone, events)


@QUICK
@given(logs(), st.sampled_from(VIEW.features), st.sampled_from(VIEW.features))
def test_deleting_them_changes_no_unrelated_feature(
    events: pa.Table, feature: Any, other: Any
) -> None:
    """Unrelated: made of other rows."""
    traced, theirs = (compute.trace(VIEW, f.name, events, _row()) for f in (feature, other))
    if set(traced["row_key"].to_pylist()) & set(theirs["row_key"].to_pylist()):
        return
    alone = replace(VIEW, features=(other,))
    assert _value(alone, _rows_of(events, traced, among=False)) == _value(alone, events)


@pytest.mark.parametrize("feature", VIEW.features, ids=lambda f: f"{type(f).__name__}-{f.name}")
def test_deleting_them_changes_the_feature(feature: Any) -> None:
    """Where it has a value that the rest would not give too."""
    visits = [(n, AT - n * 7_300_000_000 - n, AT, 0, name, n, text, ("lead-0", "a"))
              for n, (name, text) in enumerate([
                  ("web_visit", "red"), ("email_replied", "blue"), ("web_visit", "green"),
                  ("pricing_visit", "red"), ("web_visit", "blue"), ("pricing_visit", "red"),
              ], 2)]  # fmt: skip
    events, alone = _log(visits), replace(VIEW, features=(feature,))
    traced = compute.trace(VIEW, feature.name, events, _row())
    value = _value(alone, events)
    nothing = _value(alone, events.slice(0, 0))
    assert (traced.num_rows > 0) == (value != nothing) or value is None
    if value != nothing:
        assert _value(alone, _rows_of(events, traced, among=False)) != value


def test_a_trace_that_forgets_an_event_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: the latest of the events is left out."""
    rows = [(n, AT - n, AT, 0, "web_visit", n, "red", ("lead-0", "a")) for n in range(1, 9)]
    events, feature = _log(rows), VIEW.features[0]
    alone = replace(VIEW, features=(feature,))
    traced = compute.trace(VIEW, feature.name, events, _row())
    assert _value(alone, _rows_of(events, traced, among=True)) == _value(alone, events)
    less = traced.slice(0, traced.num_rows - 1)
    assert _value(alone, _rows_of(events, less, among=True)) != _value(alone, events)


def test_traced_events_come_in_order_and_once() -> None:
    """By time, whatever the order of the log."""
    rows = [(n, AT - (n * 37 % 11) * 1000, AT, 0, "web_visit", n, "red", ("lead-0", "a"))
            for n in range(10)]  # fmt: skip
    traced = compute.trace(VIEW, VIEW.features[-1].name, _log(rows), _row())
    times = traced["event_time"].cast(pa.int64()).to_numpy()
    assert len(times) == 10
    assert (np.diff(times) > 0).all()


def test_a_feature_that_is_not_there_is_named() -> None:
    """With the nearest one."""
    with pytest.raises(WrongUse, match="a feature must be of the view, got 'f00': did you mean"):
        compute.trace(VIEW, "f00", _log([]), _row())
