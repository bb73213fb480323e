"""A slot: what it is loaded from, what does not fit, and that it is warm."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from cluster import canonical
from cluster.errors import Refusal
from cluster.settings import validated
from features import online
from features.targets import load_target
from serving.decide import Case, decide
from serving.policy import Policy, load_policy
from serving.registry import Registry
from serving.slots import fit
from serving.slots.active import Slots
from serving.slots.slot import Answer, Slot, digest
from tests.serving import hostile

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.bundle import Manifest

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEAD = Answer(target="lead_qualification", policy="lead_routing")


@pytest.fixture(scope="module")
def slot(trained: Workspace) -> Slot:
    """The slot of leads."""
    found = Slot.load(trained, LEAD)
    assert isinstance(found, Slot)
    return found


@pytest.fixture(scope="module")
def said(trained: Workspace, slot: Slot) -> Manifest:
    """The manifest of its model."""
    return Registry(trained.blobs, trained.refs, trained.journal).manifest(slot.basis.model)[1]


def test_the_basis_names_everything(slot: Slot, said: Manifest) -> None:
    """The calibrator by the hash of its document in the manifest."""
    target = load_target("lead_qualification")
    assert slot.basis.target == f"lead_qualification@{target.version}"
    assert slot.basis.view == target.made_by
    assert slot.basis.policy == load_policy("lead_routing").id
    document = said.model_dump(mode="json")["calibrator"]
    assert slot.basis.calibrator == digest(slot.model.calibrator) == canonical.digest(document)


def test_a_slot_and_a_set_of_them_are_frozen(slot: Slot) -> None:
    """Who holds one may rely on it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        slot.policy = load_policy("deal_routing")  # type: ignore[misc]
    found = Slots(by_kind={"lead": slot})
    with pytest.raises(TypeError):
        found.by_kind["lead"] = slot  # type: ignore[index]
    assert found.of("lead") is found.of("account") is slot
    assert found.of("opportunity") is None


def test_nothing_published_says_what_to_do(workspace: Workspace) -> None:
    """One clear line."""
    found = Slot.load(workspace, LEAD)
    assert isinstance(found, Refusal)
    assert "python -m jobs.train --target lead_qualification" in str(found)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target_version": "0" * 16}, "must be of the version of the target at hand"),
        ({"views": {"lead_engagement": "0" * 16}}, "must be of the views at hand"),
        ({"target": {"name": "win"}}, "must be of the target at hand"),
    ],
)
def test_a_model_of_other_versions_does_not_fit(
    said: Manifest, changes: dict[str, Any], says: str
) -> None:
    """Its features would be computed otherwise than they were learnt."""
    target = load_target("lead_qualification")
    assert fit.of_model(said, target) is None
    other = said.model_copy(update={"provenance": said.provenance.model_copy(update=changes)})
    refused = fit.of_model(other, target)
    assert refused is not None
    assert says in str(refused)
    assert "\n" not in str(refused)


def test_a_bundle_that_is_refused_is_a_refusal(workspace: Workspace) -> None:
    """So is one of another target that the ref names."""
    packed = hostile.whole()
    workspace.blobs.put(packed.booster)
    for data, says in ((b"{}", "must be admitted"), (packed.manifest, "of the target at hand")):
        ref = workspace.refs.get("models/lead_qualification/stable")
        moved = workspace.refs.move(
            "models/lead_qualification/stable",
            to=workspace.blobs.put(data),
            expect_epoch=ref.epoch if ref else 0,
            actor="eve",
            reason="x",
            now=workspace.clock(),
        )
        assert moved
        found = Slot.load(workspace, LEAD)
        assert isinstance(found, Refusal)
        assert says in str(found)


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"feature": "clicks_7", "op": "equals", "value": 1}, "must look at a feature"),
        ({"feature": "origin", "op": "at_least", "value": 1}, "with a text, got a number"),
    ],
)
def test_a_policy_fits_the_features_of_the_target(
    slot: Slot, when: dict[str, Any], says: str
) -> None:
    """A rule that could never fire, or would raise, is refused before it answers."""
    rule = {"name": "r", "when": when, "route": "x", "reason": "y"}
    declared = slot.policy.document | {"version": 2, "rules": [rule]}
    policy = validated(Policy, declared, where="test")
    refused = fit.of_policy(policy, slot.target.features)
    assert refused is not None
    assert says in str(refused)
    assert fit.of_policy(slot.policy, slot.target.features) is None


def test_warming_answers_about_nobody(slot: Slot, trained: Workspace) -> None:
    """Both forms that a request takes, and the explainer is there."""
    slot.warm()
    assert slot.explainer is slot.model.explainer
    store = online.OnlineStore(trained)
    assert store.history("warm").table().num_rows == 0


def test_a_rule_on_a_feature_routes_before_the_score(slot: Slot) -> None:
    """A slot decides by the rules of its policy, of cases and of tables alike."""
    feature = next(f.name for f in slot.model.signature.features if f.kind == "number")
    rule = {
        "name": "suppress",
        "when": {"feature": feature, "op": "at_least", "value": 5},
        "route": "suppress",
        "reason": "asked not to be called",
    }
    policy = validated(Policy, slot.policy.document | {"rules": [rule]}, where="test")
    known: dict[str, Any] = {f.name: None for f in slot.model.signature.features}
    for value, fires in ((5, True), (4, False), (None, False)):
        case = Case(entity="e", account=None, time=NOW, features=known | {feature: value})
        (made,) = decide(slot.model, policy, [case], NOW, basis=slot.basis)
        assert (made.verdict.route == "suppress") == fires
        assert made.verdict.trace[0].endswith(str(fires))
