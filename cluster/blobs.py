"""Blobs: bytes kept under their own SHA-256, in a folder or in any object store.

What a name holds cannot change: every read checks it, and a damaged blob is an error, never data.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import fsspec
from fsspec import AbstractFileSystem

from cluster import canonical, errors

if TYPE_CHECKING:
    from datetime import datetime

DRAFT = "draft-"  # how the name of a file begins that is still being written
_NAME = re.compile(r"[0-9a-f]{64}")


class BlobMissing(errors.FunnelcastError):
    """No blob has this name."""


class BlobDamaged(errors.FunnelcastError):
    """The bytes under a name are not those that were put there."""


class Blobs(Protocol):
    """A content-addressed store. Safe to share between threads and processes."""

    def put(self, data: bytes) -> str:
        """Keep `data` and return its name, 64 hex digits; durable and whole when it returns.

        Putting the same bytes again changes nothing, unless the stored ones are damaged: it heals.
        """

    def get(self, name: str) -> bytes:
        """Return the bytes of `name`; raises BlobMissing, BlobDamaged, WrongUse for no name."""

    def has(self, name: str) -> bool:
        """Is there a blob of this name? It is not read, so it may still be damaged."""

    def put_stream(self, write: Callable[[BinaryIO], None]) -> str:
        """Keep the bytes that `write` writes, never all in memory, and return their name.

        Durable and whole when it returns; where `write` raises, nothing is kept.
        """

    def path_of(self, name: str) -> Path:
        """Return a local file with the bytes of `name`, to be mapped and never to be written.

        A file of a folder is not read, so it may be damaged; raises BlobMissing.
        """

    def delete(self, name: str) -> None:
        """Take `name` away, if it is there. Only for what can be made again from elsewhere."""

    def sweep(self, before: datetime) -> int:
        """Delete what writers that died had begun before a moment; returns how many files."""


def open_blobs(where: str | Path) -> Blobs:
    """Open the store in an absolute folder, or at an fsspec URL such as `s3://bucket/blobs`."""
    text = str(where)
    protocol, _, rest = text.rpartition("://")
    if protocol in {"", "file", "local"}:  # fsspec's own local files are not written whole
        return LocalBlobs(_absolute(rest))
    try:
        filesystem, root = fsspec.url_to_fs(text)
    except (ValueError, ImportError) as error:
        raise errors.WrongUse(
            f"a blob store is a folder or an fsspec URL, got '{protocol}://': {error}"
        ) from error
    return FsspecBlobs(filesystem, root.rstrip("/"))


@dataclass(frozen=True)
class LocalBlobs:
    """Blobs as files of one folder that only its owner may enter, spread by two hex digits."""

    root: Path

    def put(self, data: bytes) -> str:
        """Keep `data` and return its name."""
        name = canonical.sha256_hex(data)
        path = self._path(name)
        self._make_folders(path.parent)
        with suppress(FileNotFoundError):
            if path.read_bytes() == data:
                sync_folder(path.parent)  # the one who wrote it may not have come so far
                return name
        _replace(path, data)
        return name

    def get(self, name: str) -> bytes:
        """Return the bytes of `name`, checked."""
        try:
            return _checked(name, self._path(name).read_bytes())
        except FileNotFoundError as error:
            raise _missing(name) from error

    def has(self, name: str) -> bool:
        """Is there a blob of this name?"""
        return self._path(name).is_file()

    def put_stream(self, write: Callable[[BinaryIO], None]) -> str:
        """Keep what `write` writes and return its name."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _draft(write, self.root) as (draft, name):
            path = self._path(name)
            self._make_folders(path.parent)
            draft.replace(path)
            sync_folder(path.parent)
        return name

    def path_of(self, name: str) -> Path:
        """Return the file of `name`."""
        path = self._path(name)
        if not path.is_file():
            raise _missing(name)
        return path

    def delete(self, name: str) -> None:
        """Take `name` away."""
        self._path(name).unlink(missing_ok=True)

    def sweep(self, before: datetime) -> int:
        """Delete drafts that were last written before a moment."""
        drafts = [p for p in self.root.rglob(f"{DRAFT}*") if p.stat().st_mtime < before.timestamp()]
        for draft in drafts:
            draft.unlink(missing_ok=True)
        return len(drafts)

    def _path(self, name: str) -> Path:
        return self.root / _valid(name)[:2] / name

    def _make_folders(self, folder: Path) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        # Every time: whoever made a folder first may not have come to this line yet.
        sync_folder(self.root)
        sync_folder(self.root.parent)


@dataclass(frozen=True)
class FsspecBlobs:
    """Blobs as objects below `root`, on a store whose writes of one object are all or nothing."""

    filesystem: AbstractFileSystem
    root: str

    def put(self, data: bytes) -> str:
        """Keep `data` and return its name."""
        name = canonical.sha256_hex(data)
        path = self._path(name)
        with suppress(FileNotFoundError):
            if self.filesystem.cat_file(path) == data:
                return name
        self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.filesystem.pipe_file(path, data)
        return name

    def get(self, name: str) -> bytes:
        """Return the bytes of `name`, checked."""
        try:
            return _checked(name, self.filesystem.cat_file(self._path(name)))
        except FileNotFoundError as error:
            raise _missing(name) from error

    def has(self, name: str) -> bool:
        """Is there a blob of this name?"""
        return bool(self.filesystem.isfile(self._path(name)))

    def put_stream(self, write: Callable[[BinaryIO], None]) -> str:
        """Keep what `write` writes and return its name."""
        with _draft(write, None) as (draft, name):
            path = self._path(name)
            self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            self.filesystem.put_file(str(draft), path)
        return name

    def path_of(self, name: str) -> Path:
        """Return a local copy of `name`, checked when it was fetched."""
        path = _copies() / _valid(name)
        if not path.is_file():
            _replace(path, self.get(name))
        return path

    def delete(self, name: str) -> None:
        """Take `name` and our local copy of it away."""
        with suppress(FileNotFoundError):
            self.filesystem.rm_file(self._path(name))
        (_copies() / name).unlink(missing_ok=True)

    def sweep(self, before: datetime) -> int:
        """Delete nothing: drafts lie in the temporary folder of their machine."""
        return 0

    def _path(self, name: str) -> str:
        return f"{self.root}/{_valid(name)[:2]}/{name}"


def _absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise errors.WrongUse(
            f"a folder of blobs has an absolute path, got '{text}': write it from the root"
        )
    return path


def _valid(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise errors.WrongUse(
            f"a blob's name is 64 hex digits in lower case, got '{name[:80]!r}': pass what put gave"
        )
    return name


def _checked(name: str, data: bytes) -> bytes:
    found = canonical.sha256_hex(data)
    if found != name:
        raise BlobDamaged(
            f"the bytes of a blob must hash to its name, got {found} for {name}: "
            "put the original again, or restore it from a backup"
        )
    return data


def _missing(name: str) -> BlobMissing:
    return BlobMissing(f"a blob must be there to be read, got no {name}: put it, or restore it")


@contextmanager
def _draft(write: Callable[[BinaryIO], None], folder: Path | None) -> Iterator[tuple[Path, str]]:
    """Yield a file with what `write` writes, on disk, and the name of its bytes; then remove it."""
    handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=folder)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            name = hashlib.file_digest(file, "sha256").hexdigest()
        yield Path(draft), name
    finally:
        Path(draft).unlink(missing_ok=True)


def _copies() -> Path:
    """Return the folder of local copies; only its owner may enter it."""
    folder = Path(tempfile.gettempdir()) / f"funnelcast-blobs-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise errors.WrongUse(f"'{folder}' must be ours, got another owner: set TMPDIR")
    return folder


def _replace(path: Path, data: bytes) -> None:
    # The name must never show half of the bytes, not even after a power cut.
    handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
