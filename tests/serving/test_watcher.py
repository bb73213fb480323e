"""The watcher: what answers follows its refs; what cannot be taken leaves what there was."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from cluster import canonical
from cluster.settings import Settings
from cluster.workspace import Workspace
from features.views import register, view
from serving import bundle
from serving.bundle import Bundle, Manifest
from serving.policy import Policy
from serving.registry import Registry, alias
from serving.slots import arms, policies, renewal, watcher
from serving.slots.slot import Answer, Slot
from serving.slots.watcher import REFUSED, SWAPPED, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEAD = {"lead": Answer(target="lead_qualification", policy="lead_routing")}
BOTH = LEAD | {"opportunity": Answer(target="opportunity_win", policy="deal_routing")}
LIVE = alias("lead_qualification")
NEVER_S = 3600.0  # between looks: a test looks itself
type Json = dict[str, Any]


@pytest.fixture
def place(trained: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with the published models, of this test's own."""
    home = tmp_path / "trained"
    shutil.copytree(trained.settings.home, home, ignore=shutil.ignore_patterns("tables"))
    with Workspace.open(Settings(home=home, buckets=4)) as opened:
        yield opened


@pytest.fixture
def followed(place: Workspace) -> Iterator[Watcher]:
    """A watcher of the lead's slot that looks when it is told to."""
    with closing(Watcher(place, LEAD, every_s=NEVER_S)) as made:
        yield made


def _registry(place: Workspace) -> Registry:
    return Registry(place.blobs, place.refs, place.journal)


def _changed(place: Workspace, change: Callable[[Json], object]) -> Bundle:
    """Return the live bundle with its manifest changed, in canonical spelling."""
    packed = _registry(place).bundle(LIVE)[1]
    said = json.loads(packed.manifest)
    change(said)
    return Bundle(manifest=canonical.dumps(said), booster=packed.booster)


def _carded(place: Workspace, card: str) -> Bundle:
    """Return the live bundle with another card: another model that scores alike."""
    return _changed(place, lambda d: d["provenance"].update(card=card))


def _publish(place: Workspace, packed: Bundle) -> str:
    done = _registry(place).publish(
        packed, "lead_qualification", actor="ada", reason="test", now=place.clock()
    )
    assert isinstance(done, str)
    return done


def _smuggle(place: Workspace, packed: Bundle) -> str:
    """Let the ref name a bundle that nobody admitted."""
    place.blobs.put(packed.booster)
    return _point(place, LIVE, place.blobs.put(packed.manifest))


def _point(place: Workspace, name: str, to: str) -> str:
    ref = place.refs.get(name)
    why = {"actor": "eve", "reason": "behind your back", "now": place.clock()}
    moved = place.refs.move(name, to=to, expect_epoch=ref.epoch if ref else 0, **why)
    assert moved
    return to


def _model(followed: Watcher) -> str:
    slot = followed.current.of("lead")
    assert slot is not None
    return slot.basis.model


def _wait(holds: Callable[[], bool], most_s: float = 5.0) -> bool:
    end = time.monotonic() + most_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def _told(place: Workspace, by: Watcher) -> list[dict[str, Any]]:
    """Return what one watcher said of its swaps."""
    found = [entry.body for entry in place.journal.entries(SWAPPED)]
    return [body for body in found if body["replica"] == by.replica]


def test_what_is_published_is_taken(place: Workspace, followed: Watcher) -> None:
    """By one swap, which is journalled with what was before; who has the old slots keeps them."""
    before = followed.current
    id = _publish(place, _carded(place, "second"))
    assert followed.refresh() is followed.current
    assert _model(followed) == id
    assert followed.current.of("account") is followed.current.of("lead")
    old = before.of("lead")
    assert old is not None
    first, swap = _told(place, followed)
    assert first["from"] == {}
    assert swap["from"]["lead"] == vars(old.basis)
    assert swap["to"]["lead"]["model"] == id != old.basis.model
    assert swap["epochs"] == dict(followed.current.epochs) != dict(before.epochs)
    assert followed.lag_s is not None
    assert 0 <= followed.lag_s < 60


def test_nothing_is_loaded_while_nothing_moves(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look is one statement, and leaves no entry."""
    asked: list[str] = []
    count = len(list(place.journal.entries()))
    monkeypatch.setattr(arms, "admitted", pytest.fail)
    engine = place.database.engine
    sa.event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    before = followed.current
    assert followed.refresh() is before
    assert [said.split()[0] for said in asked] == ["BEGIN", "SELECT"]
    assert len(list(place.journal.entries())) == count


def test_another_policy_is_taken_with_the_model_that_was_there(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No model is admitted for it."""
    monkeypatch.setattr(arms, "admitted", pytest.fail)
    before = followed.current.of("lead")
    live = policies.active(place, "lead_routing")
    assert before
    assert isinstance(live, Policy)
    second = live.model_copy(update={"version": 2, "review": None})
    assert policies.publish(place, second, actor="ada", reason="surer now")
    slot = followed.refresh().of("lead")
    assert slot
    assert (slot.policy, slot.basis.policy) == (second, second.id)
    assert slot.model is before.model


HOSTILE: dict[str, Callable[[Workspace], Bundle]] = {
    "lies": lambda w: _changed(w, lambda d: d["calibrator"].update(intercept=9.0)),
    "pickle": lambda w: Bundle(manifest=b"\x80\x04.", booster=b""),
    "truncated": lambda w: replace(_carded(w, "x"), booster=b"{"),
    "other target": lambda w: _changed(
        w, lambda d: d["provenance"].update(target_version="0" * 16)
    ),
    "other view": lambda w: _changed(
        w, lambda d: d["provenance"]["views"].update(lead_engagement="0" * 16)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_refused_leaves_what_there_was(
    place: Workspace, followed: Watcher, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told once and not tried again, until the ref moves; a policy is still followed."""
    before = followed.current
    packed = HOSTILE[name](place)
    if name == "truncated":
        _point(place, LIVE, place.blobs.put(packed.manifest.replace(b'"size":', b'"size":1')))
    else:
        _smuggle(place, packed)
    followed.refresh()
    assert followed.current.of("lead") is before.of("lead")
    (refused,) = followed.refused
    assert refused.what == LIVE
    assert "\n" not in refused.why
    with monkeypatch.context() as patch:
        patch.setattr(arms, "admitted", pytest.fail)
        live = policies.active(place, "lead_routing")
        assert isinstance(live, Policy)
        second = live.model_copy(update={"version": 2, "high_confidence_below": 0.1})
        assert policies.publish(place, second, actor="ada", reason="x")
        slot = followed.refresh().of("lead")
        assert slot
        assert slot.policy == second
        assert followed.refused == (refused,)
    assert len(list(place.journal.entries(REFUSED))) == 1
    _point(place, LIVE, _model(followed))
    followed.refresh()
    assert (followed.current.of("lead"), followed.refused) == (slot, ())


def test_of_two_that_moved_the_one_that_fits_is_taken(place: Workspace, followed: Watcher) -> None:
    """A policy with a rule on what no view has is refused; the model that came with it is not."""
    before = followed.current.of("lead")
    assert before
    rule = {"feature": "shoe_size", "op": "at_least", "value": 45}
    declared = {"name": "big", "when": rule, "route": "x", "reason": "y"}
    odd = Policy.model_validate(before.policy.document | {"version": 2, "rules": [declared]})
    assert policies.publish(place, odd, actor="ada", reason="x")
    id = _publish(place, _carded(place, "second"))
    slot = followed.refresh().of("lead")
    assert slot
    assert (slot.basis.model, slot.policy) == (id, before.policy)
    (refused,) = followed.refused
    assert refused.what == policies.ref_of("lead_routing")
    assert "must look at a feature, got 'shoe_size'" in refused.why
    _point(place, policies.ref_of("lead_routing"), place.blobs.put(b"{}"))
    assert followed.refresh().of("lead") is slot
    assert "must be one that was published" in followed.refused[0].why


def test_without_admission_a_bundle_that_lies_would_answer(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off."""

    def believed(manifest: bytes, booster: bytes) -> Manifest:
        return Manifest.model_validate_json(manifest)

    monkeypatch.setattr(bundle, "admit", believed)
    monkeypatch.setattr(bundle, "_must_score_as_said", lambda *_: None)
    id = _smuggle(place, HOSTILE["lies"](place))
    followed.refresh()
    assert _model(followed) == id


def _seen_while_warming(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], str]:
    """Return the models in force while another was warmed, and that one."""
    warm, seen = Slot.warm, []

    def watched(slot: Slot) -> None:
        seen.append(_model(followed))
        warm(slot)

    monkeypatch.setattr(Slot, "warm", watched)
    id = _publish(place, _carded(place, "second"))
    followed.refresh()
    assert _model(followed) == id
    return seen, id


def test_a_slot_is_warm_before_it_answers(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one answers until then."""
    old = _model(followed)
    seen, _ = _seen_while_warming(place, followed, monkeypatch)
    assert seen == [old]


def test_a_swap_before_warming_is_noticed(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence switched off: what is warmed is in force already."""
    run = renewal.Renewal.run

    def hasty(self: renewal.Renewal) -> renewal.Renewed:
        with monkeypatch.context() as patch:
            patch.setattr(renewal, "tried", lambda slot: None)
            made = run(self)
        assert made.slot
        followed.current = replace(followed.current, by_kind={"lead": made.slot})
        made.slot.warm()
        return made

    monkeypatch.setattr(renewal.Renewal, "run", hasty)
    seen, id = _seen_while_warming(place, followed, monkeypatch)
    assert seen == [id]


def test_a_model_that_does_not_answer_is_refused(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever warming it raises, a request would have met."""
    before = followed.current.of("lead")
    monkeypatch.setattr(Slot, "warm", lambda slot: 1 // 0)
    _publish(place, _carded(place, "second"))
    assert followed.refresh().of("lead") is before
    assert "ZeroDivisionError" in followed.refused[0].why


@pytest.mark.parametrize("is_mutant", [False, True])
def test_looks_come_by_the_monotonic_clock(
    place: Workspace, is_mutant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands stops nothing. Mutant: waiting goes by the time of day."""
    stands = place.clock()
    frozen = replace(place, clock=lambda: stands)

    def by_the_wall(self: Watcher) -> bool:
        while frozen.clock() <= stands and not self._stop.is_set():
            time.sleep(0.01)
        return self._stop.is_set()

    if is_mutant:
        monkeypatch.setattr(Watcher, "_pause", by_the_wall)
    with closing(Watcher(frozen, LEAD, every_s=0.02)) as made:
        id = _publish(place, _carded(place, "second"))
        assert _wait(lambda: _model(made) == id, 0.7 if is_mutant else 10.0) != is_mutant


def test_a_database_that_is_away_changes_nothing(place: Workspace) -> None:
    """What was loaded answers on; looks go on until it is back."""
    file = place.settings.home / "funnelcast.db"
    id = _carded(place, "second").id
    with closing(Watcher(place, LEAD, every_s=0.02)) as made:
        _publish(place, _carded(place, "second"))
        assert _wait(lambda: _model(made) == id)
        place.database.close()
        hidden = file.rename(file.with_suffix(".hidden"))
        file.mkdir()
        place.database.close()
        assert _wait(lambda: bool(made.away))
        assert _model(made) == id
        file.rmdir()
        hidden.rename(file)
        assert _wait(lambda: not made.away)
        _publish(place, _carded(place, "third"))
        assert _wait(lambda: _model(made) != id)


def test_what_is_away_for_one_kind_keeps_no_other(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other kind follows at once, and the one when its artefact can be read."""
    with closing(Watcher(place, BOTH, every_s=NEVER_S)) as made:
        before = made.current
        deals = _point(place, policies.ref_of("deal_routing"), _published(place, "deal_routing"))
        id, get = _publish(place, _carded(place, "second")), type(place.blobs).get

        def away(store: Any, digest: str) -> bytes:
            if digest == id:
                raise OSError("this one is away")
            return get(store, digest)

        monkeypatch.setattr(type(place.blobs), "get", away)
        after = made.refresh()
        assert "this one is away" in made.away
        assert after.of("lead") == before.of("lead")
        assert _digest(after.of("opportunity")) == deals != _digest(before.of("opportunity"))
        monkeypatch.setattr(type(place.blobs), "get", get)
        made.refresh()
        assert (_model(made), made.away) == (id, "")


def _published(place: Workspace, name: str) -> str:
    """Keep another version of a policy, and return its name."""
    policy = policies.declared()[name]
    said = policy.model_copy(update={"version": policy.version + 1}).document
    return place.blobs.put(canonical.dumps(said))


def _digest(slot: Slot | None) -> str:
    assert slot is not None
    return arms.digest_of(slot.policy)


def test_closing_is_prompt_and_final(place: Workspace) -> None:
    """Whatever time is left until the next look; afterwards nothing is taken."""
    made = Watcher(place, LEAD, every_s=NEVER_S)
    before = made.current
    start = time.monotonic()
    made.close()
    assert time.monotonic() - start < 1.0
    assert not made._thread.is_alive()
    _publish(place, _carded(place, "second"))
    assert made.refresh() is before


def test_reading_waits_for_no_look(followed: Watcher) -> None:
    """What is in force is read while the watcher is at work."""
    assert isinstance(vars(followed)["current"], watcher.Slots)
    with followed._working:
        assert followed.current.of("lead")


def test_a_kind_without_a_model_is_told_and_answers_once_there_is_one(
    workspace: Workspace, place: Workspace
) -> None:
    """Nothing is published in an empty workspace but the policies that are declared."""
    with closing(Watcher(workspace, BOTH, every_s=NEVER_S)) as made:
        assert made.current.of("lead") is None
        assert len(made.current.missing) == 2
        assert "python -m jobs.train --target lead_qualification" in made.current.missing[0]
        assert set(policies.names(workspace)) == set(policies.declared())
        _publish(workspace, _registry(place).bundle(LIVE)[1])
        made.refresh()
        assert made.current.of("account")
        assert len(made.current.missing) == 1
    (ref,) = workspace.refs.history(policies.ref_of("lead_routing"))
    assert (ref.actor, ref.reason) == ("service", "first start")


def test_a_view_on_record_that_is_another_is_told(place: Workspace, followed: Watcher) -> None:
    """What is at hand goes on being computed."""
    before = followed.current
    at_hand = view("lead_engagement")
    register.keep(place, [replace(at_hand, features=at_hand.features[:3])], "materialize", "newer")
    followed.refresh()
    assert followed.current.of("lead") is before.of("lead")
    assert followed.refused[0].what == "views/lead_engagement"
    assert f"must be the one at hand, {at_hand.version}" in followed.refused[0].why
    register.keep(place, [at_hand], "materialize", "back")
    followed.refresh()
    assert followed.refused == ()


def test_each_replica_tells_of_its_swaps(place: Workspace, followed: Watcher) -> None:
    """Once each."""
    with closing(Watcher(place, LEAD, every_s=NEVER_S)) as other:
        _publish(place, _carded(place, "second"))
        for _ in range(2):
            followed.refresh()
            other.refresh()
    assert [len(_told(place, each)) for each in (followed, other)] == [2, 2]


def test_an_entry_that_is_not_durable_is_told_later(
    place: Workspace, followed: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap does not wait for it."""

    def broken(*_: object, **__: object) -> None:
        raise watcher.JournalBroken("a journal must answer, got nothing: wait")

    id = _publish(place, _carded(place, "second"))
    with monkeypatch.context() as patch:
        patch.setattr(place.journal, "record", broken)
        followed.refresh()
        assert _model(followed) == id
        assert "journal" in followed.away
    followed.refresh()
    assert [e.body["to"]["lead"]["model"] for e in place.journal.entries(SWAPPED)][-1] == id
    assert followed.away == ""


def test_a_target_answers_for_its_own_kind(workspace: Workspace) -> None:
    """A lead's target does not answer about deals."""
    wrong = {"opportunity": LEAD["lead"]}
    with pytest.raises(watcher.following.WrongUse, match="must be about it"):
        Watcher(workspace, wrong)
