"""Reports hold back what is above their clearance; who wants more must be cleared for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cluster.access import acting, keyring
from cluster.access.acting import REFUSED, NotAllowed, Said
from cluster.access.document import load_roles
from cluster.access.entries import Act
from cluster.access.keystore import Asked, KeyStore
from cluster.access.privacy import Privacy
from cluster.access.roles import Role
from cluster.errors import WrongUse
from cluster.settings import AccessSettings, ReportsSettings
from features.targets import load_target
from jobs import clearance, withheld
from jobs.console import Job, Progress, Report, perform
from jobs.report import page
from serving.access import fields

if TYPE_CHECKING:
    from cluster.workspace import Workspace

LEAD, WIN = load_target("lead_qualification"), load_target("opportunity_win")
PERSONAL = LEAD.features.columns[0]
CANARY = "4711 visits"


def _reason(feature: str, **more: Any) -> dict[str, Any]:
    said = {"feature": feature, "label": "x", "value": 4711, "contribution": 1.0, "group": "g"}
    text = f"{CANARY}, raises the chance by 18.4 points"
    return {**said, "features": [feature], "probability_change": 0.184, "text": text, **more}


def _scores(*reasons: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({"entity": ["a", "b"], "reasons": [[*reasons], []]}, index=[3, 1])


@pytest.mark.parametrize("shows", [Privacy.PUBLIC, Privacy.INTERNAL, Privacy.CONFIDENTIAL])
def test_a_value_above_the_clearance_is_withheld(shows: Privacy) -> None:
    """What it did to the score stays; nothing of the value does, on the page either."""
    told = withheld.told(_scores(_reason(PERSONAL)), LEAD, shows)
    (said,) = told.loc[3, "reasons"]
    assert said["text"] == "withheld, raises the chance by 18.4 points"
    assert (said["value"], said["withheld"]) == (None, True)
    assert "4711" not in json.dumps(told["reasons"].tolist())
    assert page.finding(said["text"]) == "withheld"
    assert page.finding("withheld") == "withheld"


def test_rules_do_not_tell_what_they_looked_at() -> None:
    """Their names are those of features."""
    rules = _reason(PERSONAL, group="rules")
    (said,) = withheld.told(_scores(rules), LEAD, Privacy.INTERNAL).loc[3, "reasons"]
    assert (said["feature"], said["features"]) == ("rules", [])


def test_what_is_cleared_is_whole() -> None:
    """And so is what is not personal at all."""
    one = _reason(PERSONAL)
    assert withheld.told(_scores(one), LEAD, Privacy.PERSONAL).loc[3, "reasons"] == [one]
    inside = next(
        f for f in WIN.features.columns if fields.opener(WIN.made_by, Privacy.INTERNAL)(f)
    )
    two = _reason(inside)
    assert withheld.told(_scores(two), WIN, Privacy.INTERNAL).loc[3, "reasons"] == [two]


def test_a_mutant_shows_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every feature is opened."""
    monkeypatch.setattr(withheld, "opener", lambda *_: fields.everything)
    told = withheld.told(_scores(_reason(PERSONAL)), LEAD, Privacy.INTERNAL)
    assert CANARY in json.dumps(told["reasons"].tolist())


def test_a_feature_that_no_view_declares_is_as_private_as_may_be() -> None:
    """It may have been anything that features are."""
    for made_by in ("gone@1", f"{LEAD.made_by},gone@1"):
        assert not fields.opener(made_by, Privacy.CONFIDENTIAL)("some")
        assert fields.opener(made_by, fields.MOST_PRIVATE)("some")


def test_events_are_as_private_as_the_features_made_of_them() -> None:
    """Of a lead personal."""
    assert not withheld.shows_events(LEAD, Privacy.INTERNAL)
    assert withheld.shows_events(LEAD, Privacy.PERSONAL)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    clearance: str | None = None


def _shown(workspace: Workspace, settings: _Asked, progress: Progress) -> Report:
    shows = clearance.of(workspace, settings.clearance)
    return Report(read={"clearance": shows.value}, wrote={}, decided=[])


JOB = Job(
    verb="shown",
    summary="",
    settings=_Asked,
    needs=None,
    inputs=lambda workspace, settings: {},
    run=_shown,
    reads_only=True,
)


def _show(workspace: Workspace, asked: str | None, said: Said | None = None) -> str:
    done = perform(JOB, _Asked(clearance=asked), workspace, lambda *_: None, said=said)
    return str(done.report["read"]["clearance"])


def test_on_a_laptop_whoever_asks_sees(workspace: Workspace) -> None:
    """By default what is internal, or what the settings say."""
    assert _show(workspace, None) == "internal"
    assert _show(workspace, "personal") == "personal"
    settings = workspace.settings.model_copy(
        update={"reports": ReportsSettings(clearance="public")}
    )
    assert _show(replace(workspace, settings=settings), None) == "public"
    with pytest.raises(WrongUse, match="did you mean 'personal'"):
        _show(workspace, "persnal")


def _credential(workspace: Workspace, role: Role) -> Said:
    pepper = keyring.read_pepper(workspace.database, workspace.settings)
    act = Act(actor="eve", reason="a test", now=workspace.clock())
    asked = Asked(name=f"the {role}", roles=(role,), lifetime=timedelta(days=1))
    issued = KeyStore(workspace.database, load_roles()).issue(asked, act, pepper=pepper)
    return Said(credential=issued.key.text)


@pytest.fixture
def strict(workspace: Workspace) -> Workspace:
    """A workspace where jobs ask for a key."""
    asking = {"access": AccessSettings(jobs_require_key=True)}
    return replace(workspace, settings=workspace.settings.model_copy(update=asking))


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("asked", ["personal", "restricted"])
def test_with_keys_more_needs_a_clearance(strict: Workspace, role: Role, asked: str) -> None:
    """That of a role; a refusal is in the journal, and what the settings say needs none."""
    said = _credential(strict, role)
    if load_roles().clearance([role]).covers(Privacy(asked)):
        assert _show(strict, asked, said) == asked
        return
    with pytest.raises(NotAllowed, match=f"needs a clearance for {asked}"):
        _show(strict, asked, said)
    (entry,) = [entry.body for entry in strict.journal.entries(REFUSED)]
    assert (entry["actor"], entry["permission"]) == (f"the {role}", f"clearance {asked}")
    assert _show(strict, None, Said()) == "internal"


def test_nobody_is_cleared_without_a_credential(
    strict: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where the check is off, everybody is."""
    with pytest.raises(NotAllowed):
        _show(strict, "personal", Said())
    viewer = _credential(strict, Role.VIEWER)
    monkeypatch.setattr(acting, "_unclear", lambda *_: None)
    assert _show(strict, "personal", viewer) == "personal"
