"""What an answer depends on holds the policies that its levers are routed by, and no other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.errors import Refusal
from cluster.settings import validated
from features.targets import load_target
from jobs.simulate import question
from serving import batch
from serving.forecast import tested
from serving.forecast.comparison import Comparison
from serving.forecast.funnels import load_funnel
from serving.moved.properties import POLICY
from serving.policy import Policy, load_policy
from serving.simulations import questions, routed
from serving.slots import policies
from tests.serving.asking import LEVER, scenario

if TYPE_CHECKING:
    import pytest

    from cluster.workspace import Workspace

FIRST = load_policy("lead_routing")
WHY = {"actor": "ada", "reason": "because"}
SAY = "say it by `target` of `routed`, as 'lead_qualification' or 'opportunity_win'"
AT = datetime(2026, 3, 2, tzinfo=UTC)


def score(workspace: Workspace, target: str, policy: str) -> None:
    """Keep scores of a target that a policy routed."""
    name = load_target(target).scores_table
    if workspace.tables.head(name) is None:
        workspace.tables.create(name, batch.SCHEMA)
    row = {field.name: None for field in batch.SCHEMA}
    texts = ("entity", "confidence", "route", "reasons", "model", "policy")
    row |= dict.fromkeys(("margin", "probability", "low", "high"), 0.5)
    row |= dict.fromkeys(("time", "scored_at"), AT) | dict.fromkeys(texts, "x")
    rows = pa.Table.from_pylist([row], batch.SCHEMA)
    workspace.tables.append(name, rows, {POLICY: f"{policy}@1-0123456789ab"})


def of(workspace: Workspace, **more: Any) -> str:
    """Return whose scores the policy of a question routes, or why nobody knows."""
    (lever,) = asked(**more).scenarios[0].levers
    found = routed.sent(workspace, load_funnel("sales"), lever.routed)  # type: ignore[union-attr]
    return str(found) if isinstance(found, Refusal) else found.target


def test_a_policy_routes_the_scores_that_it_routed_last(workspace: Workspace) -> None:
    """Or those that a lever says; where neither tells, it is asked."""
    assert "a policy routes by scores" in of(workspace)
    score(workspace, "lead_qualification", "lead_routing")
    assert of(workspace) == "lead_qualification"
    score(workspace, "opportunity_win", "deal_routing")
    assert of(workspace) == "lead_qualification"
    assert of(workspace, policy="deal_routing", routes=["commit"]) == "opportunity_win"
    unsaid = of(workspace, policy="deal_rescue", routes=["watch"])
    assert "say it by `target` of `routed`, as 'lead_qualification' or 'opport" in unsaid
    said = {"policy": "deal_rescue", "routes": ["watch"], "target": "opportunity_win"}
    assert of(workspace, **said) == "opportunity_win"
    assert "did you mean 'opportunity_win'?" in of(
        workspace, **said | {"target": "opportunity_won"}
    )
    assert unsaid.endswith("got 'deal_rescue', which routed none of them last: " + SAY)
    before = pins(workspace, asked())
    score(workspace, "opportunity_win", "lead_routing")
    several = of(workspace)
    assert several.endswith("got 'lead_routing', which routed several of them last: " + SAY)
    score(workspace, "lead_qualification", "deal_routing")
    score(workspace, "opportunity_win", "lead_routing")
    assert of(workspace) == "opportunity_win"
    after = pins(workspace, asked())
    assert all(one != other for one, other in zip(after, before, strict=True)), "another answer"


def test_levers_for_other_scores_are_pinned_apart(workspace: Workspace) -> None:
    """Though one policy sends them: each depends on whether there are such scores."""
    score(workspace, "lead_qualification", "lead_routing")
    both = Comparison(
        scenarios=tuple(
            asked(target=target).scenarios[0].model_copy(update={"name": f"for_{target}"})
            for target in ("lead_qualification", "opportunity_win")
        )
    )
    funnel = load_funnel("sales")
    before = routed.pinned(workspace, both, funnel)
    assert len(set(before.values())) == 2
    score(workspace, "opportunity_win", "deal_routing")
    after = routed.pinned(workspace, both, funnel)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"lead_routing@active of opportunity_win"}


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
    funnel = load_funnel("sales")
    nobody = routed.pinned(workspace, asked(policy="nobody"), funnel)
    assert nobody == {"nobody@active": routed.NONE}
    unknown = asked(version=9)
    assert routed.pinned(workspace, unknown, funnel) == {"lead_routing@9": routed.NONE}
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
