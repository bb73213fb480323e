"""Meters: declared once, bounded, added up over replicas, and readable by Prometheus."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from serving.observe import folder, meters, tallies
from serving.observe.exposition import exposition
from serving.observe.folder import GAUGES_S, KEPT_S, Folder
from serving.observe.meters import METERS, MOST_SERIES, OTHER
from serving.observe.readings import Readings
from serving.observe.tallies import Tallies

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAME = re.compile(r"(funnelcast|process)_[a-z]+(_[a-z]+)*")


def test_names_follow_the_conventions() -> None:
    """Snake case with our prefix; counters end in _total, times in seconds; units at the end."""
    for meter in METERS.values():
        assert NAME.fullmatch(meter.name), meter.name
        assert meter.name.endswith("_total") == (meter.kind == "counter"), meter.name
        assert meter.unit in meter.name, meter.name
        assert meter.unit in ("", "seconds", "bytes", "ratio"), meter.name
        assert bool(meter.bounds) == (meter.kind == "histogram"), meter.name
        assert meter.help.endswith("."), meter.name
        assert list(meter.bounds) == sorted(meter.bounds)


def _tallied() -> Tallies:
    made = Tallies()
    made.add(meters.DECISIONS, "lead", "model")
    made.add(meters.DECISIONS, "lead", "model")
    made.add(meters.ROUTES, "lead", 'a "route"\nof \\ two lines')
    for spent in (0.00005, 0.0003, 0.0003, 7.0):
        made.observe(meters.STAGE, spent, "score")
    return made


def test_what_is_told_reads_back() -> None:
    """By Prometheus' own reader: kinds, labels with odd letters, buckets that add up."""
    facts = [(meters.MODEL, tuple("abcdefg"), 1.0), (meters.EVENT_AGE, (), 1.5)]
    text = exposition({"r1": _tallied().snapshot(facts)})
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["funnelcast_decisions"].type == "counter"
    (decisions,) = found["funnelcast_decisions"].samples
    assert decisions.labels == {"kind": "lead", "outcome": "model", "replica": "r1"}
    assert decisions.value == 2
    assert found["funnelcast_routes"].samples[0].labels["route"] == 'a "route"\nof \\ two lines'
    assert found["funnelcast_feature_event_age_seconds"].samples[0].value == 1.5
    stage = found["funnelcast_decision_stage_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in stage if s.name.endswith("_bucket")}
    assert (buckets["0.0001"], buckets["0.0005"], buckets["1.0"], buckets["+Inf"]) == (1, 3, 3, 4)
    assert {s.name: s.value for s in stage}["funnelcast_decision_stage_seconds_count"] == 4
    assert {s.name: s.value for s in stage}["funnelcast_decision_stage_seconds_sum"] == 7.00065


def _series(made: Tallies) -> tuple[int, float]:
    """Return how many series ten thousand values of a label make, and what they add up to."""
    for number in range(10_000):
        made.add(meters.ROUTES, "lead", f"route-{number}")
        made.observe(meters.SCORE, 0.5, f"target-{number}")
    snapshot = made.snapshot()
    routes, scores = (snapshot[each.name] for each in (meters.ROUTES, meters.SCORE))
    assert len(routes) == len(scores)
    return len(routes), sum(value for _, value in routes if isinstance(value, float | int))


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after the first is counted as other, and none is lost; without the bound not."""
    made = Tallies()
    assert _series(made) == (MOST_SERIES + 1, 10_000)
    assert [OTHER, OTHER] in [labels for labels, _ in made.snapshot()[meters.ROUTES.name]]
    monkeypatch.setattr(tallies, "bounded", lambda series, labels: labels)
    assert _series(Tallies())[0] == 10_000


def _replica(path: Path, name: str, count: int) -> Readings:
    counted = Tallies()
    for _ in range(count):
        counted.add(meters.SHED)
    made = Readings(counted, Folder(path), name)
    made.add("gate", lambda: [(meters.INSIDE, (), 1.0)])
    return made


def _values(text: str, meter: meters.Meter) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {s.labels["replica"]: s.value for s in samples if s.name == meter.name}


def test_any_replica_tells_what_all_have_counted(tmp_path: Path) -> None:
    """By name, so that rates are those of each; and what was told is never taken back."""
    one, two = _replica(tmp_path, "one", 3), _replica(tmp_path, "two", 5)
    assert _values(one.text(), meters.SHED) == {"one": 3}
    assert _values(two.text(), meters.SHED) == {"one": 3, "two": 5}
    one._tallies.add(meters.SHED)
    assert _values(one.text(), meters.SHED)["one"] == 4
    assert _values(two.text(), meters.SHED)["one"] == 4, "a scrape told 4 before"


def test_a_replica_that_is_gone_leaves_its_counts_for_a_while(tmp_path: Path) -> None:
    """Not how it was; after some minutes nothing. A job's figures stay."""
    gone, here = _replica(tmp_path, "gone", 7), _replica(tmp_path, "here", 1)
    gone.keep()
    Folder(tmp_path).write("job-replay", {meters.REPLAYED.name: [(["differs"], 2)]})
    for age, shed, inside in ((GAUGES_S / 2, True, True), (GAUGES_S * 2, True, False)):
        _aged(tmp_path, age)
        text = here.text()
        assert ("gone" in _values(text, meters.SHED)) is shed
        assert ("gone" in _values(text, meters.INSIDE)) is inside
    _aged(tmp_path, KEPT_S * 2)
    text = here.text()
    assert _values(text, meters.SHED) == {"here": 1}
    assert not (tmp_path / "replica-gone.json").exists()
    assert 'funnelcast_replayed_decisions{verdict="differs"} 2' in text


def _aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    for each in path.glob("*.json"):
        os.utime(each, (then, then))


def test_a_source_that_fails_and_a_file_that_is_none_cost_nothing_else(tmp_path: Path) -> None:
    """The database may be away; a snapshot of another version may lie there."""
    made = _replica(tmp_path, "one", 2)
    made.add("broken", lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    (tmp_path / "replica-odd.json").write_text("{")
    (tmp_path / "replica-new.json").write_text('{"funnelcast_of_tomorrow_total": [[[], 1]]}')
    text = made.text()
    assert _values(text, meters.SHED) == {"one": 2}
    assert "tomorrow" not in text
    assert _values(text, meters.MEMORY)["one"] > 2**20
    assert abs(_values(text, meters.STARTED)["one"] - time.time()) < 86_400


def test_a_snapshot_holds_counts_alone(tmp_path: Path) -> None:
    """Whoever may read the folder of metrics learns no more than a scrape tells."""
    _replica(tmp_path / "metrics", "one", 1).keep()
    assert (tmp_path / "metrics").stat().st_mode & 0o777 == 0o700
    assert folder.lasting({"x": [], meters.INSIDE.name: []}) == {}
