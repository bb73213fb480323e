"""The files of a source on disk: found by name or glob, opened as streams of bytes.

`a.csv.gz` is unpacked as it is read, `a.zip!b.csv` is a member of an archive, and text in another
encoding arrives as UTF-8; a byte that the declared encoding does not know stays as it is, so that
the row can be named.
"""

from __future__ import annotations

import codecs
import fnmatch
import gzip
import hashlib
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from cluster.errors import WrongUse, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 20
UTF8 = "utf-8"
_MAGIC = {  # first bytes -> what the file is
    b"PAR1": "a Parquet file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"SQLite format 3\x00": "a SQLite database",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
}


def found(folder: Path, name: str) -> list[str]:
    """Return the files that a name or glob means, in the order of their names; WrongUse if none."""
    outer, bang, member = name.partition("!")
    if not bang:
        return _on_disk(folder, name)
    several = []
    for archive in _on_disk(folder, outer):
        with _archive(folder / archive) as opened:
            inside = sorted(i.filename for i in opened.infolist() if not i.is_dir())
        chosen = [m for m in inside if fnmatch.fnmatchcase(m, member)]
        if not chosen:
            hint = nearest(member, inside)
            raise WrongUse(f"'{archive}' must hold '{member}', got {len(inside)} others: {hint}")
        several += [f"{archive}!{m}" for m in chosen]
    return several


@contextmanager
def opened(folder: Path, name: str, encoding: str = UTF8) -> Iterator[IO[bytes]]:
    """Open a file as bytes: unpacked, and in UTF-8 whatever its encoding."""
    outer, _, member = name.partition("!")
    path = folder / outer
    if member:
        with _archive(path) as archive, archive.open(member) as stream:
            if not member.endswith(".gz"):
                yield _in_utf8(stream, encoding)
            else:
                with gzip.open(stream) as unpacked:
                    yield _in_utf8(unpacked, encoding)
    else:
        with gzip.open(path) if outer.endswith(".gz") else path.open("rb") as stream:
            yield _in_utf8(stream, encoding)


def read(stream: IO[bytes], count: int, name: str) -> bytes:
    """Read bytes; WrongUse where the archive or the compressed file is damaged."""
    try:
        return stream.read(count)
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise WrongUse(
            f"'{name}' must be whole, got a file that cannot be unpacked: copy it again"
        ) from error


def is_plain(name: str, encoding: str = UTF8) -> bool:
    """Can the file be entered in the middle?"""
    return "!" not in name and not name.endswith(".gz") and encoding == UTF8


def refuse_other(start: bytes, name: str, said: str) -> None:
    """Raise WrongUse where the first bytes of a file are those of something else than was said."""
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise WrongUse(f"'{name}' must be {said}, got {what}: correct its mapping or the file")


def sha256(folder: Path, name: str) -> str:
    """Return the SHA-256 of a file, or of the archive in which it lies."""
    digest = hashlib.sha256()
    with (folder / name.partition("!")[0]).open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def _on_disk(folder: Path, name: str) -> list[str]:
    paths = [folder / name]
    if any(mark in name for mark in "*?["):
        paths = sorted(folder.glob(name))
    several = [p.relative_to(folder).as_posix() for p in paths if p.is_file()]
    if not several:
        others = [p.name for p in folder.glob("*")] if folder.is_dir() else []
        raise WrongUse(f"a mapped file must exist, got '{folder / name}': {nearest(name, others)}")
    return several


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise WrongUse(f"'{path.name}' must be a zip archive, got another: check it") from error
    with archive:
        yield archive


def _in_utf8(stream: Any, encoding: str) -> IO[bytes]:
    if encoding == UTF8:
        plain: IO[bytes] = stream
        return plain
    recoded: IO[bytes] = codecs.EncodedFile(stream, UTF8, encoding, errors="surrogateescape")
    return recoded
