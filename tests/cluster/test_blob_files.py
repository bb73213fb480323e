"""Blobs as files: streamed in, mapped where they lie, and taken away; both kinds of store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pytest

from cluster import blobs, canonical

PARTS = [b"one", b"", b"two" * 100_000]


@pytest.fixture(params=["folder", "memory"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> blobs.Blobs:
    """Return an empty store."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if request.param == "folder":
        return blobs.open_blobs(tmp_path / "blobs")
    return blobs.open_blobs(f"memory://{tmp_path.name}/{os.urandom(4).hex()}")


def _write(sink: BinaryIO) -> None:
    for part in PARTS:
        sink.write(part)


def _drafts(folder: Path) -> list[Path]:
    return list(folder.rglob("draft-*"))


def test_a_stream_is_kept_under_its_hash_and_mapped(store: blobs.Blobs, tmp_path: Path) -> None:
    """Twice is once; the file holds the bytes, and no draft is left."""
    name = store.put_stream(_write)
    assert name == canonical.sha256_hex(b"".join(PARTS)) == store.put_stream(_write)
    assert store.path_of(name).read_bytes() == store.get(name) == b"".join(PARTS)
    assert not _drafts(tmp_path)


def test_a_stream_that_breaks_off_leaves_nothing(store: blobs.Blobs, tmp_path: Path) -> None:
    """Neither a blob nor a draft."""

    def broken(sink: BinaryIO) -> None:
        sink.write(b"half")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        store.put_stream(broken)
    assert not store.has(canonical.sha256_hex(b"half"))
    assert not _drafts(tmp_path)


def test_the_draft_of_a_writer_that_was_killed_is_swept_once_it_is_old(tmp_path: Path) -> None:
    """Blobs stay, and so does what somebody may still be writing."""
    script = (
        "import os, sys, signal; from cluster import blobs\n"
        "blobs.open_blobs(sys.argv[1]).put_stream("
        "lambda sink: (sink.write(b'half'), sink.flush(), os.kill(os.getpid(), signal.SIGKILL)))"
    )
    store = blobs.open_blobs(tmp_path / "blobs")
    name, now = store.put(b"whole"), datetime.now(UTC)
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "blobs"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(_drafts(tmp_path)) == 1
    assert store.sweep(now - timedelta(hours=1)) == 0
    assert store.sweep(now + timedelta(hours=1)) == 1
    assert not _drafts(tmp_path)
    assert store.get(name) == b"whole"


def test_what_was_taken_away_is_missing(store: blobs.Blobs) -> None:
    """Also its local copy; taking it away again does nothing."""
    name = store.put(b"x")
    path = store.path_of(name)
    for _ in range(2):
        store.delete(name)
    assert not path.exists()
    for read in (store.get, store.path_of):
        with pytest.raises(blobs.BlobMissing):
            read(name)


def test_a_file_that_is_mapped_outlives_its_name(store: blobs.Blobs) -> None:
    """A reader of the old bytes goes on."""
    name = store.put_stream(_write)
    with store.path_of(name).open("rb") as file:
        store.delete(name)
        assert file.read() == b"".join(PARTS)
