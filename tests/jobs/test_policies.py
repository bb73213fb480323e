"""jobs.policies: publish, look, compare and go back; a file that is otherwise is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cluster.errors import WrongUse
from jobs.console import perform
from jobs.policies.changes import changes
from jobs.policies.run import JOB, PoliciesSettings, PolicyRefused
from jobs.score import run as scoring
from serving.policy import Policy, load_policy
from serving.slots import document, policies

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.workspace import Workspace

NAME = "lead_routing"
WHY = {"actor": "ada", "reason": "fewer go to review"}


def _asked(workspace: Workspace, *places: str, **options: Any) -> dict[str, Any]:
    given = dict(zip(("action", "name", "to"), places, strict=False))
    settings = PoliciesSettings(**given, **options)
    return perform(JOB, settings, workspace, lambda *_: None).report


def _rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    table = report["table"]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def _file(folder: Path, **declared: Any) -> str:
    path = folder / f"v{declared.get('version', 1)}.yaml"
    path.write_text(yaml.safe_dump(load_policy(NAME).document | declared))
    return str(path)


@pytest.fixture
def second(workspace: Workspace, tmp_path: Path) -> str:
    """Two versions published, the second without review; returns the id of the second."""
    _asked(workspace, "publish", NAME, file=_file(tmp_path), actor="ben", reason="begin")
    file = _file(tmp_path, version=2, review=None)
    return str(_asked(workspace, "publish", NAME, file=file, **WHY)["wrote"]["policy"])


def test_what_was_never_published_is_told(workspace: Workspace) -> None:
    """Its file counts until then."""
    report = _asked(workspace, "list")
    assert [row["policy"] for row in _rows(report)] == sorted(policies.declared())
    assert all("the file counts" in line for line in report["decided"])


def test_a_file_that_is_otherwise_is_told(workspace: Workspace, second: str) -> None:
    """With the first difference."""
    (row,) = (row for row in _rows(_asked(workspace, "list")) if row["policy"] == NAME)
    assert (row["version"], row["by"], row["why"]) == (2, WHY["actor"], WHY["reason"])
    assert "the file has version 1 and does not count: review" in row["file"]
    _asked(workspace, "activate", NAME, "1", **WHY)
    (row,) = (row for row in _rows(_asked(workspace, "list")) if row["policy"] == NAME)
    assert row["file"] == "as the file"


def test_what_is_explored_is_shown_and_compared(workspace: Workspace, tmp_path: Path) -> None:
    """As the last of what decides, and in the differences of two versions."""
    explore = {"share": 0.015, "routes": ["account_executive", "nurture"]}
    file = _file(tmp_path, version=2, explore=explore)
    _asked(workspace, "publish", NAME, file=_file(tmp_path), **WHY)
    _asked(workspace, "publish", NAME, file=file, **WHY)
    last = _rows(_asked(workspace, "show", NAME))[-1]
    assert (last["route"], "1.5 %" in last["when"]) == ("account_executive, nurture", True)
    told = _asked(workspace, "diff", f"{NAME}@1", NAME)["decided"]
    assert "explore.share: now 0.015" in told


def test_going_back_is_one_more_move(workspace: Workspace, second: str) -> None:
    """The history has all, with who and why."""
    report = _asked(workspace, "activate", NAME, "1", actor="eva", reason="worse")
    assert report["wrote"] == {
        "policy": load_policy(NAME).id,
        "ref": policies.ref_of(NAME),
        "epoch": 3,
    }
    moves = _asked(workspace, "history", NAME)["figures"]["moves"]
    assert [(move["version"], move["actor"]) for move in moves] == [
        (1, "ben"),
        (2, "ada"),
        (1, "eva"),
    ]


def test_show_tells_what_is_asked_in_which_order(workspace: Workspace, tmp_path: Path) -> None:
    """Rules first, then review, thresholds and the fallback; any version."""
    rule = {
        "name": "consent",
        "when": {"feature": "origin", "op": "equals", "value": "web"},
        "route": "suppress",
        "reason": "x",
    }
    more = {"rules": [rule], "fallback": {"route": "nurture", "reason": "later"}}
    file = _file(tmp_path, version=2, **more)
    _asked(workspace, "publish", NAME, file=file, **WHY)
    rows = _rows(_asked(workspace, "show", NAME))
    assert rows[0] == {"when": "origin is web", "route": "suppress", "reason": "x"}
    assert rows[1]["when"] == "the interval is wider than 0.75"
    assert rows[-1]["when"] == "no model could be asked"
    shown = _asked(workspace, "show", NAME, version=2)
    assert shown["figures"] == load_policy(file).document
    with pytest.raises(WrongUse, match="must be published, got 7: published are 2"):
        _asked(workspace, "show", NAME, version=7)


def test_differences_are_told_by_name(workspace: Workspace, second: str, tmp_path: Path) -> None:
    """Between versions, names and files."""
    told = _asked(workspace, "diff", f"{NAME}@1", NAME)["figures"]["changes"]
    assert "version: 1 -> 2" in told
    assert "review.route: no longer human_review" in told
    same = _asked(workspace, "diff", NAME, _file(tmp_path, version=2, review=None))
    assert same["decided"] == ["they say the same"]


def test_order_and_names_of_routes_are_compared() -> None:
    """A threshold of a route that moved, one that came, and their order."""
    before = load_policy(NAME)
    routes = [{"route": "top", "at_least": 0.9, "reason": "new"}, *before.document["routes"]]
    routes[1] = routes[1] | {"at_least": 0.6}
    after = Policy.model_validate(before.document | {"routes": routes})
    assert changes(before, after) == [
        "order of routes: account_executive, sales_development, automated_outreach, nurture -> "
        "top, account_executive, sales_development, automated_outreach, nurture",
        "routes.account_executive.at_least: 0.5 -> 0.6",
        "routes.top.route: now top",
        "routes.top.at_least: now 0.9",
        "routes.top.reason: now new",
    ]
    assert changes(before, before) == []


def test_scoring_takes_the_active_policy(workspace: Workspace, second: str) -> None:
    """The file only while none is published, or where a file is asked for."""
    asked = scoring.ScoreSettings(target="lead_qualification", policy=NAME)
    assert scoring.inputs(workspace, asked)["policy"] == second
    deals = scoring.ScoreSettings(target="opportunity_win", policy="deal_routing")
    assert scoring.inputs(workspace, deals)["policy"] == load_policy("deal_routing").id


def test_a_version_that_does_not_grow_is_refused(
    workspace: Workspace, second: str, tmp_path: Path
) -> None:
    """Exit code 1, with what to do."""
    file = _file(tmp_path, version=2, high_confidence_below=0.1)
    with pytest.raises(PolicyRefused, match="give it version 3"):
        _asked(workspace, "publish", NAME, file=file, **WHY)
    with pytest.raises(PolicyRefused, match="published are 1, 2"):
        _asked(workspace, "activate", NAME, "3", **WHY)
    with pytest.raises(PolicyRefused, match="must be published, got none"):
        _asked(workspace, "history", "deal_routing")


def test_what_is_published_can_be_read_again(workspace: Workspace, tmp_path: Path) -> None:
    """A text of two lines could not."""
    routes = [{"route": "a\nb", "at_least": 0, "reason": ""}]
    with pytest.raises(document.PolicyBroken, match="short and printable"):
        _asked(workspace, "publish", NAME, file=_file(tmp_path, routes=routes), **WHY)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"action": "lst"}, "did you mean 'list'"),
        ({"action": "publish", "name": NAME, "actor": "a", "reason": "r"}, "must have --file"),
        ({"action": "activate", "name": NAME, "actor": "a"}, "must have TO"),
        ({"action": "list", "version": 2}, "list must have no --version"),
    ],
)
def test_wrong_use_is_named(options: dict[str, Any], says: str) -> None:
    """Before anything is read."""
    with pytest.raises(WrongUse, match=says):
        PoliciesSettings(**options)


@pytest.mark.parametrize(
    ("places", "options", "says"),
    [
        (("activate", NAME, "two"), WHY, "a version must be a number"),
        (("publish", NAME), WHY | {"file": NAME}, "must be a YAML file"),
        (("publish", "deal_routing"), WHY | {"file": "F"}, "must be called 'deal_routing'"),
        (("show", "../x"), {}, "must be made of small letters"),
    ],
)
def test_what_is_asked_wrongly_is_named(
    workspace: Workspace,
    tmp_path: Path,
    places: tuple[str, ...],
    options: dict[str, str],
    says: str,
) -> None:
    """In one line; nothing is published."""
    if options.get("file") == "F":
        options = options | {"file": _file(tmp_path)}
    with pytest.raises(WrongUse, match=says):
        _asked(workspace, *places, **options)
    assert policies.names(workspace) == []
