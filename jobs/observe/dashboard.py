"""The dashboard of the service, made from the declared meters and the objectives. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.observe import rules
from jobs.observe.burn import HOUR, MINUTE
from jobs.observe.panels import SOURCE, Panel, Query, Row, laid_out
from serving.observe import meters

if TYPE_CHECKING:
    from jobs.observe.objectives import Promises
    from serving.observe.meters import Meter

SCHEMA = 42  # of the classic model of dashboards, as Grafana 12 and 13 read it
UID, TITLE = "funnelcast-service", "Funnelcast: the decision service"
MINE = 'replica=~"$replica"'  # of the replicas that are chosen above
SPAN = "$__rate_interval"


def document(promises: Promises) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": UID,
        "title": TITLE,
        "description": "Made by `python -m jobs.observe dashboards`: change that.",
        "tags": ["funnelcast"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [_source(), _replicas()]},
        "panels": laid_out(_rows(promises)),
    }


def _source() -> dict[str, Any]:
    return {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0, "options": [], "refresh": 1, "regex": "",
    }  # fmt: skip


def _replicas() -> dict[str, Any]:
    asked = f"label_values({meters.READ.name}, replica)"
    return {
        "name": "replica", "label": "Replica", "type": "query", "datasource": SOURCE,
        "definition": asked, "query": {"query": asked, "refId": "replicas"}, "refresh": 2,
        "includeAll": True, "allValue": ".*", "multi": True, "hide": 0, "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"]}, "options": [], "regex": "",
    }  # fmt: skip


def _rows(promises: Promises) -> tuple[Row, ...]:
    return (
        Row(title="Promises", panels=_promises(promises)),
        Row(title="Answers", panels=_answers()),
        Row(title="Time", panels=_time()),
        Row(title="Models", panels=_models()),
        Row(title="Load", panels=_load()),
        Row(title="Simulations", panels=_simulations()),
        Row(title="Access and telemetry", panels=_access()),
    )


def _promises(promises: Promises) -> tuple[Panel, ...]:
    burn = f"{rules.recorded(HOUR)} / {rules.BUDGET}"
    short = f"{rules.recorded(5 * MINUTE)} / {rules.BUDGET}"
    named = ", ".join(f"{each.name} {each.objective:.2%}" for each in promises.objectives)
    return (
        Panel(title="Burn rate over 1 h", kind="timeseries", width=12, alarm=14.4, about=named,
              queries=(Query(expr=burn, legend="{{slo}}"),)),
        Panel(title="Burn rate over 5 min", kind="timeseries", width=12, alarm=14.4, about=named,
              queries=(Query(expr=short, legend="{{slo}}"),)),
    )  # fmt: skip


def _answers() -> tuple[Panel, ...]:
    by_route = _rate(meters.ROUTES, "kind, route")
    return (
        _lines("Questions by outcome", meters.DECISIONS, "outcome"),
        Panel(title="Decisions by route", kind="timeseries", unit="reqps", stacked=True,
              queries=(Query(expr=by_route, legend="{{kind}} {{route}}"),)),
        _lines("Fallbacks by cause", meters.FALLBACKS, "cause"),
        _lines("Refusals by reason", meters.REFUSALS, "reason"),
        _lines("Requests by status", meters.REQUESTS, "status"),
        _lines("Events that were sent", meters.EVENTS, "status"),
    )  # fmt: skip


def _time() -> tuple[Panel, ...]:
    whole = tuple(
        Query(expr=_quantile(q, meters.DECISION, ""), legend=f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    )
    stage = Query(expr=_quantile(0.99, meters.STAGE, "stage"), legend="{{stage}}")
    spent = f"{_rate(meters.STAGE, 'stage', '_sum')} / {_rate(meters.STAGE, 'stage', '_count')}"
    journal = f'{meters.STAGE.name}_bucket{{stage="journal",{MINE}}}'
    wait = f"histogram_quantile(0.99, sum by (le) (rate({journal}[{SPAN}])))"
    return (
        Panel(title="Latency of a decision", kind="timeseries", unit="s", alarm=0.25,
              queries=whole),
        Panel(title="Latency by stage, p99", kind="timeseries", unit="s", queries=(stage,)),
        Panel(title="Mean time by stage", kind="timeseries", unit="s", stacked=True,
              queries=(Query(expr=spent, legend="{{stage}}"),)),
        Panel(title="Wait for the journal, p99", kind="timeseries", unit="s", alarm=0.05,
              queries=(Query(expr=wait, legend="p99"), )),
        _gauge("Records that wait for the journal", meters.JOURNAL, "replica"),
        _gauge("Decisions that wait for the lane", meters.QUEUE, "replica"),
    )  # fmt: skip


def _models() -> tuple[Panel, ...]:
    ids = "kind, target, model, calibrator, policy, view, code"
    scores = f"sum by (le) (increase({meters.SCORE.name}_bucket{{{MINE}}}[{SPAN}]))"
    loaded = f"time() - max by (kind) ({meters.LOADED.name}{{{MINE}}})"
    return (
        Panel(title="What answers", kind="table", width=16,
              queries=(Query(expr=f"sum by ({ids}) ({meters.MODEL.name}{{{MINE}}})"),)),
        Panel(title="Loaded since", kind="stat", unit="s",
              queries=(Query(expr=loaded, legend="{{kind}}"),)),
        Panel(title="Scores", kind="heatmap", queries=(Query(expr=scores, legend="{{le}}"),)),
        Panel(title="Median score by target", kind="timeseries", unit="percentunit",
              queries=(Query(expr=_quantile(0.5, meters.SCORE, "target"), legend="{{target}}"),)),
        _gauge("Open breakers", meters.BREAKER, "kind", alarm=1),
        _gauge("Age of the newest event", meters.EVENT_AGE, "", unit="s"),
        _gauge("Age of the base", meters.BASE_AGE, "", unit="s"),
        _gauge("Leads that may not be scored", meters.CONSENT_LEADS, ""),
        _gauge("Age of what persons forbid", meters.CONSENT_AGE, "", unit="s"),
        Panel(title="Decisions made again", kind="stat",
              queries=(Query(expr=meters.REPLAYED.name, legend="{{verdict}}"),)),
        _gauge("Missing models", meters.MISSING, "", alarm=1),
        _gauge("Refused models and policies", meters.REFUSED, "", alarm=1),
        _gauge("From ref to swap", meters.LAG, "replica", unit="s"),
        _gauge("Share of candidates", meters.SHARE, "kind", unit="percentunit"),
        _lines("Copies of decisions", meters.MIRRORED, "outcome"),
        _lines("Looks of the judge that failed", meters.JUDGED_AWAY, "replica"),
    )  # fmt: skip


def _load() -> tuple[Panel, ...]:
    share = f"max({meters.INSIDE.name}{{{MINE}}} / {meters.INSIDE_MOST.name}{{{MINE}}})"
    up = f"time() - {meters.STARTED.name}{{{MINE}}}"
    return (
        Panel(title="Share of places taken", kind="timeseries", unit="percentunit", alarm=0.9,
              queries=(Query(expr=share, legend="fullest replica"),)),
        _lines("Requests that the gate refused", meters.SHED, "replica"),
        _gauge("Memory", meters.MEMORY, "replica", unit="bytes"),
        _lines("Processor time", meters.CPU, "replica", unit="percentunit"),
        _gauge("Open files", meters.FILES, "replica"),
        Panel(title="Running since", kind="stat", unit="s",
              queries=(Query(expr=up, legend="{{replica}}"),)),
    )  # fmt: skip


def _access() -> tuple[Panel, ...]:
    known = _rate(meters.AUTHENTICATIONS, "credential, outcome")
    return (
        Panel(title="Credentials", kind="timeseries", unit="reqps",
              queries=(Query(expr=known, legend="{{credential}} {{outcome}}"),)),
        _lines("Looks at refs that failed", meters.LOOKS_FAILED, "replica"),
        _lines("Log lines", meters.LINES, "outcome"),
        _lines("Spans", meters.SPANS, "outcome"),
    )  # fmt: skip


def _simulations() -> tuple[Panel, ...]:
    return (
        _gauge("Simulations on record", meters.SIMULATIONS, "status"),
        _gauge("The oldest under way", meters.SIMULATION_OLDEST, "", unit="s"),
        _gauge("The last that was done", meters.SIMULATION_LAST, "part", unit="s"),
        _lines("Simulations asked for", meters.SIMULATIONS_ASKED, "outcome"),
    )


def _lines(title: str, meter: Meter, by: str, unit: str = "reqps") -> Panel:
    """Return how fast a counter grows, by one label."""
    drawn = Query(expr=_rate(meter, by), legend=f"{{{{{by}}}}}")
    return Panel(title=title, kind="timeseries", unit=unit, queries=(drawn,), about=meter.help)


def _gauge(
    title: str, meter: Meter, by: str, *, unit: str = "short", alarm: float | None = None
) -> Panel:
    """Return the largest value of a gauge, by one label if any."""
    of = f" by ({by})" if by else ""
    drawn = Query(expr=f"max{of} ({meter.name}{{{MINE}}})", legend=f"{{{{{by}}}}}" if by else title)
    return Panel(
        title=title, kind="timeseries", unit=unit, queries=(drawn,), about=meter.help, alarm=alarm
    )


def _rate(meter: Meter, by: str, end: str = "") -> str:
    return f"sum by ({by}) (rate({meter.name}{end}{{{MINE}}}[{SPAN}]))"


def _quantile(q: float, meter: Meter, by: str) -> str:
    keys = f"le, {by}" if by else "le"
    buckets = f"rate({meter.name}_bucket{{{MINE}}}[{SPAN}])"
    return f"histogram_quantile({q:g}, sum by ({keys}) ({buckets}))"
