"""A slot of an old decision: found by what its basis names, or it is said which input is gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cluster import canonical
from cluster.errors import Refusal
from cluster.settings import Settings
from cluster.workspace import Workspace
from features.online import entity, warm
from features.views import VIEWS, register, view
from serving.bundle import Bundle
from serving.decide import Case, decide
from serving.registry import Registry
from serving.slots import past, policies
from serving.slots.past import Past, slot_of
from serving.slots.slot import Answer, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from serving.decide import Decision

LEAD = Answer(target="lead_qualification", policy="lead_routing")


@pytest.fixture
def place(trained: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with the published models, of this test's own."""
    home = tmp_path / "trained"
    shutil.copytree(trained.settings.home, home, ignore=shutil.ignore_patterns("tables"))
    with Workspace.open(Settings(home=home, buckets=4)) as opened:
        policies.begin(opened, policies.declared().values())
        yield opened


@pytest.fixture
def slot(place: Workspace) -> Slot:
    """What answers now."""
    found = Slot.load(place, LEAD)
    assert isinstance(found, Slot)
    return found


def _decided(slot: Slot) -> Decision:
    row = entity.row(slot.program, warm.histories(slot.target)[1], warm.KEY, warm.AT)
    assert row is not None
    case = Case(entity=warm.KEY, account=None, time=warm.AT, features=row.features)
    (made,) = decide(slot.model, slot.policy, [case], warm.AT, basis=slot.basis)
    return made


def test_an_old_decision_can_be_made_again(place: Workspace, slot: Slot) -> None:
    """After another model and another policy were made live: to the last bit, without notes."""
    then = _decided(slot)
    models = Registry(place.blobs, place.refs, place.journal)
    packed = models.bundle(slot.basis.model)[1]
    said = json.loads(packed.manifest)
    said["provenance"]["card"] = "second"
    second = Bundle(manifest=canonical.dumps(said), booster=packed.booster)
    assert models.publish(second, "lead_qualification", actor="ada", reason="x", now=place.clock())
    policy = slot.policy.model_copy(update={"version": 2, "review": None})
    assert policies.publish(place, policy, actor="ada", reason="x")
    found = slot_of(place, slot.basis)
    assert isinstance(found, Past)
    assert found.notes == ()
    assert repr(_decided(found.slot)) == repr(then)


def test_it_is_kept_for_the_next_decision_while_its_inputs_are_there(
    place: Workspace, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of them, those used last; one whose model is gone is gone."""
    found = slot_of(place, slot.basis)
    with monkeypatch.context() as patch:
        patch.setattr(past, "_made", pytest.fail)
        assert slot_of(place, slot.basis) is found
    for n in range(past.MOST + 2):
        assert slot_of(place, replace(slot.basis, code=str(n)))
    assert len(past._CACHE._kept) == past.MOST
    assert slot_of(place, slot.basis)
    place.blobs.delete(slot.basis.model)
    gone = slot_of(place, slot.basis)
    assert isinstance(gone, Refusal)
    assert f"the model {slot.basis.model[:12]}" in str(gone)


def test_other_code_is_told(place: Workspace, slot: Slot) -> None:
    """It is no reason to refuse."""
    found = slot_of(place, replace(slot.basis, code="0" * 64))
    assert isinstance(found, Past)
    assert found.notes == (f"the code was 000000000000 and is {slot.basis.code[:12]} now",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "0" * 64}, "the model 000000000000 must be there as it was"),
        ({"calibrator": "0" * 64}, "the calibrator 0000"),
        ({"policy": "lead_routing@7-000000000000"}, "the policy lead_routing@7-000000000000"),
        ({"target": "lead_qualification@0"}, "the target lead_qualification@0"),
        ({"view": "lead_engagement@0000"}, "the view lead_engagement@0000"),
        ({"view": "lead_engagement"}, "the view lead_engagement"),
    ],
)
def test_what_is_gone_is_named(
    place: Workspace, slot: Slot, changes: dict[str, str], says: str
) -> None:
    """In one line."""
    gone = slot_of(place, replace(slot.basis, **changes))
    assert isinstance(gone, Refusal)
    assert says in str(gone)
    assert "\n" not in str(gone)


def test_a_view_that_is_no_longer_declared_is_computed_as_the_register_has_it(
    place: Workspace, slot: Slot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same decision; where it is not on record, it is gone."""
    then = _decided(slot)
    names = set(slot.target.views)
    register.keep(place, [view(name) for name in sorted(names)], "materialize", "then")
    monkeypatch.setattr(past, "VIEWS", tuple(v for v in VIEWS if v.name not in names))
    found = slot_of(place, slot.basis)
    assert isinstance(found, Past)
    assert len(found.notes) == len(names)
    assert "its definition on record is used" in found.notes[0]
    assert repr(_decided(found.slot)) == repr(then)
    monkeypatch.setattr(register, "load", _gone)
    gone = slot_of(place, replace(slot.basis, code="other"))
    assert isinstance(gone, Refusal)
    assert "the view lead_engagement@" in str(gone)


def _gone(*_: object) -> None:
    raise register.WrongUse("a version must be on record, got none: keep it")
