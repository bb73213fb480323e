"""Alert and recording rules of Prometheus, made from the objectives. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.observe.burn import BURNS, MINUTE, WINDOWS_S, spelt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.observe.burn import Burn
    from jobs.observe.objectives import Above, Condition, Objective, Promises, Slower

RATIO, BAD = "slo:funnelcast_errors:ratio_rate", "slo:funnelcast_errors:bool"
BUDGET = "slo:funnelcast_errors:budget"
GUIDE = "docs/observability.md"

type Rule = dict[str, Any]


def document(promises: Promises) -> dict[str, Any]:
    """Return the document for `rule_files`: what is recorded, and whom to tell of what when."""
    groups = [_recorded(each) for each in promises.objectives]
    days = promises.window_days
    burns = [_burning(each, burn, days) for each in promises.objectives for burn in BURNS]
    groups.append({"name": "funnelcast-burn", "rules": burns})
    conditions = [_lasting(each) for each in promises.conditions]
    groups.append({"name": "funnelcast-conditions", "rules": conditions})
    return {"groups": groups}


def recorded(window_s: int) -> str:
    """Return the name of the error ratio over a window."""
    return f"{RATIO}{spelt(window_s)}"


def _recorded(objective: Objective) -> dict[str, Any]:
    labels = {"slo": objective.name}
    rules: list[Rule] = [
        {"record": BUDGET, "expr": f"vector({objective.budget:g})", "labels": labels}
    ]
    if objective.above is not None:
        rules.append({"record": BAD, "expr": _is_above(objective.above), "labels": labels})
    for window_s in WINDOWS_S:
        expr = _error_ratio(objective, spelt(window_s))
        rules.append({"record": recorded(window_s), "expr": expr, "labels": labels})
    return {"name": f"funnelcast-slo-{objective.name}", "interval": "30s", "rules": rules}


def _error_ratio(objective: Objective, window: str) -> str:
    if objective.ratio is not None:
        bad, every = objective.ratio.bad, objective.ratio.all
        above = f"sum(rate({selector(bad.counter, bad.where)}[{window}])) or vector(0)"
        return f"({above}) / sum(rate({selector(every.counter, every.where)}[{window}]))"
    if objective.slower is not None:
        return _slower(objective.slower, window)
    return f'avg_over_time({BAD}{{slo="{objective.name}"}}[{window}])'


def _slower(slower: Slower, window: str) -> str:
    chosen = selector(slower.histogram + "_bucket", slower.where, le=str(slower.than))
    within = f"sum(rate({chosen}[{window}]))"
    every = f"sum(rate({selector(slower.histogram + '_count', slower.where)}[{window}]))"
    return f"1 - {within} / {every}"


def _is_above(above: Above) -> str:
    return f"max({selector(above.gauge, above.where)}) > bool {above.than:g}"


def _burning(objective: Objective, burn: Burn, budget_days: int) -> Rule:
    most = f"{burn.factor:g} * {objective.budget:g}"
    pair = [f'{recorded(s)}{{slo="{objective.name}"}}' for s in (burn.long_s, burn.short_s)]
    days = budget_days / burn.factor
    used = f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} hours"
    return {
        "alert": f"{_title(objective.name)}BudgetBurns",
        "expr": f"{pair[0]} > ({most}) and {pair[1]} > ({most})",
        "labels": {
            "severity": burn.severity,
            "slo": objective.name,
            "owner": objective.owner,
            "window": spelt(burn.long_s),
        },
        "annotations": {
            "summary": f"{objective.summary}: not often enough",
            "description": (
                f"{{{{ $value | humanizePercentage }}}} were bad over {spelt(burn.long_s)}, where"
                f" {objective.budget:.2%} may be. At that rate the budget of {budget_days} days"
                f" is gone in {used}."
            ),
            "fix": objective.fix,
            "guide": GUIDE,
        },
    }


def _lasting(condition: Condition) -> Rule:
    if condition.absent is not None:
        expr = f"absent({selector(condition.absent, condition.where)})"
    else:
        assert condition.above is not None
        chosen = selector(condition.gauge or "", condition.where)
        expr = f"{chosen} > {condition.above:g}"
    return {
        "alert": _title(condition.name),
        "expr": expr,
        "for": spelt(condition.minutes * MINUTE),
        "labels": {"severity": condition.severity, "owner": condition.owner},
        "annotations": {
            "summary": condition.summary,
            "description": f"For {condition.minutes} minutes; now {{{{ $value }}}}.",
            "fix": condition.fix,
            "guide": GUIDE,
        },
    }


def selector(name: str, where: Mapping[str, str], **exactly: str) -> str:
    """Return a selector of some series; values of `where` are regular expressions.

    >>> selector("x_total", {"status": "5.."})
    'x_total{status=~"5.."}'
    """
    found = [f'{label}=~"{_escaped(value)}"' for label, value in where.items()]
    found += [f'{label}="{_escaped(value)}"' for label, value in exactly.items()]
    inside = ",".join(found)
    return f"{name}{{{inside}}}" if inside else name


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _title(name: str) -> str:
    return "Funnelcast" + "".join(word.capitalize() for word in name.split("_"))
