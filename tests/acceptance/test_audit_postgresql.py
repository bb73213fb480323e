"""The journal on PostgreSQL: an audit finds it whole, or names what was changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from pydantic import SecretStr

from cluster import sealing
from cluster.settings import Settings
from cluster.workspace import Workspace
from jobs.audit import run

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)
WRITERS, ROUNDS, EACH = ("ada", "bob"), 3, 5
CHANGES = {
    "a score": """UPDATE journal SET body = replace(body, '"score":7', '"score":8')
                  WHERE writer = 'bob' AND seq = 8""",
    "one record less": "DELETE FROM journal WHERE writer = 'bob' AND seq = 8",
    "two in each other's place": """UPDATE journal SET seq = -seq WHERE writer = 'bob' AND seq > 7;
                  UPDATE journal SET seq = CASE seq WHEN -8 THEN 9 WHEN -9 THEN 8 ELSE -seq END
                  WHERE seq < 0""",
}


@pytest.fixture
def sealed(postgresql_url: str, tmp_path: Path) -> Settings:
    """Two chains, sealed three times."""
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(postgresql_url))
    for at in range(ROUNDS):
        for writer in WRITERS:
            with Workspace.open(settings, writer=writer) as workspace:
                for number in range(EACH):
                    body = {"score": at * EACH + number}
                    workspace.journal.record("decision", body, now=NOW)
        assert sealing.open_seals(settings).seal(NOW + timedelta(minutes=at))
    return settings


def _audited(settings: Settings, change: str = "") -> run.Audited:
    if change:
        with psycopg.connect(settings.database.replace("+psycopg", "")) as admin:
            admin.execute(change)
    return run.verify(settings, None, lambda *_: None)


def test_a_journal_that_nobody_changed_is_whole(sealed: Settings) -> None:
    found = _audited(sealed)
    assert found.problems == ()
    assert (found.chains, found.entries, found.checkpoints) == (2, 30, 3)
    assert found.unsealed == 0


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_first_bad_record_is_named(sealed: Settings, change: str) -> None:
    problem = _audited(sealed, change).problems[0]
    assert (getattr(problem, "writer", None), getattr(problem, "seq", None)) == ("bob", 8)


def test_a_chain_that_was_cut_is_missed_by_its_seal(sealed: Settings) -> None:
    """What is left of it verifies."""
    cut = _audited(sealed, "DELETE FROM journal WHERE writer = 'bob' AND seq > 8")
    assert len(cut.problems) == 1
    assert "checkpoint" in str(cut.problems[0])
