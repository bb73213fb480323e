"""Alert rules and dashboards: what they ask for is declared, they fire when they should, and what
is committed is what is made.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import promql_parser
import pytest
import yaml

from cluster.errors import WrongUse
from cluster.settings import CONFIGS, validated
from jobs.observe import burn, dashboard, files, panels, rules, run
from jobs.observe.burn import BURNS, DAY, HOUR, MINUTE, Point, burning
from jobs.observe.objectives import FILE, Promises, load_promises
from serving.observe.meters import METERS

if TYPE_CHECKING:
    from pathlib import Path

PROMTOOL = shutil.which("promtool")
OURS = {rules.BUDGET, rules.BAD, *map(rules.recorded, burn.WINDOWS_S)}  # what the rules record
DECLARED = {name: meter for meter in METERS.values() for name in meter.names}


def _series(node: Any) -> Iterator[Any]:
    """Yield every selector of a parsed expression."""
    kind = type(node).__name__
    if kind == "VectorSelector":
        yield node
    elif kind == "MatrixSelector":
        yield from _series(node.vector_selector)
    else:
        names = ("expr", "lhs", "rhs", "args", "param")
        for inner in (getattr(node, name, None) for name in names):
            for each in inner if isinstance(inner, list) else [inner]:
                if each is not None and not isinstance(each, str):
                    yield from _series(each)


def _grouped(node: Any) -> Iterator[str]:
    """Yield every label that an expression groups by."""
    modifier = getattr(node, "modifier", None)
    if type(node).__name__ == "AggregateExpr" and modifier is not None:
        yield from modifier.labels
    for inner in (getattr(node, name, None) for name in ("expr", "lhs", "rhs", "args")):
        for each in inner if isinstance(inner, list) else [inner]:
            if each is not None and not isinstance(each, str):
                yield from _grouped(each)


def wrong(expression: str) -> list[str]:
    """Return what an expression asks for that nobody declares; ValueError if it is none."""
    parsed = promql_parser.parse(expression.replace("$__rate_interval", "5m"))
    found, known = [], set()
    for each in _series(parsed):
        labels = {matcher.name for matcher in each.matchers.matchers}
        if each.name in OURS:
            known.add("slo")
            found += sorted(labels - {"slo"})
        elif each.name not in DECLARED:
            found.append(each.name)
        else:
            known |= DECLARED[each.name].every_label
            found += sorted(labels - DECLARED[each.name].every_label)
    return found + sorted(set(_grouped(parsed)) - known)


def _rules(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in document["groups"] for rule in group["rules"]]


def _drawn(document: dict[str, Any]) -> list[str]:
    return [t["expr"] for panel in document["panels"] for t in panel.get("targets", ())]


def _committed() -> tuple[dict[str, Any], dict[str, Any]]:
    alerts = yaml.safe_load((CONFIGS / files.RULES).read_text())
    return alerts, json.loads((CONFIGS / files.DASHBOARD).read_text())


def test_what_is_committed_is_what_is_made() -> None:
    """To the byte; making it again changes nothing."""
    for action in run.ACTIONS:
        run.checked(action, CONFIGS)
        assert run.written(action, CONFIGS).wrote == {}


def test_a_file_that_was_changed_is_told_and_made_again(tmp_path: Path) -> None:
    """By the check, with what to do."""
    run.written("rules", tmp_path)
    there = tmp_path / files.RULES
    there.write_text(there.read_text().replace("14.4", "99"))
    with pytest.raises(run.NotAsMade, match="must be as it is made"):
        run.checked("rules", tmp_path)
    assert run.written("rules", tmp_path).wrote == {files.RULES: "made"}
    run.checked("rules", tmp_path)
    with pytest.raises(WrongUse, match="did you mean 'rules'"):
        run.checked("rulez", tmp_path)


def test_every_expression_asks_for_declared_names_and_labels() -> None:
    """In alerts and dashboards, by a parser of Prometheus' language."""
    alerts, board = _committed()
    asked = [rule["expr"] for rule in _rules(alerts)] + _drawn(board)
    assert len(asked) > 100
    assert {expression: wrong(expression) for expression in asked if wrong(expression)} == {}


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("funnelcast_decision_seconds", "funnelcast_decisions_seconds"),
        ('outcome=~"', 'outcomes=~"'),
        ("by (stage)", "by (stages)"),
        ("slo:funnelcast_errors:ratio_rate1h", "slo:funnelcast_errors:ratio_rate4h"),
    ],
)
def test_a_name_that_is_misspelt_is_found(was: str, becomes: str) -> None:
    """The mutants of the test above."""
    alerts, board = _committed()
    asked = [rule["expr"] for rule in _rules(alerts)] + _drawn(board)
    broken = [expression.replace(was, becomes) for expression in asked if was in expression]
    assert broken
    assert all(wrong(expression) for expression in broken)


def test_every_meter_is_drawn_or_alerted() -> None:
    """Whatever is declared is looked at somewhere; but when samples were taken needs no panel."""
    alerts, board = _committed()
    text = json.dumps([alerts, board])
    assert [m.name for m in METERS.values() if not any(n in text for n in m.names)] == [
        "funnelcast_replay_timestamp_seconds"
    ]


def _changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    change(found)
    return found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda d: d["objectives"][0]["ratio"]["bad"].update(counter="funnelcast_x_total"),
            "no meter is called 'funnelcast_x_total'",
        ),
        (
            lambda d: d["objectives"][0]["ratio"]["bad"].update(where={"statuss": "5.."}),
            "did you mean 'status'",
        ),
        (lambda d: d["objectives"][1]["slower"].update(than=0.2), "must be a bound"),
        (lambda d: d["objectives"][1].update(objective=0.9), "could burn no faster"),
        (lambda d: d["objectives"][1].update(above={"gauge": "x", "than": 1}), "no meter"),
        (lambda d: d["objectives"][1].update(name="availability"), "names must differ"),
        (lambda d: d["conditions"][0].update(gauge="funnelcast_decisions_total"), "is a counter"),
        (lambda d: d["conditions"][0].pop("above"), "must have gauge and above, or absent"),
    ],
)
def test_a_promise_that_could_not_be_watched_is_refused(
    change: Callable[[dict[str, Any]], None], said: str
) -> None:
    """When the document is read, in one line."""
    with pytest.raises(WrongUse, match=said):
        validated(Promises, _changed(change), where="slo.yaml")


def test_an_alert_tells_whom_what_and_what_to_do() -> None:
    """Owner, severity, context and a fix in each."""
    alerts = [rule for rule in _rules(_committed()[0]) if "alert" in rule]
    assert len(alerts) == 4 * len(load_promises().objectives) + len(load_promises().conditions)
    for alert in alerts:
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert alert["labels"]["owner"]
        assert all(alert["annotations"][n] for n in ("summary", "description", "fix", "guide"))


BUDGET = 0.001


def _played(bad_share: Callable[[float], float], days: float) -> list[Point]:
    """Return counters of ten requests a minute, of which a share is bad."""
    found, bad, every = [Point(at=0.0, bad=0.0, all=0.0)], 0.0, 0.0
    for minute in range(1, int(days * DAY / MINUTE) + 1):
        every += 10
        bad += 10 * bad_share(minute * MINUTE)
        found.append(Point(at=minute * MINUTE, bad=bad, all=every))
    return found


def _first(points: list[Point], begin: float, end: float) -> tuple[float, str] | None:
    """Return when the first alert fires, in minutes after the beginning, and how urgent it is."""
    for point in points:
        if begin <= point.at <= end and (found := burning(points, point.at, BUDGET)):
            return (point.at - begin) / MINUTE, found[0].severity
    return None


BEGIN = 4 * DAY - 5 * HOUR


def _begun(share: float, for_s: float = DAY) -> Callable[[float], float]:
    return lambda at: share if BEGIN < at <= BEGIN + for_s else 0.0


def test_a_fast_burn_pages_within_minutes() -> None:
    """When everything fails, and when a tenth does."""
    for share, minutes in ((1.0, 2), (0.1, 10)):
        found = _first(_played(_begun(share), 4), BEGIN, BEGIN + HOUR)
        assert found is not None
        assert (found[0] <= minutes, found[1]) == (True, "page")


def test_a_slow_burn_asks_for_a_ticket() -> None:
    """At four times the budget nobody is woken, and within a day there is a ticket."""
    points = _played(lambda at: 4 * BUDGET if at > DAY else 0.0, 2.5)
    hours = [at * HOUR + DAY for at in range(30)]
    fired = [{each.severity for each in burning(points, now, BUDGET)} for now in hours]
    assert "page" not in set().union(*fired)
    assert {"ticket"} in fired[:25]


def test_a_blip_does_not_fire_and_a_burn_ends_soon() -> None:
    """Half a minute's worth in an hour is nothing; and five minutes after the end it is quiet."""
    blip = _played(_begun(0.4, for_s=2 * MINUTE), 4)
    assert _first(blip, BEGIN, BEGIN + HOUR) is None
    burnt = _played(_begun(0.05, for_s=30 * MINUTE), 4)
    end = BEGIN + 30 * MINUTE
    fast = [b for b in burning(burnt, end, BUDGET) if b.long_s == HOUR]
    assert fast
    assert not [b for b in burning(burnt, end + 6 * MINUTE, BUDGET) if b.long_s == HOUR]


def test_a_service_at_its_objective_is_left_alone() -> None:
    """Just under the budget nothing fires, for days; nor where nobody asks."""
    points = _played(lambda at: 0.9 * BUDGET, 4)
    assert burning(points, 4 * DAY, BUDGET) == ()
    idle = [Point(at=each.at, bad=0, all=0) for each in points]
    assert burning(idle, 4 * DAY, BUDGET) == ()


def test_without_its_long_window_an_alert_would_fire_on_a_blip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant: why there are two windows."""
    short = tuple(
        burn.Burn(severity=b.severity, factor=b.factor, long_s=b.short_s, short_s=b.short_s)
        for b in BURNS
    )
    monkeypatch.setattr(burn, "BURNS", short)
    blip = _played(_begun(0.4, for_s=2 * MINUTE), 4)
    assert _first(blip, BEGIN, BEGIN + HOUR) is not None


def test_the_rules_have_the_windows_and_factors_of_the_evaluator() -> None:
    """What is tested above is what Prometheus is told."""
    for objective in load_promises().objectives:
        found = [
            rule["expr"]
            for rule in _rules(rules.document(load_promises()))
            if rule.get("alert") and rule["labels"].get("slo") == objective.name
        ]
        for each, expression in zip(BURNS, found, strict=True):
            numbers = re.findall(r"rate(\w+)\{[^}]*\} > \(([\d.]+) \* ([\d.]+)\)", expression)
            most = f"{each.factor:g}", f"{objective.budget:g}"
            windows = burn.spelt(each.long_s), burn.spelt(each.short_s)
            assert numbers == [(window, *most) for window in windows]


def test_panels_do_not_overlap_and_follow_the_schema() -> None:
    """Each within 24 columns, beside or below the others; ids and references unique."""
    _, board = _committed()
    assert (board["schemaVersion"], board["uid"]) == (42, dashboard.UID)
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= panels.COLUMNS
        mine = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & mine, panel["title"]
        cells |= mine
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)
        assert panel["type"] == "row" or (refs and panel["datasource"] == panels.SOURCE)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)


SCENE = """
rule_files: [slo.yaml]
evaluation_interval: 30s
tests:
  - interval: 30s
    input_series:
      - {{series: 'funnelcast_http_requests_total{{route="/v1/decisions",status="200"}}', values: '0+10x{half}'}}
      - {{series: 'funnelcast_http_requests_total{{route="/v1/decisions",status="503"}}', values: '0x120 {bad}x{rest}'}}
      - {{series: 'funnelcast_readings_timestamp_seconds', values: '1x{half}'}}
    alert_rule_test:
      - {{eval_time: 59m, alertname: FunnelcastAvailabilityBudgetBurns, exp_alerts: []}}
    promql_expr_test:
      - expr: 'count(ALERTS{{alertname="FunnelcastAvailabilityBudgetBurns",alertstate="firing",severity="page"}}) or vector(0)'
        eval_time: 66m
        exp_samples: [{{labels: '{{}}', value: {pages}}}]
"""  # noqa: E501


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(("bad", "pages"), [("0+10", 2), ("0+0", 0)])
def test_prometheus_itself_agrees(tmp_path: Path, bad: str, pages: int) -> None:
    """That the rules are sound, and that half of all failing fires both pages within minutes."""
    shutil.copy(CONFIGS / files.RULES, tmp_path / "slo.yaml")
    scene = SCENE.format(half=160, rest=40, bad=bad, pages=pages)
    (tmp_path / "scene.yaml").write_text(scene)
    for command in (["check", "rules", "slo.yaml"], ["test", "rules", "scene.yaml"]):
        ended = subprocess.run(
            [str(PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
