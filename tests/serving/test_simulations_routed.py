"""What an answer depends on holds the policies that its levers are routed by, and no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cluster.errors import Refusal
from cluster.settings import validated
from jobs.simulate import question
from serving.forecast import tested
from serving.forecast.comparison import Comparison
from serving.forecast.funnels import load_funnel
from serving.policy import Policy, load_policy
from serving.simulations import questions, routed
from serving.slots import policies
from tests.serving.asking import LEVER, scenario

if TYPE_CHECKING:
    import pytest

    from cluster.workspace import Workspace

FIRST = load_policy("lead_routing")
WHY = {"actor": "ada", "reason": "because"}
AT = datetime(2026, 3, 2, tzinfo=UTC)


def asked(**more: Any) -> Comparison:
    """Return a question whose lever is for one route."""
    lever = LEVER | {"routed": {"policy": "lead_routing", "routes": ["nurture"], **more}}
    return validated(Comparison, {"scenarios": [scenario(levers=[lever])]}, where="test")


def pins(workspace: Workspace, comparison: Comparison) -> tuple[object, object]:
    """Return what a run by hand, and one over the API, depends on."""
    told: dict[str, Any] = {"comparison": comparison, "funnel": load_funnel("sales"),
                            "snapshot": 1, "as_of": AT}  # fmt: skip
    by_hand = question.pins(workspace, question.Question(**told))
    return by_hand, questions.pins(workspace, questions.Question(**told))


def publish(workspace: Workspace, version: int, **changes: Any) -> None:
    document = FIRST.document | {"version": version} | changes
    assert policies.publish(workspace, validated(Policy, document, where="test"), **WHY)


def test_another_policy_of_the_name_makes_another_answer(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, plain = pins(workspace, asked()), _plain(workspace)
    publish(workspace, 1)
    assert pins(workspace, asked()) == before, "the same content, now published"
    publish(workspace, 2, review=None)
    after = pins(workspace, asked())
    assert all(one != other for one, other in zip(after, before, strict=True))
    fixed = pins(workspace, asked(version=2))
    publish(workspace, 3, high_confidence_below=0.1)
    assert pins(workspace, asked(version=2)) == fixed, "a version has one content for ever"
    assert _plain(workspace) == plain, "who asks for no route does not depend on it"
    monkeypatch.setattr(routed, "pinned", lambda *_: {})
    mutant = pins(workspace, asked())
    publish(workspace, 4, high_confidence_below=0.15)
    assert pins(workspace, asked()) == mutant, "the mutant sees no change"


def _plain(workspace: Workspace) -> tuple[object, object]:
    return pins(workspace, validated(Comparison, {"scenarios": [scenario()]}, where="test"))


def test_what_cannot_be_read_is_pinned_as_none(workspace: Workspace) -> None:
    assert routed.pinned(workspace, asked(policy="nobody")) == {"nobody@active": routed.NONE}
    unknown = asked(version=9)
    assert routed.pinned(workspace, unknown) == {"lead_routing@9": routed.NONE}
    (lever,) = unknown.scenarios[0].levers
    assert isinstance(routed.policy(workspace, lever.routed), Refusal)  # type: ignore[union-attr]


def test_a_newer_backtest_makes_another_answer(workspace: Workspace) -> None:
    """A forecast says how often such intervals held: a run by hand must not be taken for done."""
    before = pins(workspace, asked())
    digest = workspace.blobs.put(b"a run")
    assert workspace.refs.move(
        tested.ref("sales"), to=digest, expect_epoch=0, now=AT, actor="test", reason="newer"
    )
    assert all(a != b for a, b in zip(pins(workspace, asked()), before, strict=True))
