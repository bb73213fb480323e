"""Estimated effects: what was learnt is taken, what was refused is refused, with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from cluster.settings import validated
from jobs.simulate import answer
from jobs.simulate import known as knowing
from jobs.simulate.known import NotEnough
from jobs.simulate.question import Question
from serving.effects.definition import ref
from serving.effects.known import Cause, Known
from serving.forecast.comparison import Comparison
from serving.forecast.evidence import Effect, Grade
from serving.forecast.funnels import load_funnel
from serving.forecast.kinds import Outreach
from tests.jobs.simulating import LEVER, scenario

if TYPE_CHECKING:
    from cluster.workspace import Workspace

AT = datetime(2026, 3, 2, tzinfo=UTC)
FORWARD = Cause(log_ratio=0.5, sd=0.1, n=80)


def document(**changes: Any) -> Known:
    """Return what is known of outreach."""
    told = {
        "action": "outreach", "funnel": "sales", "description": "", "definition": "x",
        "grade": Grade.RANDOMISED, "lasts_days": 28.0, "learnt_at": AT, "snapshot": "1",
        "method": "lots", "n": {"control": 70, "treated": 50}, "causes": {"forward": FORWARD},
    }  # fmt: skip
    return Known(**{**told, **changes})


def question(lever: dict[str, Any]) -> Question:
    """Return a question of one lever."""
    asked = validated(Comparison, {"scenarios": [scenario("asked", levers=[lever])]}, where="test")
    return Question(comparison=asked, funnel=load_funnel("sales"), as_of=AT, snapshot=1)


def estimated(workspace: Workspace, learnt: Known) -> tuple[Effect, str]:
    """Return the effect of a lever that is to be estimated, and what is said of it."""
    digest = workspace.blobs.put(learnt.blob)
    name = ref("sales", "outreach")
    assert workspace.refs.move(
        name, to=digest, expect_epoch=0, now=AT, actor="test", reason="newer"
    )
    nothing: Any = None  # no courses: where the lots of the log are asked, it fails
    found, (said,) = knowing.known(workspace, question(LEVER | {"effect": "estimated"}), nothing)
    (known,) = found.scenario.levers
    assert isinstance(known, Outreach) and isinstance(known.effect, Effect)
    return known.effect, said


def test_what_was_learnt_is_taken_and_counts_the_rows_it_rests_on(workspace: Workspace) -> None:
    effect, said = estimated(workspace, document())
    assert effect.grade is Grade.RANDOMISED and effect.lasts == 4
    assert said.endswith("learnt by lots from 80 rows"), "not the 120, some of which were left out"


def test_what_was_refused_is_not_estimated_from_the_same_lots(workspace: Workspace) -> None:
    """The grade would be one that the lots were just found not to deserve."""
    why = "logged propensities must fit the arms that were drawn, got 9.1: mend what logs them"
    refused = document(grade=None, refused=why, causes={})
    with pytest.raises(NotEnough, match="logged propensities must fit") as caught:
        estimated(workspace, refused)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes", [{"causes": {}}, {"causes": {"lost": FORWARD}}])
def test_what_says_nothing_of_going_forward_is_one_clear_line(changes: dict[str, Any]) -> None:
    """Of no funnel, or lost in both arms and forward in none while the action counts."""
    with pytest.raises(ValueError, match="an effect on going forward must be known, got none of"):
        document(funnel=None, **changes).as_effect(7)
    with pytest.raises(ValueError, match="arm 'letters'"):
        document(arms={"calls": {"forward": FORWARD}}).as_effect(7, "letters")


@pytest.mark.parametrize(
    "changes", [{"learnt_at": AT + timedelta(days=1)}, {"causes": {"lost": FORWARD}}]
)
def test_a_later_learning_and_one_without_a_ratio_leave_the_lots_to_speak(
    workspace: Workspace, changes: dict[str, Any]
) -> None:
    with pytest.raises(AttributeError, match="NoneType"):
        estimated(workspace, document(**changes))


def test_what_another_code_has_finished_is_not_gone_on_with(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = question(LEVER)
    answer.under_way(workspace, asked).add(0, ())
    assert answer.under_way(workspace, asked).there() == {0: ()}
    monkeypatch.setattr(answer.runs, "code_version", lambda *_: "newer")
    assert answer.under_way(workspace, asked).there() == {}


def test_what_lasts_for_years_fits_a_lever_of_days() -> None:
    assert document(lasts_days=400.0).as_effect(1).lasts == 260
