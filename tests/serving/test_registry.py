"""The registry: bytes first, then the ref, then the journal; once, however often it is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from cluster import blobs
from cluster.errors import Refusal
from jobs.train import fit, search
from serving import bundle, model, registry

if TYPE_CHECKING:
    from cluster.workspace import Workspace

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _bundle(card: str) -> bundle.Bundle:
    rng = np.random.default_rng(4)
    table = pa.table({"visits": rng.poisson(3, 200)})
    signature = fit.signature(table, {"visits": "Visits"})
    label = (rng.random(200) < 0.3).astype(np.float32)
    data = fit.Data(matrix=signature.encode(table), label=label, types=("q",), folds=())
    trained = model.Model(
        booster=fit.refit(data, search.FIRST, 3),
        signature=signature,
        calibrator=model.Calibrator(),
    )
    said: dict[str, Any] = dict.fromkeys(
        ("target_version", "training_table", "training_snapshot", "code_version"), "x"
    )
    empty: dict[str, Any] = {"target": {}, "views": {}, "metrics": {}}
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
