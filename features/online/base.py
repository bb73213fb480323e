"""The base of the online store: the log up to a snapshot, in files that are mapped into memory.

One Arrow file per bucket, every shard in one record batch of it; beside them two indexes, from
the fingerprint of a shard to its rows and from that of an entity to its shards. A manifest names
them all. The files are immutable, so any number of processes read the same pages.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from numba import njit

from cluster import canonical
from cluster.blobs import BlobMissing, Blobs
from features import fingerprint, log
from features.online.stored import Batch, Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from features.known import KnownIds

REF = "online/base"
# the shard is that of the index, so a file need not repeat it
STORED = tuple(name for name in log.SCHEMA.names if name != "shard")
SHARDS = pa.schema(
    [
        ("fingerprint", pa.uint64()),  # sorted
        ("shard", pa.string()),
        ("file", pa.int32()),
        ("batch", pa.int32()),  # of the file
        ("start", pa.int64()),  # in the batch
        ("rows", pa.int64()),
    ]
)
KEYS = pa.schema(
    [
        ("fingerprint", pa.uint64()),  # sorted
        ("key", pa.string()),
        ("place", pa.int64()),  # in the index of shards
    ]
)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a base is made of; kept as a blob."""

    snapshot: int
    rows: int
    files: tuple[str, ...]
    shards: str
    keys: str

    @classmethod
    def read(cls, blobs: Blobs, name: str) -> Self:
        """Return the manifest of that name; BlobMissing when a later base has replaced it."""
        said = json.loads(blobs.get(name))
        return cls(**{**said, "files": tuple(said["files"])})

    def put(self, blobs: Blobs) -> str:
        """Keep it and return its name."""
        return blobs.put(canonical.dumps(asdict(self)))

    @property
    def blobs(self) -> set[str]:
        """Names of all that it refers to."""
        return {*self.files, self.shards, self.keys}


class Base:
    """An open base. Safe to share between threads; its files stay mapped while it lives."""

    def __init__(self, manifest: Manifest, blobs: Blobs) -> None:
        self.manifest = manifest
        self._files = [list(map(Batch, _batches(blobs, name))) for name in manifest.files]
        self._shards = _Index(blobs, manifest.shards)
        self._keys = _Index(blobs, manifest.keys)

    @classmethod
    def read(cls, blobs: Blobs, manifest: str) -> Self:
        """Open the base of a manifest; BlobMissing when a later base has replaced it."""
        return cls(Manifest.read(blobs, manifest), blobs)

    def part(self, shard: str) -> Stored | None:
        """Return the events of a shard; None if there are none."""
        place = self.place(shard)
        return None if place is None else self._stored(shard, place)

    def shards(self, key: str) -> list[str]:
        """Return the shards in which an entity, "kind:key", occurs."""
        names = self._shards.text("shard")
        places = self._keys.numbers("place")
        return [names[int(places[i])].as_py() for i in self._keys.find(key, "key")]

    def place(self, shard: str) -> int | None:
        """Return the place of a shard in the index; None if there is none."""
        return next(self._shards.find(shard, "shard"), None)

    def ids(self, shard: str) -> pa.Array:
        """Return the ids of the events of a shard."""
        part = self.part(shard)
        return part.ids() if part else pa.array([], pa.binary(16))

    def versions(self, rows: KnownIds) -> Iterator[pa.Array]:
        """Yield the ids of all versions of rows of which an id is known."""
        for batches in self._files:
            for batch in batches:
                ids = batch.rows.column("event_id")
                yield ids.filter(pa.array(rows.holds_row(log.halves(ids)[0])))

    @cached_property
    def newest(self) -> int | None:
        """When the newest event was known, in microseconds since 1970; None without events."""
        batches = [batch.rows for batches in self._files for batch in batches]
        known = [log.microseconds(rows.column("known_at")) for rows in batches if rows.num_rows]
        return max((int(times.max()) for times in known), default=None)

    def tables(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the events of whole shards, part by part: the columns, of log.SCHEMA."""
        index = {name: self._shards.numbers(name) for name in ("file", "batch", "start", "rows")}
        names = self._shards.text("shard")
        for file, batches in enumerate(self._files):
            for number, batch in enumerate(batches):
                here = np.flatnonzero((index["file"] == file) & (index["batch"] == number))
                here = here[np.argsort(index["start"][here])]
                shards = names.take(pa.array(np.repeat(here, index["rows"][here])))
                yield _named(batch.rows, shards).select(columns)

    def has_pairs(self, pairs: pa.Table) -> pa.Array:
        """Return which pairs of key and shard the base holds: (n,) bool."""
        given = zip(pairs["key"].to_pylist(), pairs["shard"].to_pylist(), strict=True)
        return pa.array([shard in self.shards(key) for key, shard in given], pa.bool_())

    def _stored(self, shard: str, place: int) -> Stored:
        index = self._shards
        file, batch = index.numbers("file")[place], index.numbers("batch")[place]
        start, count = index.numbers("start")[place], index.numbers("rows")[place]
        rows = self._files[file][batch]
        return Stored(batch=rows, shard=shard, start=int(start), count=int(count))


class _Index:
    """Rows sorted by the fingerprint of a text, mapped into memory."""

    def __init__(self, blobs: Blobs, name: str) -> None:
        rows = _batches(blobs, name)[0]
        self._columns = {name: rows.column(name) for name in rows.schema.names}
        self._numbers: dict[str, np.ndarray] = {
            n: c.to_numpy() for n, c in self._columns.items() if pa.types.is_integer(c.type)
        }
        self._bytes = {
            n: fingerprint.buffers(c) for n, c in self._columns.items() if n not in self._numbers
        }

    def find(self, text: str, column: str) -> Iterator[int]:
        """Yield the rows whose `column` is the text."""
        wanted = np.frombuffer(text.encode(), np.uint8)
        prints, mark = self._numbers["fingerprint"], _mark(wanted)
        at = int(prints.searchsorted(mark))
        while (at := _next(prints, mark, *self._bytes[column], wanted, at)) >= 0:
            yield at
            at += 1

    def numbers(self, column: str) -> np.ndarray:
        """Return a column of integers."""
        return self._numbers[column]

    def text(self, column: str) -> pa.Array:
        """Return a column of texts."""
        return self._columns[column]


def _named(rows: pa.RecordBatch, shards: pa.Array) -> pa.Table:
    """Return rows with their shards, texts plain."""
    columns = {
        name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
    }
    return pa.table({**columns, "shard": shards})


def _mark(text: np.ndarray) -> np.uint64:
    """Return the fingerprint of one text from its bytes, without Arrow: it takes longer."""
    return np.uint64(fingerprint.of_text(text, 0, len(text)))


@njit(cache=True)
def _next(
    prints: np.ndarray,
    mark: np.uint64,
    data: np.ndarray,
    offsets: np.ndarray,
    wanted: np.ndarray,
    at: int,
) -> int:
    """Return the first row from `at` on of the fingerprint and text; -1 if there is none."""
    while at < prints.size and prints[at] == mark:
        if np.array_equal(data[offsets[at] : offsets[at + 1]], wanted):
            return at
        at += 1
    return -1


def _batches(blobs: Blobs, name: str) -> list[pa.RecordBatch]:
    path = blobs.path_of(name)
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except FileNotFoundError as error:
        raise BlobMissing(
            f"a blob must be there to be mapped, got no {name}: open again"
        ) from error
    return [reader.get_batch(i) for i in range(reader.num_record_batches)]
