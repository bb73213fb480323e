"""Sealing: where checkpoints are kept, and what makes them.

They belong where who can write the database cannot write: another disk, account, or a bucket with
object lock. Every checkpoint is a new file, never changed; public keys lie beside them in `keys/`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec

from cluster import blobs, chains, checkpoints, errors, schema, signing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from fsspec import AbstractFileSystem

    from cluster.settings import Settings
    from cluster.signing import PublicKey, SigningKey

KEYS = "keys"
FOLDERS_SEEN = 2  # of the newest checkpoints, among which a sealer looks for those to follow


@dataclass(frozen=True)
class Store:
    """Checkpoints below `root` of a file system. Safe to share."""

    filesystem: AbstractFileSystem
    root: str

    def names(self, newest: int | None = None) -> Iterator[str]:
        """Yield the names of checkpoints in order; only those of the `newest` folders if said."""
        folders = [name for name in self._listed("") if name.isdecimal()]
        for folder in folders if newest is None else folders[-newest:]:
            for name in self._listed(folder):
                if checkpoints.named(f"{folder}/{name}") is not None:
                    yield f"{folder}/{name}"

    def strangers(self) -> Iterator[str]:
        """Yield what lies among the checkpoints and is none of them."""
        for folder in self._listed(""):
            if not folder.isdecimal() and folder != KEYS:
                yield folder
            elif folder != KEYS:
                names = (f"{folder}/{name}" for name in self._listed(folder))
                yield from (name for name in names if checkpoints.named(name) is None)

    def read(self, name: str) -> bytes:
        """Return the bytes of a name."""
        data: bytes = self.filesystem.cat_file(f"{self.root}/{name}")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Keep bytes under a new name: whole and, in a folder, durable when it returns."""
        path = f"{self.root}/{name}"
        if _is_local(self.filesystem):
            _write_whole(Path(path), data)
            return
        self.filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
        self.filesystem.pipe_file(path, data)

    def public_keys(self) -> dict[str, PublicKey]:
        """Return the public keys that lie beside the checkpoints, by id."""
        found: dict[str, PublicKey] = {}
        for name in self._listed(KEYS):
            if name.endswith(".pem"):
                path = f"{KEYS}/{name}"
                found |= signing.public_keys(self.read(path), where=f"'{path}'")
        return found

    def _listed(self, folder: str) -> list[str]:
        path = f"{self.root}/{folder}".rstrip("/")
        try:
            found = self.filesystem.ls(path, detail=False, refresh=True)
        except FileNotFoundError:
            return []
        names = (str(name).rstrip("/").rpartition("/")[2] for name in found)
        return sorted(name for name in names if not name.startswith("."))


def open_store(where: str) -> Store:
    """Open the checkpoints in an absolute folder, or at an fsspec URL such as `s3://bucket/x`."""
    try:
        filesystem, root = fsspec.url_to_fs(where)
    except (ValueError, ImportError) as error:
        raise errors.WrongUse(
            f"checkpoints lie in a folder or at an fsspec URL, got '{where}': {error}"
        ) from error
    if _is_local(filesystem) and "://" not in where and not Path(where).is_absolute():
        raise errors.WrongUse(
            f"a folder of checkpoints has an absolute path, got '{where}': write it from the root"
        )
    return Store(filesystem, root.rstrip("/"))


@dataclass
class Seals:
    """Seals the chains of one database. For one thread at a time."""

    url: str = field(repr=False)  # of the database
    store: Store
    key: SigningKey
    _sealed: dict[str, int] = field(default_factory=dict)  # by writer, what this object sealed
    _known: dict[str, tuple[str, ...]] = field(default_factory=dict)  # {hash: those it follows}
    _last: tuple[int, str] | None = None  # number and hash of the last one it made

    def seal(self, now: datetime) -> checkpoints.Sealed | None:
        """Seal what this object has not sealed yet; None if there is nothing."""
        with chains.open_chains(self.url) as there:
            heads = there.heads()
        grown = {w: head for w, head in heads.items() if head.seq != self._sealed.get(w)}
        if not grown:
            return None
        number, previous = self._to_follow()
        checkpoint = checkpoints.Checkpoint(
            number=number + 1,
            at=schema.micros(now),
            entries=sum(head.seq for head in heads.values()),
            heads=grown,
            previous=previous,
            key=self.key.public.id,
        )
        made = checkpoints.sealed(checkpoint, self.key)
        self._keep(made)
        self._sealed |= {writer: head.seq for writer, head in grown.items()}
        self._last = checkpoint.number, made.hash
        return made

    def _to_follow(self) -> tuple[int, tuple[str, ...]]:
        """Return the highest number of the checkpoints to follow, and their hashes."""
        numbers: dict[str, int] = dict([self._last[::-1]] if self._last else [])
        seen: dict[str, tuple[str, ...]] = {}
        keys = {self.key.public.id: self.key.public, **self.store.public_keys()}
        for name in self.store.names(newest=FOLDERS_SEEN):
            number, hash = checkpoints.named(name) or (0, "")
            if hash not in self._known:
                found = checkpoints.opened(name, self.store.read(name), keys)
                if isinstance(found, errors.Refusal):
                    continue  # no sealer follows it, and the audit names it
                self._known[hash] = found.checkpoint.previous
            numbers[hash], seen[hash] = number, self._known[hash]
        self._known = seen
        follows = checkpoints.leaves(seen)
        if self._last and self._last[1] not in seen:  # taken away, or too far behind the others
            follows.add(self._last[1])
        highest = max((numbers[hash] for hash in follows), default=0)
        return highest, tuple(sorted(follows))

    def _keep(self, made: checkpoints.Sealed) -> None:
        public = self.key.public
        if public.id not in self.store.public_keys():
            self.store.write(f"{KEYS}/{public.id}.pem", public.pem())
        self.store.write(made.name, made.data)


def open_seals(settings: Settings) -> Seals:
    """Return what seals the journal of `settings`; makes the signing key if there is none."""
    return Seals(
        url=settings.database, store=open_store(settings.checkpoints), key=signing.load(settings)
    )


def _is_local(filesystem: AbstractFileSystem) -> bool:
    return "file" in (filesystem.protocol, *filesystem.protocol)


def _write_whole(path: Path, data: bytes) -> None:
    # The name must never show half of the bytes, not even after a power cut.
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    with draft.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    for folder in (path.parent, *(new.parent for new in made)):
        blobs.sync_folder(folder)
