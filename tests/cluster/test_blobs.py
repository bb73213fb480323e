"""Blobs: one set of promises, kept by every kind of store."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cluster import blobs, canonical, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DATA = bytes(range(256)) * 40
NAME = canonical.sha256_hex(DATA)


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> blobs.Blobs:
    """An empty store of each kind."""
    if request.param == "local":
        return blobs.open_blobs(tmp_path / "deep" / "blobs")
    return blobs.open_blobs(f"memory://{tmp_path.name}/{os.urandom(4).hex()}")


@pytest.fixture
def damage(store: blobs.Blobs) -> Callable[[bytes], None]:
    """Overwrite what is stored under NAME."""

    def overwrite(data: bytes) -> None:
        if isinstance(store, blobs.LocalBlobs):
            (store.root / NAME[:2] / NAME).write_bytes(data)
        elif isinstance(store, blobs.FsspecBlobs):
            store.filesystem.pipe_file(f"{store.root}/{NAME[:2]}/{NAME}", data)

    return overwrite


@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_what_was_put_is_read_back_under_its_hash(store: blobs.Blobs, data: bytes) -> None:
    name = store.put(data)
    assert name == canonical.sha256_hex(data)
    assert store.has(name)
    assert store.get(name) == data


def test_putting_the_same_bytes_again_changes_nothing(store: blobs.Blobs) -> None:
    assert store.put(DATA) == store.put(DATA) == NAME
    assert store.get(NAME) == DATA


def test_a_missing_blob_is_named(store: blobs.Blobs) -> None:
    assert not store.has(NAME)
    with pytest.raises(blobs.BlobMissing, match=NAME):
        store.get(NAME)


@pytest.mark.parametrize("bad", [b"", DATA[:-1], DATA + b"\0", b"\1" + DATA[1:]])
def test_a_damaged_blob_is_named_and_not_returned(
    store: blobs.Blobs, damage: Callable[[bytes], None], bad: bytes
) -> None:
    store.put(DATA)
    damage(bad)
    with pytest.raises(blobs.BlobDamaged, match=NAME):
        store.get(NAME)


def test_without_the_check_a_damaged_blob_is_read(
    store: blobs.Blobs, damage: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "_checked", lambda _name, data: data)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_damaged_blob_is_named_and_not_returned(store, damage, b"bad")


def test_putting_the_original_again_heals_a_damaged_blob(
    store: blobs.Blobs, damage: Callable[[bytes], None]
) -> None:
    store.put(DATA)
    damage(b"bad")
    store.put(DATA)
    assert store.get(NAME) == DATA


@pytest.mark.parametrize("name", ["", "../secret", NAME.upper(), NAME + "0", f"{NAME[:-1]}\n"])
def test_what_is_no_hash_is_refused_as_a_name(store: blobs.Blobs, name: str) -> None:
    for ask in (store.get, store.has):
        with pytest.raises(errors.WrongUse, match="64 hex digits"):
            ask(name)


def test_threads_may_put_the_same_bytes_at_once(store: blobs.Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(store.put, [DATA] * 40)) == {NAME}
    assert store.get(NAME) == DATA


def test_a_local_store_is_closed_to_others_and_spread_by_two_digits(tmp_path: Path) -> None:
    store = blobs.open_blobs(tmp_path / "blobs")
    store.put(DATA)
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700
    files = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert files == [tmp_path / "blobs" / NAME[:2] / NAME]


def test_a_failed_write_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError("no space left")

    store = blobs.open_blobs(tmp_path / "blobs")
    store.put(b"first")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        blobs._replace(tmp_path / "blobs" / NAME, DATA)
    assert list((tmp_path / "blobs").glob("draft-*")) == []
    assert not (tmp_path / "blobs" / NAME).exists()


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_a_file_url_is_a_local_store(tmp_path: Path, protocol: str) -> None:
    store = blobs.open_blobs(f"{protocol}://{tmp_path}/blobs")
    assert store == blobs.LocalBlobs(tmp_path / "blobs")


@pytest.mark.parametrize(
    ("where", "said"),
    [("relative/blobs", "relative/blobs"), ("nosuch://x/y", "nosuch://"), ("", "absolute path")],
)
def test_a_wrong_place_is_refused(where: str, said: str) -> None:
    with pytest.raises(errors.WrongUse, match=said):
        blobs.open_blobs(where)
