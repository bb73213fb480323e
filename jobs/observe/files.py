"""The files that are made: rules for Prometheus and dashboards for Grafana, byte by byte. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from jobs.observe import dashboard, rules

if TYPE_CHECKING:
    from jobs.observe.objectives import Promises

RULES, DASHBOARD = "alerts/slo.yaml", "dashboards/service.json"  # below configs/
_HEAD = "# Made from configs/slo.yaml by `python -m jobs.observe rules`: change that.\n"


class _Spelt(yaml.SafeDumper):
    """YAML without references, for people to read."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def rules_of(promises: Promises) -> dict[str, str]:
    """Return the text of each file of rules, by its place below configs/."""
    document = rules.document(promises)
    text = yaml.dump(document, Dumper=_Spelt, sort_keys=False, width=120, allow_unicode=True)
    return {RULES: _HEAD + text}


def dashboards_of(promises: Promises) -> dict[str, str]:
    """Return the text of each dashboard, by its place below configs/."""
    return {DASHBOARD: json.dumps(dashboard.document(promises), indent=2) + "\n"}
