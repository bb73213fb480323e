"""The registry: bytes first, then the ref, then the journal; once, however often it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster import blobs, canonical
from cluster.errors import Refusal, WrongUse
from jobs.train import fit
from jobs.train.space import FIRST
from serving import bundle, model, registry
from serving.calibrator import Calibrator
from tests.serving import hostile_rules

if TYPE_CHECKING:
    from cluster.workspace import Workspace

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _bundle(card: str, target: str = "win") -> bundle.Bundle:
    rng = np.random.default_rng(4)
    table = pa.table({"visits": rng.poisson(3, 200)})
    signature = fit.signature(table, {"visits": "Visits"})
    label = (rng.random(200) < 0.3).astype(np.float32)
    data = fit.Data(matrix=signature.encode(table), label=label, types=("q",), folds=())
    trained = model.Model(
        booster=fit.refit(data, FIRST, 3),
        signature=signature,
        calibrator=Calibrator(),
    )
    said: dict[str, Any] = dict.fromkeys(
        ("target_version", "training_table", "training_snapshot", "code_version"), "x"
    )
    empty: dict[str, Any] = {"target": {"name": target}, "views": {}, "metrics": {}}
    return bundle.pack(
        trained, table, bundle.Provenance(**said, **empty, created_at=NOW, card=card)
    )


@pytest.fixture(scope="module")
def bundles() -> tuple[bundle.Bundle, bundle.Bundle]:
    """Two bundles."""
    return _bundle("first"), _bundle("second")


@pytest.fixture
def models(workspace: Workspace) -> registry.Registry:
    """The registry of an empty workspace."""
    return registry.Registry(workspace.blobs, workspace.refs, workspace.journal)


def _publish(models: registry.Registry, packed: bundle.Bundle) -> str | Refusal:
    return models.publish(packed, "win", actor="ada", reason="because", now=NOW)


def test_what_is_published_is_live(
    models: registry.Registry, bundles: tuple[bundle.Bundle, bundle.Bundle]
) -> None:
    """By alias, by id and as the stable model of its target."""
    id = _publish(models, bundles[0])
    assert id == bundles[0].id
    stable = models.stable("win")
    assert not isinstance(stable, Refusal)
    for name in (bundles[0].id, registry.alias("win")):
        found, loaded = models.get(name)
        assert found == id == stable[0]
        assert loaded.signature == stable[1].signature
    assert models.manifest(registry.alias("win"))[1].provenance.card == "first"


def test_the_same_bundle_twice_is_one_publication(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
) -> None:
    """One move, one journal entry."""
    assert _publish(models, bundles[0]) == _publish(models, bundles[0])
    assert len(workspace.refs.history(registry.alias("win"))) == 1
    assert len(list(workspace.journal.entries(registry.KIND))) == 1


def test_going_back_is_one_more_publication(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
) -> None:
    """A, B, A: three moves in the history, three entries, A live."""
    for packed in (bundles[0], bundles[1], bundles[0]):
        _publish(models, packed)
    moves = [ref.target for ref in workspace.refs.history(registry.alias("win"))]
    assert moves == [bundles[0].id, bundles[1].id, bundles[0].id]
    written = [entry.body["model"] for entry in workspace.journal.entries(registry.KIND)]
    assert sorted(written) == sorted(moves)


def test_a_publication_cut_short_is_finished_by_the_next(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash between ref and journal leaves a live model; doing it again writes the entry."""
    with monkeypatch.context() as broken, pytest.raises(OSError, match="no power"):
        broken.setattr(registry.Registry, "_record", _no_power)
        _publish(models, bundles[0])
    assert not list(workspace.journal.entries(registry.KIND))
    _publish(models, bundles[0])
    assert len(list(workspace.journal.entries(registry.KIND))) == 1


def _no_power(*_: object) -> None:
    raise OSError("no power")


def test_the_ref_never_points_at_bytes_that_are_not_there(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the ref moves, manifest and booster are kept already."""
    seen: list[bool] = []
    move = type(workspace.refs).move

    def checked(refs: Any, name: str, *, to: str, **rest: Any) -> Any:
        seen.extend(
            map(workspace.blobs.has, (to, bundle.read(workspace.blobs.get(to)).booster.sha256))
        )
        return move(refs, name, to=to, **rest)

    monkeypatch.setattr(type(workspace.refs), "move", checked)
    _publish(models, bundles[0])
    assert seen == [True, True]


def test_of_two_publishers_one_is_refused(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ref that moved between reading and moving stays where the other put it."""
    _publish(models, bundles[0])
    before = workspace.refs.get(registry.alias("win"))
    assert before is not None
    stale = replace(before, epoch=before.epoch - 1)
    monkeypatch.setattr(type(workspace.refs), "get", lambda *_: stale)
    outcome = _publish(models, bundles[1])
    monkeypatch.undo()
    assert isinstance(outcome, Refusal)
    assert workspace.refs.get(registry.alias("win")) == before


def test_a_target_without_a_model_is_refused_with_what_to_do(models: registry.Registry) -> None:
    """Not trained yet is an answer, an unknown name is an error."""
    assert "python -m jobs.train --target win" in str(models.stable("win"))
    with pytest.raises(registry.ModelMissing, match="'models/win/stable' must be a published"):
        models.get(registry.alias("win"))
    with pytest.raises(blobs.BlobMissing):
        models.get("0" * 64)


def test_nothing_is_published_that_could_not_be_loaded(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bundle that is refused moves nothing and leaves no bytes; unchecked, it would be live."""
    wrong = replace(bundles[0], booster=bundles[0].booster[:-1])
    with pytest.raises(bundle.BundleBroken):
        _publish(models, wrong)
    assert workspace.refs.get(registry.alias("win")) is None
    assert not workspace.blobs.has(wrong.id)
    with pytest.raises(bundle.BundleBroken, match="golden row"):
        _publish(models, _lying())
    monkeypatch.setattr(bundle, "unpack", lambda manifest, _: None)
    assert _publish(models, wrong) == wrong.id


def _lying() -> bundle.Bundle:
    """Return a bundle that only scoring its golden rows here tells from a good one."""
    (case,) = (each for each in hostile_rules.rules() if each.name == "fewer points")
    return bundle.Bundle(manifest=case.manifest, booster=case.booster)


def test_a_model_of_another_target_is_not_published(models: registry.Registry) -> None:
    """Nor can an alias be pointed at it."""
    other = _bundle("other", "churn")
    with pytest.raises(WrongUse, match="a model of 'win' must be trained for it, got one of churn"):
        _publish(models, other)
    models.publish(other, "churn", actor="ada", reason="because", now=NOW)
    with pytest.raises(WrongUse, match="a model of 'win' must be trained for it"):
        models.point("models/win/next", other.id, actor="ada", reason="because", now=NOW)


def test_damaged_bytes_behind_a_ref_are_refused(
    models: registry.Registry, bundles: tuple[bundle.Bundle, bundle.Bundle], workspace: Workspace
) -> None:
    """One flipped bit anywhere in manifest or booster: never a model."""
    id = _publish(models, bundles[0])
    assert isinstance(id, str)
    said = bundle.read(bundles[0].manifest)
    for name in (id, said.booster.sha256):
        path = workspace.blobs.path_of(name)
        kept = path.read_bytes()
        for at in range(0, len(kept), len(kept) // 10):
            path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
            with pytest.raises(blobs.BlobDamaged):
                models.get(id)
        path.write_bytes(kept)
    assert models.get(id)[0] == id


def test_a_huge_file_is_measured_and_not_read(
    models: registry.Registry, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of 1 TB under the name of a manifest."""
    name = workspace.blobs.put(b"small")
    with workspace.blobs.path_of(name).open("r+b") as file:
        file.truncate(2**40)
    monkeypatch.setattr(type(workspace.blobs), "get", _no_power)
    with pytest.raises(bundle.BundleBroken, match="the manifest must have 8,388,608 bytes at most"):
        models.get(name)


def test_bytes_that_are_no_bundle_are_refused_by_name(
    models: registry.Registry, workspace: Workspace
) -> None:
    """A blob is whole, and still no manifest; a manifest without its booster is missing."""
    with pytest.raises(bundle.BundleBroken, match="must begin with a brace"):
        models.get(workspace.blobs.put(b"\x80\x04K\x01."))
    lost = workspace.blobs.put(_bundle("lost").manifest)
    with pytest.raises(blobs.BlobMissing):
        models.get(lost)


def test_an_alias_has_a_history_of_what_was_live_when(
    models: registry.Registry, bundles: tuple[bundle.Bundle, bundle.Bundle]
) -> None:
    """First, second, back to the first: each from when until when, by whom and why."""
    for days, (packed, actor) in enumerate(((bundles[0], "ada"), (bundles[1], "ben"))):
        now = NOW + timedelta(days=days)
        models.publish(packed, "win", actor=actor, reason=f"of day {days}", now=now)
    name, back = registry.alias("win"), NOW + timedelta(days=9)
    assert models.point(name, bundles[0].id, actor="eva", reason="worse", now=back) == bundles[0].id
    told = [(r.model, r.since, r.until, r.actor, r.reason) for r in models.history(name)]
    first, second = (packed.id for packed in bundles)
    assert told == [
        (first, NOW, NOW + timedelta(days=1), "ada", "of day 0"),
        (second, NOW + timedelta(days=1), back, "ben", "of day 1"),
        (first, back, None, "eva", "worse"),
    ]
    assert models.models() == [first, second]
    with pytest.raises(registry.ModelMissing):
        models.history("models/win/never")


def test_further_aliases_name_models_of_their_target(
    models: registry.Registry,
    bundles: tuple[bundle.Bundle, bundle.Bundle],
    workspace: Workspace,
) -> None:
    """Pointing is journalled, listed, and repeated without effect."""
    _publish(models, bundles[0])
    for _ in range(2):
        models.point("models/win/shadow", registry.alias("win"), actor="ada", reason="try", now=NOW)
    found = {ref.name: ref.target for ref in models.aliases()}
    assert found == dict.fromkeys(("models/win/stable", "models/win/shadow"), bundles[0].id)
    assert len(list(workspace.journal.entries(registry.KIND))) == 2
    assert models.get("models/win/shadow")[0] == bundles[0].id


@pytest.mark.parametrize(
    "name", ["../win", "/etc", "a/b", "win\0", "", "Win", "w" * 65, "models/win/stable"]
)
def test_names_of_aliases_lead_nowhere(models: registry.Registry, name: str) -> None:
    """No target and no alias is called so."""
    with pytest.raises(WrongUse, match="an alias must be made of small letters"):
        registry.alias(name)
    with pytest.raises(WrongUse, match="an alias must be"):
        models.point(f"models/win/{name}", "0" * 64, actor="ada", reason="try", now=NOW)
    with pytest.raises(WrongUse, match="an alias must be"):
        registry.target_of(f"models/{name}/{name}")


def test_the_id_covers_every_byte(bundles: tuple[bundle.Bundle, bundle.Bundle]) -> None:
    """It is the hash of the manifest, which names that of the booster."""
    said = bundle.read(bundles[0].manifest)
    assert bundles[0].id == canonical.sha256_hex(bundles[0].manifest)
    assert said.booster.sha256 == canonical.sha256_hex(bundles[0].booster)
