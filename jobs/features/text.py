"""The catalogue on a terminal: a view feature by feature, and one line per move of the log."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from features.views.changes import summary

if TYPE_CHECKING:
    from features.views.register import OnRecord

WIDTH = 400  # columns, where the output is not a terminal: one line per thing
SHORT = 12  # characters of a hash
FIRST, SAME = "first definition", "no other words: the language has grown"


def move(name: str, made: OnRecord) -> str:
    """Return a move of the register as one line."""
    ref = made.ref
    changed = summary(list(made.changes)) or (FIRST if ref.epoch == 1 else SAME)
    when = ref.moved_at.isoformat(timespec="seconds")
    return f"{when} {name} {made.version} by {ref.actor}: {ref.reason}: {changed}"


def plain(name: str, made: OnRecord) -> dict[str, Any]:
    """Return a move of the register as JSON values."""
    return {
        "view": name,
        "version": made.version,
        "at": made.ref.moved_at.isoformat(),
        "actor": made.ref.actor,
        "reason": made.ref.reason,
        "changes": [change.words for change in made.changes],
    }


def head(found: dict[str, Any]) -> list[str]:
    """Return what is said of a described view as a whole, in lines."""
    rows = found["rows"]
    models = [_model(model) for model in found["models"]]
    return [
        f"{found['description']}",
        f"{len(found['features'])} features of each {found['entity']}; owner {found['owner']};"
        f" privacy {found['privacy']}; version {found['version']}"
        + ("" if found["declared"] else ", not the one declared now"),
        f"used by targets: {', '.join(found['targets']) or 'none'}",
        f"used by models: {', '.join(models) or 'none'}",
        f"rows: {_rows(rows)}" if rows else "rows: none; materialize a target that has the view",
    ]


def state(health: dict[str, Any] | None) -> str:
    """Return the health of a feature in a few words."""
    if health is None:
        return ""
    nulls = f"{health['null_share']:.1%} null" if health["null_share"] is not None else "no rows"
    parts = [nulls, f"{health['distinct']:,} distinct"]
    if health["mean"] is not None:
        low, mean, high = (health[name] for name in ("min", "mean", "max"))
        parts.append(f"min {low:,.6g}, mean {mean:,.6g}, max {high:,.6g}")
    elif health["sketch"].get("values"):
        parts.append(f"mostly '{health['sketch']['values'][0]}'")
    parts += [f"moved by {health['psi']:.3f} PSI"] if health["psi"] is not None else []
    parts += [health["finding"].upper()] if health["finding"] else []
    return ", ".join(parts)


def window(feature: dict[str, Any]) -> str:
    """Return the window of a feature in words."""
    return f"{feature['window_days']:g} days" if feature["window_days"] else "all history"


def used(feature: dict[str, Any]) -> str:
    """Return who uses a feature."""
    models = [id[:SHORT] for id in feature["models"]]
    said = [f"models {', '.join(models)}"] if models else []
    said += [f"rules {', '.join(feature['rules'])}"] if feature["rules"] else []
    return f"used by {'; '.join(said)}" if said else "used by no model and no rule"


def show(report: dict[str, Any]) -> None:
    """Print a described view."""
    found = report["figures"]
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)
    console.print(Text(found["name"], style="bold"))
    for line in head(found):
        console.print(f"  {line}", markup=False)
    for feature in found["features"]:
        _show(console, feature)
    for path in report["wrote"].values():
        console.print(f"page written to {path}", markup=False)


def _show(console: Console, feature: dict[str, Any]) -> None:
    console.print(Text.assemble((feature["name"], "cyan"), f"  {feature['label']}"))
    facts = f"{feature['type']}, {window(feature)}, {feature['privacy']}"
    for line in (feature["means"], f"{facts}; {used(feature)}", state(feature["health"])):
        if line:
            console.print(f"    {line}", markup=False)


def _model(model: dict[str, Any]) -> str:
    live = "live" if model["live"] else "kept"
    other = "" if model["same_version"] else f", version {model['version']}"
    return f"{model['target']} {model['id'][:SHORT]} ({live}{other})"


def _rows(rows: dict[str, Any]) -> str:
    seen = f", newest fact known at {rows['known_to'][:19]}" if rows["known_to"] else ""
    return (
        f"{rows['table']}@{rows['snapshot']} as of {rows['as_of'][:19]}"
        f" ({rows['age_days']:g} days ago){seen}; health: {rows['health']}"
    )
