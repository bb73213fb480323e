"""The steps that a release may take, and those that it may not."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import ValidationError

from cluster.errors import Refusal, WrongUse
from serving.releases.plan import Plan, load_plan
from serving.releases.release import Release, State, begin
from tests.serving.simulated_releases import BEGAN, BLUE, GREEN, release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAN = load_plan("canary")


def _changed(**more: Any) -> dict[str, Any]:
    return {**PLAN.model_dump(), **more}


PLANS = ["canary", "blue_green", "experiment"]


def test_the_plans_at_hand_are_read() -> None:
    """Every kind; a name that is none is told with those there are."""
    assert [load_plan(name).kind for name in PLANS] == PLANS
    with pytest.raises(WrongUse, match="one of blue_green, canary, experiment, got 'big_bang'"):
        load_plan("big_bang")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"steps": [{"weight": 50}, {"weight": 5}, {"weight": 100}]}, "must not lower the weight"),
        ({"steps": [{"weight": 5}]}, "the last step must have weight 100, got 5"),
        ({"steps": [{"weight": 0}, {"weight": 100}]}, "the first step must give the candidate"),
        ({"steps": [{"weight": 100, "approval": True}]}, "the first step must not wait"),
        ({"kind": "blue_green"}, "must have weight 0 or 100"),
        ({"steps": [{"weight": 100.001}]}, "steps.0.weight"),
        ({"steps": [{"weight": 100, "shadow": 1}]}, "steps.0.shadow"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, Any], said: str) -> None:
    """By what is wrong with it."""
    with pytest.raises(ValidationError) as raised:
        Plan.model_validate(_changed(**wrong))
    assert said in str(raised.value)


def test_overrides_have_no_ceiling(tmp_path: Path) -> None:
    """They come later than the decisions that a ceiling is asked at; plans of releases that began
    with one are still read.
    """
    said = PLAN.model_dump(mode="json")
    said["guards"]["overrides"]["ceiling"] = 0.1
    path = tmp_path / "late.yaml"
    path.write_text(yaml.safe_dump(said))
    with pytest.raises(WrongUse, match=r"overrides must have no ceiling, got 0\.1: a ceiling is"):
        load_plan(str(path))
    assert Plan.model_validate(said).guards.overrides.ceiling == 0.1
    del said["guards"]["overrides"]["ceiling"]
    path.write_text(yaml.safe_dump(said))
    assert load_plan(str(path)) == PLAN


def test_a_release_goes_from_step_to_step() -> None:
    """It waits where a person must agree, and is over after the last."""
    now, at = BEGAN, release()
    weights = []
    while at.state != State.PROMOTED:
        weights.append((at.state, at.places))
        now += timedelta(hours=1)
        moved = at.approved("yes", now) if at.state == State.AWAITING else at.advanced("well", now)
        assert isinstance(moved, Release)
        at = moved
    running = [places for state, places in weights if state == State.RUNNING]
    assert running == [0, 100, 500, 2_500, 5_000, 10_000]
    assert [places for state, places in weights if state == State.AWAITING] == [500, 5_000]
    assert at.places == 10_000
    undone = at.rolled_back("a complaint")
    assert isinstance(undone, Release)
    assert undone.places == 0


def test_a_release_survives_being_written_down() -> None:
    """To the last value."""
    assert Release.model_validate_json(release().model_dump_json()) == release()


def test_the_next_must_wait_and_must_differ() -> None:
    """One release of a target at a time, and of something new."""
    args: dict[str, Any] = {
        "id": "r2", "target": "lead_qualification", "policy": "lead_routing", "plan": PLAN,
        "salt": "t", "stable": BLUE, "candidate": GREEN, "why": "a test", "now": BEGAN,
    }  # fmt: skip
    open_one = begin(**args, before=release())
    assert isinstance(open_one, Refusal)
    assert "r1 is running" in str(open_one)
    same = begin(**{**args, "candidate": BLUE}, before=None)
    assert isinstance(same, Refusal)
    over = release().aborted("no")
    assert isinstance(begin(**args, before=over), Release)  # type: ignore[arg-type]


class Course(RuleBasedStateMachine):
    """Any steps in any order: what is refused changes nothing, and what is over stays over."""

    @initialize(step=st.integers(0, len(PLAN.steps) - 1))
    def start(self, step: int) -> None:
        """Begin somewhere on the way."""
        self.at, self.promoted = release(step=step), False

    @rule(name=st.sampled_from(["advanced", "approved", "resumed"]))
    def timed(self, name: str) -> None:
        """Take a step that begins a step."""
        self._take(lambda: getattr(self.at, name)("why", BEGAN))

    @rule(name=st.sampled_from(["paused", "held", "rolled_back", "aborted"]))
    def plain(self, name: str) -> None:
        """Take any other."""
        self._take(lambda: getattr(self.at, name)("why"))

    def _take(self, step: Callable[[], Release | Refusal]) -> None:
        moved = step()
        if isinstance(moved, Refusal):
            assert str(self.at.state) in str(moved)
            return
        ended = {State.ROLLED_BACK, State.ABORTED}
        assert self.at.state not in ended
        assert moved.state == State.ROLLED_BACK or self.at.state != State.PROMOTED
        if moved.is_open:
            assert moved.places >= self.at.places
            assert moved.step - self.at.step in (0, 1)
        self.at = moved

    @invariant()
    def an_undone_one_answers_nobody(self) -> None:
        """What is over by a refusal has no weight."""
        if self.at.state in {State.ROLLED_BACK, State.ABORTED}:
            assert (self.at.places, self.at.mirror) == (0, 0.0)


TestCourse = Course.TestCase
