"""jobs.models: what is there, what was live when, its card, and an alias that moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cluster.errors import Refusal, WrongUse
from jobs.console import perform
from jobs.models.run import JOB, AliasLost, ModelsSettings
from serving.bundle import BundleBroken
from serving.registry import Registry
from tests.serving import hostile

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.workspace import Workspace

LIVE = "models/win/stable"


def _asked(workspace: Workspace, action: str, *places: str, **options: Any) -> dict[str, Any]:
    given = dict(zip(("name", "to"), places, strict=False))
    settings = ModelsSettings(action=action, **given, **options)
    return perform(JOB, settings, workspace, lambda *_: None).report


@pytest.fixture
def id(workspace: Workspace) -> str:
    """A published model of the target `win`; returns its id."""
    models = Registry(workspace.blobs, workspace.refs, workspace.journal)
    found = models.publish(
        hostile.whole(), "win", actor="ada", reason="because", now=workspace.clock()
    )
    assert isinstance(found, str)
    return found


def test_an_empty_registry_says_what_to_do(workspace: Workspace) -> None:
    """No table, one line."""
    report = _asked(workspace, "list")
    assert report["table"] is None
    assert "python -m jobs.train" in report["decided"][0]


def test_aliases_are_listed_with_who_and_why(workspace: Workspace, id: str) -> None:
    """One line each."""
    report = _asked(workspace, "list")
    assert report["figures"] == {"live": {LIVE: id}, "models": [id]}
    row = dict(zip(report["table"]["columns"], report["table"]["data"][0], strict=True))
    assert (row["alias"], row["by"], row["why"]) == (LIVE, "ada", "because")


@pytest.mark.parametrize("digits", [64, 12, 6, 0])
def test_a_model_is_named_by_id_beginning_or_target(
    workspace: Workspace, id: str, digits: int
) -> None:
    """The live model of a target has the target's name."""
    report = _asked(workspace, "show", id[:digits] or "win")
    assert report["read"] == {"model": id}
    assert report["figures"]["provenance"]["training_table"] == "training_win"
    assert f"live as {LIVE}" in " ".join(report["decided"])


def test_an_alias_moves_and_its_history_tells(workspace: Workspace, id: str) -> None:
    """Who moved it when and why; the same move again is none."""
    why = {"actor": "eva", "reason": "a second pair of eyes"}
    for _ in range(2):
        report = _asked(workspace, "alias", "models/win/shadow", "win", **why)
        assert report["read"] == {"model": id}
    (move,) = _asked(workspace, "history", "models/win/shadow")["figures"]["moves"]
    assert (move["actor"], move["reason"], move["until"]) == ("eva", why["reason"], None)
    assert _asked(workspace, "history", "win")["figures"]["moves"][0]["model"] == id


def test_a_lost_move_is_an_error(
    workspace: Workspace, id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another was first: exit code 1, with the reason."""
    lost = Refusal(rule="a", value="b", remedy="c")
    monkeypatch.setattr(type(workspace.refs), "move", lambda *_, **__: lost)
    with pytest.raises(AliasLost, match="a, got b: c"):
        _asked(workspace, "alias", "models/win/shadow", id, actor="eva", reason="try")


def test_a_card_is_written(workspace: Workspace, id: str, tmp_path: Path) -> None:
    """Into the file that is named; a damaged bundle has none."""
    path = tmp_path / "card.html"
    assert _asked(workspace, "card", "win", html=str(path))["wrote"] == {"page": str(path)}
    assert f"<code>{id}</code>" in path.read_text(encoding="utf-8")
    other = workspace.blobs.put(b"{}")
    with pytest.raises(BundleBroken):
        _asked(workspace, "card", other, html=str(tmp_path / "other.html"))
    assert not (tmp_path / "other.html").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"action": "lst"}, "did you mean 'list'"),
        ({"action": "show"}, "show must have NAME"),
        ({"action": "card", "name": "win"}, "card must have --html"),
        ({"action": "list", "name": "win"}, "list must have no NAME"),
        ({"action": "alias", "name": "win", "actor": "a"}, "must have TO"),
    ],
)
def test_wrong_use_is_named(options: dict[str, str], says: str) -> None:
    """Before anything is read."""
    with pytest.raises(WrongUse, match=says):
        ModelsSettings(**options)


@pytest.mark.parametrize("name", ["../win", "models/../win", "/etc/passwd", "a\0b", "WIN"])
def test_names_lead_nowhere(workspace: Workspace, name: str) -> None:
    """An alias is models/<target>/<name>, a target a plain word."""
    with pytest.raises(WrongUse, match="an alias must be"):
        _asked(workspace, "show", name)
