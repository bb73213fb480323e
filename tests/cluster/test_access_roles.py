"""Roles and principals: closed names, deny by default, rows and classes; and what the page says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from cluster.access import document, principal
from cluster.access.permissions import Permission
from cluster.access.principal import LOCAL, Forbidden, may, sees_class, sees_row
from cluster.access.privacy import Privacy
from cluster.access.roles import Role
from cluster.errors import WrongUse
from cluster.settings import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.access.principal import Principal

CHANGES = {p for p in Permission if p.value.endswith((":change", ":manage", ":erase"))}
NOBODY = replace(
    LOCAL,
    roles=frozenset(),
    permissions=frozenset(),
    regions=frozenset(),
    teams=frozenset(),
    clearance=Privacy.PUBLIC,
)


def _bound(regions: set[str] | None, teams: set[str] | None) -> Principal:
    limits = (None if names is None else frozenset(names) for names in (regions, teams))
    return replace(NOBODY, **dict(zip(("regions", "teams"), limits, strict=True)))


def _written(folder: Path, **changed: Any) -> Path:
    said = yaml.safe_load(document.FILE.read_text())
    said["roles"] |= changed
    path = folder / "access.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def test_the_page_says_what_the_configuration_says() -> None:
    read = document.load_roles()
    lines = (ROOT / "docs" / "access.md").read_text().splitlines()
    rows = (line.split("|")[1:-1] for line in lines if line.startswith("|"))
    table = [[cell.strip(" `") for cell in row] for row in rows]
    said = {row[0]: row[1:] for row in table}
    assert said["permission"] == [role.value for role in Role]
    for permission in Permission:
        held = [permission in read.of(role).permissions for role in Role]
        assert said[permission] == ["yes" if each else "" for each in held]
    assert said["clearance"] == [read.of(role).clearance for role in Role]


def test_who_looks_and_who_checks_changes_nothing() -> None:
    read = document.load_roles()
    for role in (Role.VIEWER, Role.APPLICATION, Role.PLANNER, Role.REVIEWER, Role.AUDITOR):
        assert not read.of(role).permissions & CHANGES
    assert [r for r in Role if Permission.KEYS_MANAGE in read.of(r).permissions] == [
        Role.ADMINISTRATOR
    ]


def test_every_permission_is_somebodys() -> None:
    assert document.load_roles().permissions(Role) == set(Permission)


def test_roles_add_up_and_none_is_nothing() -> None:
    read = document.load_roles()
    both = read.permissions([Role.VIEWER, Role.AUDITOR])
    assert both == read.auditor.permissions | read.viewer.permissions
    assert read.clearance([Role.VIEWER, Role.AUDITOR]) == Privacy.RESTRICTED
    assert (read.permissions([]), read.clearance([])) == (frozenset(), Privacy.PUBLIC)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"veiwer": {}}, "unknown key 'roles.veiwer': did you mean 'viewer'?"),
        (
            {"viewer": {"clearance": "internal", "permissions": ["decision:read"]}},
            "did you mean 'decisions:read'?",
        ),
        ({"viewer": {"clearance": "internl", "permissions": []}}, "did you mean 'internal'?"),
        ({"viewer": {"clearance": "internal"}}, "'roles.viewer.permissions': Field required"),
    ],
)
def test_a_wrong_name_is_one_line_with_the_nearest(
    tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(WrongUse) as caught:
        document.load_roles(_written(tmp_path, **changed))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_role_may_be_left_out(tmp_path: Path) -> None:
    said = yaml.safe_load(document.FILE.read_text())
    del said["roles"]["auditor"]
    path = tmp_path / "access.yaml"
    path.write_text(yaml.safe_dump(said))
    with pytest.raises(WrongUse, match="auditor"):
        document.load_roles(path)


def test_what_is_not_granted_is_denied() -> None:
    for permission in Permission:
        assert isinstance(may(NOBODY, permission), Forbidden)
        only = replace(NOBODY, permissions=frozenset({permission}))
        assert [p for p in Permission if may(only, p) is None] == [permission]


@pytest.mark.parametrize(
    ("regions", "teams", "seen"),
    [
        (None, None, {("emea", "a"), ("emea", None), ("apac", "b"), (None, None), (None, "a")}),
        ({"emea"}, None, {("emea", "a"), ("emea", None)}),
        (None, {"a"}, {("emea", "a"), (None, "a")}),
        ({"emea"}, {"a"}, {("emea", "a")}),
        ({"emea", "apac"}, {"b"}, {("apac", "b")}),
        (set(), None, set()),
        (set(), set(), set()),
    ],
)
def test_rows_are_seen_by_whom_no_filter_keeps_off(
    regions: set[str] | None, teams: set[str] | None, seen: set[tuple[str, str]]
) -> None:
    rows = [("emea", "a"), ("emea", None), ("apac", "b"), (None, None), (None, "a")]
    who = _bound(regions, teams)
    assert {row for row in rows if sees_row(who, region=row[0], team=row[1])} == seen


def test_a_row_without_region_would_be_seen_if_absence_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lax(value: str | None, allowed: frozenset[str] | None) -> bool:
        return value is None or allowed is None or value in allowed

    assert not sees_row(_bound({"emea"}, None))
    monkeypatch.setattr(principal, "_within", lax)
    assert sees_row(_bound({"emea"}, None))


def test_a_clearance_opens_its_class_and_those_below() -> None:
    for place, clearance in enumerate(Privacy):
        who = replace(NOBODY, clearance=clearance)
        assert [p for p in Privacy if sees_class(who, p)] == list(Privacy)[: place + 1]


def test_a_principal_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        NOBODY.permissions = frozenset(Permission)  # type: ignore[misc]


def test_the_local_principal_may_everything() -> None:
    assert all(may(LOCAL, permission) is None for permission in Permission)
    assert sees_row(LOCAL)
    assert sees_class(LOCAL, Privacy.RESTRICTED)
