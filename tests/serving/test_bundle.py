"""A bundle is checked before it is trusted: hash first, then shape, then golden rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cluster import canonical
from jobs.train import fit
from jobs.train.space import FIRST
from serving import bundle, model
from serving.calibrator import Calibrator
from tests.serving import hostile

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def _table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    region = pa.array(np.array(["eu", "us", "apac"])[rng.integers(0, 3, 400)])
    visits = pa.array(rng.poisson(3, 400), pa.int64(), mask=rng.random(400) < 0.2)
    rare = pa.array(["once"] + [None] * 399)
    share, value = rng.random(400), rng.normal(size=400)
    columns = {"visits": visits, "region": region, "rare": rare, "share": share, "value": value}
    return pa.table(columns)


def _model(table: pa.Table, seed: int) -> model.Model:
    signature = fit.signature(table, {name: name.title() for name in table.column_names})
    data = fit.Data(
        matrix=signature.encode(table),
        label=(np.random.default_rng(seed).random(400) < 0.3).astype(np.float32),
        types=tuple(model.feature_types(signature)),
        folds=(),
    )
    calibrator = Calibrator(slope=1 / 3, intercept=-0.1)
    return model.Model(
        booster=fit.refit(data, FIRST, 12), signature=signature, calibrator=calibrator
    )


def _provenance(**changes: Any) -> bundle.Provenance:
    mine = {"target": {"name": "t"}, "training_table": "training_t", "created_at": NOW}
    return hostile.provenance(**{**mine, **changes})


@pytest.fixture(scope="module")
def packed() -> bundle.Bundle:
    """A bundle that is whole."""
    table = _table(1)
    return bundle.pack(_model(table, 1), table, _provenance())


@pytest.fixture(autouse=True)
def _nothing_was_admitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "_admitted", set())


def _changed(packed: bundle.Bundle, change: Callable[[dict[str, Any]], None]) -> bytes:
    document = json.loads(packed.manifest)
    change(document)
    return canonical.dumps(document)


def test_a_bundle_comes_back_as_the_same_model(packed: bundle.Bundle) -> None:
    """Scores, contributions and intervals are the same bits after a round trip."""
    table = _table(2)
    before, after = _model(_table(1), 1), bundle.unpack(packed.manifest, packed.booster)
    matrix = before.encode(table)
    assert after.signature == before.signature
    assert after.calibrator == before.calibrator
    assert after.encode(table).tobytes() == matrix.tobytes()
    assert after.score(matrix).margin.tobytes() == before.score(matrix).margin.tobytes()
    assert after.score(matrix).probability.tobytes() == before.score(matrix).probability.tobytes()
    assert after.contributions(matrix).tobytes() == before.contributions(matrix).tobytes()


def test_the_same_model_has_the_same_id(packed: bundle.Bundle) -> None:
    """The id is a function of the content, and of every part of it."""
    table = _table(1)
    again = bundle.pack(_model(table, 1), table, _provenance())
    other = bundle.pack(_model(table, 1), table, _provenance(card="Another card."))
    assert again.id == packed.id == canonical.sha256_hex(packed.manifest)
    assert other.id != packed.id


def test_the_manifest_says_what_the_model_was_made_from(packed: bundle.Bundle) -> None:
    """Snapshot ids beyond 2^53 and floats survive; the booster is named by its hash."""
    said = bundle.read(packed.manifest)
    assert said.provenance == _provenance()
    assert said.booster.sha256 == canonical.sha256_hex(packed.booster)
    assert said.booster.rounds == 12
    assert said.libraries["xgboost"]


def test_golden_rows_are_nobodys(packed: bundle.Bundle) -> None:
    """Ten rows, exact, mixed from different rows, without a value too rare to have a code."""
    golden = bundle.read(packed.manifest).golden
    assert len(golden) == 10
    assert all(float.fromhex(g.margin).hex() == g.margin for g in golden)
    matrix = _table(1).select(["share", "value"]).to_pandas().to_numpy(np.float32)
    real = set(map(tuple, matrix.tolist()))
    pairs = [[float.fromhex(g.row[name] or "") for name in ("share", "value")] for g in golden]
    assert not set(map(tuple, pairs)) & real
    assert all(g.row["rare"] in (None, bundle.RARE) for g in golden)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a reader saw bytes that were not checked")


def test_a_flipped_bit_is_refused_before_any_reader_sees_it(
    packed: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every damaged booster fails on its hash; nothing reads it."""
    monkeypatch.setattr(bundle, "_must_be_trees", _never)
    for at in range(0, len(packed.booster), len(packed.booster) // 20):
        damaged = bytearray(packed.booster)
        damaged[at] ^= 1
        with pytest.raises(bundle.BundleBroken, match="must have the hash"):
            bundle.unpack(packed.manifest, bytes(damaged))


def test_without_the_hash_check_the_readers_would_see_them(
    packed: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above is what keeps the readers safe."""
    monkeypatch.setattr(bundle, "_must_be_trees", _never)
    monkeypatch.setattr(bundle, "_must_be_whole", lambda *_: None)
    with pytest.raises(AssertionError, match="a reader saw"):
        bundle.unpack(packed.manifest, packed.booster[:-1])


def test_xgboost_sees_only_what_was_admitted(
    packed: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, bytes are parsed last: after the walk of the trees and the process apart."""
    monkeypatch.setattr(bundle, "_parsed", _never)
    with monkeypatch.context() as broken, pytest.raises(bundle.BundleBroken, match="apart"):
        broken.setattr(bundle, "_must_score_apart", _refuses)
        bundle.unpack(packed.manifest, packed.booster)
    with pytest.raises(AssertionError, match="a reader saw"):
        bundle.unpack(packed.manifest, packed.booster)


def test_the_same_bytes_are_shown_to_the_process_apart_once(
    packed: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are shown to it anew; what it refused is refused again."""
    bundle.unpack(packed.manifest, packed.booster)
    monkeypatch.setattr(bundle, "_must_score_apart", _refuses)
    bundle.unpack(packed.manifest, packed.booster)
    for _ in range(2):
        with pytest.raises(bundle.BundleBroken, match="apart"):
            bundle.unpack(*_swapped(packed))


def _refuses(*_: object) -> None:
    raise bundle.BundleBroken("refused apart")


def _swapped(packed: bundle.Bundle) -> tuple[bytes, bytes]:
    """Another model's trees under this manifest, with the hash made to fit."""
    trees = bytes(_model(_table(1), 9).booster.save_raw("ubj"))
    digest = canonical.sha256_hex(trees)
    said = {"sha256": digest, "size": len(trees)}
    return _changed(packed, lambda d: d["booster"].update(said)), trees


def test_trees_that_score_otherwise_are_refused(packed: bundle.Bundle) -> None:
    """Golden rows catch a model that is well formed but not the one that was published."""
    with pytest.raises(bundle.BundleBroken, match="golden row 1 must score"):
        bundle.unpack(*_swapped(packed))


def test_without_golden_rows_swapped_trees_would_load(
    packed: bundle.Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the golden rows, scored apart and here, stands against them."""
    monkeypatch.setattr(bundle, "_must_score_apart", lambda *_: None)
    monkeypatch.setattr(bundle, "_must_score_as_said", lambda *_: None)
    assert bundle.unpack(*_swapped(packed)).signature.features


def _nudge(document: dict[str, Any]) -> None:
    value = float.fromhex(document["golden"][3]["probability"])
    document["golden"][3]["probability"] = float(np.nextafter(value, 1)).hex()


def _recalibrate(document: dict[str, Any]) -> None:
    document["calibrator"]["slope"] *= 1 + 1e-9


def _rename(document: dict[str, Any]) -> None:
    document["features"][1]["vocabulary"].sort(reverse=True)


@pytest.mark.parametrize("change", [_nudge, _recalibrate, _rename])
def test_golden_rows_see_the_last_bit(
    packed: bundle.Bundle, change: Callable[[dict[str, Any]], None]
) -> None:
    """One unit in the last place, a slope off by 1e-9, a vocabulary in another order."""
    with pytest.raises(bundle.BundleBroken, match="golden row"):
        bundle.unpack(_changed(packed, change), packed.booster)


def _widen(document: dict[str, Any]) -> None:
    document["features"].append({**document["features"][0], "name": "more"})
    for golden in document["golden"]:
        golden["row"]["more"] = None


def _retype(document: dict[str, Any]) -> None:
    document["features"][0]["kind"] = "category"
    for golden in document["golden"]:
        golden["row"]["visits"] = None


@pytest.mark.parametrize("change", [_widen, _retype])
def test_a_signature_that_is_not_the_boosters_is_refused(
    packed: bundle.Bundle, change: Callable[[dict[str, Any]], None]
) -> None:
    """Another number or kind of features never reaches prediction."""
    with pytest.raises(bundle.BundleBroken, match="the booster must take the"):
        bundle.unpack(_changed(packed, change), packed.booster)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (b"", "the manifest must begin with a brace"),
        (b"\x80\x04K\x01.", "got a pickle"),
        (b"{}", "in 'format', got Field required"),
        (b'{"format": 2}', "must be canonical JSON"),
        (b'{"format":2}', "of format 1 in"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(manifest: bytes, words: str) -> None:
    """Empty, pickled, incomplete or of a later format: one line."""
    with pytest.raises(bundle.BundleBroken, match=words):
        bundle.unpack(manifest, b"")


def test_bytes_that_are_no_trees_are_refused(packed: bundle.Bundle) -> None:
    """Even when the manifest names their hash."""
    trees = b"not trees"
    digest = canonical.sha256_hex(trees)
    said = {"sha256": digest, "size": len(trees)}
    manifest = _changed(packed, lambda d: d["booster"].update(said))
    with pytest.raises(bundle.BundleBroken, match="the booster must begin with a brace"):
        bundle.unpack(manifest, trees)
