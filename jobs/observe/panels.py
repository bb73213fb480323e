"""Panels of a dashboard of Grafana, and how they are laid out. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

COLUMNS, HEIGHT = 24, 8
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

type Kind = Literal["timeseries", "stat", "table", "heatmap"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """One expression, and how each of its series is called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What is drawn."""

    title: str
    kind: Kind
    queries: tuple[Query, ...]
    unit: str = "short"
    width: int = 8
    about: str = ""
    alarm: float | None = None  # the value from which on it is red
    stacked: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...] = field(default_factory=tuple)


def laid_out(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    """Return the panels of rows from left to right and top to bottom, as Grafana has them."""
    made: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        made.append(_heading(row.title, len(made) + 1, top))
        top, left = top + 1, 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left = top + HEIGHT, 0
            place = {"h": HEIGHT, "w": panel.width, "x": left, "y": top}
            made.append(_panel(panel, len(made) + 1, place))
            left += panel.width
        top += HEIGHT
    return made


def _heading(title: str, id: int, top: int) -> dict[str, Any]:
    place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
    return {
        "id": id, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []
    }  # fmt: skip


def _panel(panel: Panel, id: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
        "targets": [_target(panel, query, n) for n, query in enumerate(panel.queries)],
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.alarm is not None:
        steps.append({"color": "red", "value": panel.alarm})
    found: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 20 if panel.stacked else 0,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if panel.alarm is None else "line"},
        }
    return found


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "heatmap":
        return {"calculate": False, "yAxis": {"unit": "percentunit"}, "cellGap": 1}
    return {"showHeader": True}


def _target(panel: Panel, query: Query, number: int) -> dict[str, Any]:
    formats = {"table": "table", "heatmap": "heatmap"}
    is_now = panel.kind in ("table", "stat")
    return {
        "refId": chr(ord("A") + number),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": formats.get(panel.kind, "time_series"),
        "instant": is_now,
        "range": not is_now,
    }
