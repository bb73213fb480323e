"""The world in parts: one company of any size, made piece by piece in bounded memory."""

from __future__ import annotations

import hashlib

import pandas as pd
import pyarrow as pa
import pytest

from cluster.errors import WrongUse
from features import log
from features.sources.world import WorldConfig, division, generate, generate_part, parts

CONFIG = WorldConfig(scale=0.06, reps=100, weeks=52, faults=0.0)
LEADS = 240  # of that company
WEEK = pd.Timedelta(weeks=1)


@pytest.fixture
def in_six(monkeypatch: pytest.MonkeyPatch) -> WorldConfig:
    """Return a small company that is made in six parts."""
    monkeypatch.setattr(division, "LEADS_PER_PART", LEADS // 6)
    return CONFIG


def digest(table: pa.Table) -> str:
    """Return a hash over everything in a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def test_a_part_is_the_same_whenever_it_is_made(in_six: WorldConfig) -> None:
    forwards = [digest(generate_part(in_six, part).events) for part in range(6)]
    backwards = [digest(generate_part(in_six, part).events) for part in reversed(range(6))]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 6


def test_all_parts_together_are_the_world(in_six: WorldConfig) -> None:
    whole, made = generate(in_six), [generate_part(in_six, part) for part in range(6)]
    assert parts(in_six) == 6
    assert digest(whole.events) == digest(pa.concat_tables([part.events for part in made]))
    assert digest(whole.people) == digest(pa.concat_tables([part.people for part in made]))


def test_a_part_has_the_columns_of_candidates(in_six: WorldConfig) -> None:
    made = generate_part(in_six, 3)
    assert made.events.schema.equals(log.CANDIDATE)
    assert made.people.column_names == ["subject", "field", "value"]


def test_no_key_is_given_in_two_parts(in_six: WorldConfig) -> None:
    made = [generate_part(in_six, part).events for part in range(6)]
    for column in ("row_key", "source_row", "lead", "person", "account", "opportunity", "rep"):
        seen = [set(part[column].drop_null().to_pylist()) for part in made]
        assert sum(map(len, seen)) == len(set().union(*seen)), column


def test_all_parts_share_campaigns_and_the_market(in_six: WorldConfig) -> None:
    one, other = (generate_part(in_six, part).events.to_pandas() for part in (0, 5))
    assert set(one["campaign"].dropna()) & set(other["campaign"].dropna())
    assert (one["kind"] == "metric").any() and not (other["kind"] == "metric").any()
    assert len(generate(in_six).truth["market"]) == in_six.weeks


def test_no_rep_works_more_than_the_capacity_in_the_whole_company(in_six: WorldConfig) -> None:
    events = generate(in_six.model_copy(update={"rep_capacity": 3})).events.to_pandas()
    work = events[events["kind"] == "activity"]
    week = (work["event_time"] - pd.Timestamp(in_six.start, tz="UTC")) // WEEK
    assert work.groupby(["rep", week]).size().max() == 3
    assert events["rep"].nunique() == 6


def test_the_number_of_leads_does_not_depend_on_the_parts(in_six: WorldConfig) -> None:
    assert len(generate(in_six).truth["leads"]) == LEADS
    assert sum(len(division.division(in_six, part).accounts) for part in range(6)) == 42


@pytest.mark.parametrize("part", [-1, 6])
def test_a_part_that_is_not_there_is_refused(in_six: WorldConfig, part: int) -> None:
    with pytest.raises(WrongUse, match=f"0 <= part < 6 must hold in this world, got {part}"):
        generate_part(in_six, part)


@pytest.mark.parametrize(("events", "weeks"), [(10_000, 78), (100_000, 78), (40_000, 26)])
def test_a_company_has_about_the_events_asked_for(events: int, weeks: int) -> None:
    made = generate(WorldConfig(events=events, weeks=weeks)).events
    assert made.num_rows == pytest.approx(events, rel=0.12)


def test_events_and_scale_are_not_asked_for_at_once() -> None:
    with pytest.raises(ValueError, match="only one of events and scale may be set"):
        WorldConfig(events=10_000, scale=2.0)


def test_ten_million_events_are_parts_of_less_than_half_a_million() -> None:
    config = WorldConfig(events=10_000_000)
    made = generate_part(config, parts(config) - 1).events
    assert made.num_rows * parts(config) == pytest.approx(10_000_000, rel=0.1)
    assert made.num_rows < 500_000
    assert made.nbytes < 120_000_000
