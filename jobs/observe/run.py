"""The story of making alert rules and dashboards: write them, or check that they are as made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cluster.errors import FunnelcastError, WrongUse, nearest
from cluster.settings import CONFIGS
from jobs import show
from jobs.console import Report, guarded
from jobs.observe import files
from jobs.observe.objectives import load_promises

if TYPE_CHECKING:
    from pathlib import Path

VERB = "observe"
ACTIONS = {"rules": files.rules_of, "dashboards": files.dashboards_of}
NEEDS = dict.fromkeys(ACTIONS)  # it writes files of the checkout, not of a workspace


class NotAsMade(FunnelcastError):
    """A file that somebody changed, or that was not made again."""


def main(
    action: Annotated[str, typer.Argument(help="rules or dashboards.")],
    check: Annotated[bool, typer.Option(help="Change nothing; fail where a file differs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make alert rules (configs/alerts) or dashboards (configs/dashboards)."""
    with guarded(as_json):
        report = checked(action, CONFIGS) if check else written(action, CONFIGS)
        show.outcome(VERB, report.as_dict(), unchanged=not report.wrote, as_json=as_json)


def written(action: str, folder: Path) -> Report:
    """Write the files of an action below a folder, where they differ."""
    texts = _texts(action)
    changed = [place for place in texts if _there(folder / place) != texts[place]]
    for place in changed:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(texts[place], encoding="utf-8")
    told = [f"{place}: {'written' if place in changed else 'unchanged'}" for place in texts]
    return Report(read={"file": "slo.yaml"}, wrote=dict.fromkeys(changed, "made"), decided=told)


def checked(action: str, folder: Path) -> Report:
    """Look whether the files are as they would be made; NotAsMade names the first that is not."""
    for place, text in _texts(action).items():
        if _there(folder / place) != text:
            raise NotAsMade(
                f"configs/{place} must be as it is made, got another text: run `python -m"
                f" jobs.observe {action}`"
            )
    return Report(read={"file": "slo.yaml"}, wrote={}, decided=["all as made"])


def _texts(action: str) -> dict[str, str]:
    if action not in ACTIONS:
        raise WrongUse(
            f"the action must be rules or dashboards, got '{action}': {nearest(action, ACTIONS)}"
        )
    return ACTIONS[action](load_promises())


def _there(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
