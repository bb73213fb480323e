"""Checkpoints: signed, linked, made by many at once, and whole wherever they are kept."""

from __future__ import annotations

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from cluster import canonical, chain, chains, checkpoints, errors, journal, sealing, signing
from cluster.sealer import Sealer
from cluster.settings import Settings

if TYPE_CHECKING:
    from cluster import database

LATER = timedelta(microseconds=1)
HEADS = {"a": chain.Head(seq=3, hash="a" * 64)}


@pytest.fixture
def settings(tmp_path: Path, current_url: str) -> Settings:
    """Settings whose journal is the database of the test."""
    return Settings.model_validate({"home": tmp_path, "database_url": current_url})


@pytest.fixture
def seals(settings: Settings) -> sealing.Seals:
    """What seals that journal."""
    return sealing.open_seals(settings)


def test_a_checkpoint_holds_the_heads_and_is_signed(
    log: journal.Journal, seals: sealing.Seals, now: datetime
) -> None:
    entries = [log.record("k", {"n": n}, now=now) for n in range(3)]
    made = seals.seal(now)
    assert made is not None
    document = json.loads(seals.store.read(made.name))
    assert document["heads"] == {"a": {"seq": 3, "hash": entries[-1].hash}}
    assert (document["number"], document["entries"], document["previous"]) == (1, 3, [])
    signature = document.pop("signature")
    public = seals.store.public_keys()[document["key"]]
    assert public.holds(signature, canonical.dumps(document))
    assert not public.holds(signature, canonical.dumps({**document, "entries": 4}))


def test_only_what_grew_is_sealed_again(
    db: database.Database, log: journal.Journal, seals: sealing.Seals, now: datetime
) -> None:
    with closing(journal.Journal(db, "b")) as other:
        other.record("k", {}, now=now)
        log.record("k", {}, now=now)
        first = seals.seal(now)
        assert seals.seal(now) is None
        log.record("k", {}, now=now)
        second = seals.seal(now)
    assert first is not None
    assert second is not None
    assert set(first.checkpoint.heads) == {"a", "b"}
    assert set(second.checkpoint.heads) == {"a"}
    assert (second.checkpoint.number, second.checkpoint.entries) == (2, 3)
    assert second.checkpoint.previous == (first.hash,)


def test_who_seals_anew_goes_on_with_the_series_and_seals_everything(
    log: journal.Journal, seals: sealing.Seals, settings: Settings, now: datetime
) -> None:
    log.record("k", {}, now=now)
    first = seals.seal(now)
    again = sealing.open_seals(settings).seal(now)
    assert first is not None
    assert again is not None
    assert again.checkpoint.previous == (first.hash,)
    assert again.checkpoint.heads == first.checkpoint.heads


def test_many_may_seal_at_once_and_the_series_holds(
    log: journal.Journal, settings: Settings, now: datetime
) -> None:
    several = [sealing.open_seals(settings) for _ in range(4)]
    for _ in range(5):
        log.record("k", {}, now=now)
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda n: several[n].seal(now + n * LATER), range(4)))
    series, forks = _followed(several[0].store), 0
    by_number: dict[int, int] = {}
    for number in series.numbers.values():
        by_number[number] = by_number.get(number, 0) + 1
        forks += by_number[number] > 1
    assert len(series.numbers) == 20
    assert forks  # or nothing was shown
    assert series.highest == {"a": 5}


def test_a_series_without_the_merge_of_forks_loses_one_unseen(
    log: journal.Journal, settings: Settings, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: who follows only one of two may lose the other, and nobody sees it."""
    for merges in (True, False):
        where = settings.model_copy(update={"checkpoints_url": f"memory://{os.urandom(8).hex()}"})
        one, other = sealing.open_seals(where), sealing.open_seals(where)
        log.record("k", {}, now=now)
        monkeypatch.setattr(one, "_to_follow", lambda: (0, ()))
        first, second = other.seal(now), one.seal(now + LATER)
        assert first is not None
        assert second is not None
        if not merges:
            newest = max(first.hash, second.hash)
            monkeypatch.setattr(checkpoints, "leaves", lambda _, newest=newest: {newest})
        third = sealing.open_seals(where).seal(now)
        assert third is not None
        gone = min((first, second), key=lambda made: made.hash)
        one.store.filesystem.rm_file(f"{one.store.root}/{gone.name}")
        if merges:
            with pytest.raises(AssertionError, match="must be there"):
                _followed(one.store)
        else:
            _followed(one.store)


def test_they_may_lie_in_an_object_store(
    log: journal.Journal, settings: Settings, now: datetime
) -> None:
    where = settings.model_copy(update={"checkpoints_url": f"memory://{os.urandom(8).hex()}/x"})
    log.record("k", {}, now=now)
    made = sealing.open_seals(where).seal(now)
    assert made is not None
    store = sealing.open_store(where.checkpoints)
    assert list(store.names()) == [made.name]
    assert _followed(store).newest == made


def test_a_folder_is_named_from_the_root() -> None:
    with pytest.raises(errors.WrongUse, match="absolute"):
        sealing.open_store("checkpoints")
    with pytest.raises(errors.WrongUse, match="fsspec"):
        sealing.open_store("nothing://x")


def test_a_name_never_shows_half_a_checkpoint(
    log: journal.Journal, seals: sealing.Seals, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.record("k", {}, now=now)
    seals.store.write("keys/none", b"")  # makes the folder

    def killed(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        seals.seal(now)
    assert list(seals.store.names()) == []
    monkeypatch.undo()
    assert seals.seal(now)
    assert len(_followed(seals.store).numbers) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"},
        {"number": 2},
        {"number": "1"},
        {"at": 1.5},
        {"heads": {"a": {"seq": 2, "hash": "a" * 64}}},
        {"heads": []},
        {"heads": {"a": None}},
        {"previous": ["a" * 64]},
        {"previous": ["nothing"]},
        {"key": "0" * 16},
        {"signature": "AAAA"},
        {"signature": 1},
        {"more": 1},
    ],
)
def test_a_changed_checkpoint_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    key, made = _made(tmp_path)
    document = {**json.loads(made.data), **change}
    data = canonical.dumps(document)
    name = checkpoints.name_of(1, canonical.sha256_hex(data))
    assert isinstance(checkpoints.opened(name, data, {key.public.id: key.public}), errors.Refusal)


def test_the_same_document_in_another_spelling_is_refused(tmp_path: Path) -> None:
    key, made = _made(tmp_path)
    keys = {key.public.id: key.public}
    assert checkpoints.opened(made.name, made.data, keys) == made
    for data in (made.data + b"\n", json.dumps(json.loads(made.data)).encode(), b"[" * 10_000):
        name = checkpoints.name_of(1, canonical.sha256_hex(data))
        assert "canonical" in str(checkpoints.opened(name, data, keys))
    assert "its name" in str(checkpoints.opened(made.name, made.data + b" ", keys))


def test_the_key_is_made_once_and_closed_and_never_shown(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    key = signing.load(settings)
    assert signing.load(settings).public.id == key.public.id
    file = tmp_path / "signing.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().strip() not in repr(key)
    file.chmod(0o644)
    with pytest.raises(errors.WrongUse, match=r"signing key.*chmod 600"):
        signing.load(settings)


def test_the_environment_names_the_key(tmp_path: Path) -> None:
    text = "A" * 43 + "="
    settings = Settings.model_validate({"home": tmp_path, "signing_key": text})
    assert signing.load(settings).public.id == signing.load(settings).public.id
    assert not list(tmp_path.iterdir())
    assert text not in repr(settings)
    bad = Settings.model_validate({"home": tmp_path, "signing_key": "canary"})
    with pytest.raises(errors.WrongUse, match="the setting signing_key") as refused:
        signing.load(bad)
    assert "canary" not in str(refused.value)


def test_public_keys_are_pem_of_one_kind(tmp_path: Path) -> None:
    one = signing.load(Settings(home=tmp_path)).public
    loaded = serialization.load_pem_public_key(one.pem())
    assert loaded == one.key
    file = tmp_path / "keys.pem"
    file.write_bytes(b"words before\n" + one.pem() + one.pem())
    assert set(signing.read_public_keys(file)) == {one.id}
    for text in (b"", b"nothing", one.pem().replace(b"MCow", b"MCox")):
        file.write_bytes(text)
        with pytest.raises(errors.WrongUse, match="Ed25519 in PEM"):
            signing.read_public_keys(file)
    with pytest.raises(errors.WrongUse, match="readable"):
        signing.read_public_keys(tmp_path / "none")


def test_the_sealer_seals_while_entries_come_and_at_the_end(
    log: journal.Journal, seals: sealing.Seals, now: datetime
) -> None:
    sealer = Sealer(seals, every_s=0.02, clock=lambda: now)
    sealer.start()
    log.record("k", {}, now=now)
    _wait(lambda: sealer.last is not None)
    slow = Sealer(sealing.Seals(seals.url, seals.store, seals.key), every_s=60, clock=lambda: now)
    slow.start()
    log.record("k", {}, now=now)
    sealer.close()
    slow.close()
    assert slow.last is not None
    assert _followed(seals.store).highest == {"a": 2}


def test_what_keeps_the_sealer_is_told_and_tried_again(
    log: journal.Journal, seals: sealing.Seals, now: datetime
) -> None:
    log.record("k", {}, now=now)
    (Path(seals.store.root)).write_text("a file where the folder must be")
    sealer = Sealer(seals, every_s=0.01, clock=lambda: now)
    sealer.start()
    _wait(lambda: sealer.error is not None)
    Path(seals.store.root).unlink()
    _wait(lambda: sealer.last is not None)
    sealer.close()
    assert sealer.error is None


def test_a_sealer_never_started_closes(seals: sealing.Seals, now: datetime) -> None:
    Sealer(seals, every_s=1, clock=lambda: now).close()


def test_heads_are_those_of_every_writer(
    db: database.Database, log: journal.Journal, current_url: str, now: datetime
) -> None:
    with chains.open_chains(current_url) as there:
        assert there.heads() == {}
        kept = {"a": log.record("k", {}, now=now)}
        for writer in ("Z", "é", "b'\"", "a-1"):
            with closing(journal.Journal(db, writer)) as other:
                for _ in range(2):
                    kept[writer] = other.record("k", {}, now=now)
        assert there.heads() == {w: chain.Head(seq=e.seq, hash=e.hash) for w, e in kept.items()}


def _made(home: Path) -> tuple[signing.SigningKey, checkpoints.Sealed]:
    key = signing.load(Settings(home=home))
    checkpoint = checkpoints.Checkpoint(
        number=1, at=5, entries=3, heads=HEADS, previous=(), key=key.public.id
    )
    return key, checkpoints.sealed(checkpoint, key)


def _followed(store: sealing.Store) -> checkpoints.Series:
    series = checkpoints.Series()
    for name in store.names():
        found = checkpoints.opened(name, store.read(name), store.public_keys())
        assert isinstance(found, checkpoints.Sealed), str(found)
        refused = series.follow(found)
        assert refused is None, str(refused)
    return series


def _wait(until: Any) -> None:
    deadline = time.monotonic() + 10
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.005)
