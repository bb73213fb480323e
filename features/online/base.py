"""The base of the online store: the log up to a snapshot, in files that are mapped into memory.

One Arrow file per bucket, every shard in one record batch of it; beside them two indexes, from
the fingerprint of a shard to its rows and from that of an entity to its shards. A manifest names
them all. The files are immutable, so any number of processes read the same pages.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from cluster import canonical
from cluster.blobs import BlobMissing, Blobs
from features import fingerprint, log

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        self._files = [_batches(blobs, name) for name in manifest.files]
        self._shards = _Index(blobs, manifest.shards)
        self._keys = _Index(blobs, manifest.keys)

    @classmethod
    def read(cls, blobs: Blobs, manifest: str) -> Self:
        """Open the base of a manifest; BlobMissing when a later base has replaced it."""
        return cls(Manifest.read(blobs, manifest), blobs)

    def events(self, shard: str) -> pa.Table:
        """Return the events of a shard: SCHEMA columns."""
        place = self.place(shard)
        if place is None:
            return log.SCHEMA.empty_table()
        stored = self._stored(place)
        columns = dict(zip(stored.schema.names, map(_plain, stored.columns), strict=True))
        columns["shard"] = pa.repeat(shard, stored.num_rows)
        return pa.Table.from_arrays([columns[name] for name in log.SCHEMA.names], schema=log.SCHEMA)

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
        place = self.place(shard)
        if place is None:
            return pa.array([], pa.binary(16))
        return self._stored(place).column("event_id")

    def versions(self, rows: KnownIds) -> Iterator[pa.Array]:
        """Yield the ids of all versions of rows of which an id is known."""
        for batches in self._files:
            for batch in batches:
                ids = batch.column("event_id")
                yield ids.filter(pa.array(rows.holds_row(log.halves(ids)[0])))

    def has_pairs(self, pairs: pa.Table) -> pa.Array:
        """Return which pairs of key and shard the base holds: (n,) bool."""
        given = zip(pairs["key"].to_pylist(), pairs["shard"].to_pylist(), strict=True)
        return pa.array([shard in self.shards(key) for key, shard in given], pa.bool_())

    def _stored(self, place: int) -> pa.RecordBatch:
        index = self._shards
        file, batch = index.numbers("file")[place], index.numbers("batch")[place]
        start, rows = index.numbers("start")[place], index.numbers("rows")[place]
        return self._files[file][batch].slice(int(start), int(rows))


class _Index:
    """Rows sorted by the fingerprint of a text, mapped into memory."""

    def __init__(self, blobs: Blobs, name: str) -> None:
        self._rows = _batches(blobs, name)[0]
        self._columns = {n: self._rows.column(n) for n in self._rows.schema.names}
        self._numbers: dict[str, np.ndarray] = {
            n: c.to_numpy() for n, c in self._columns.items() if pa.types.is_integer(c.type)
        }
        self._fingerprints = self._numbers["fingerprint"]

    def find(self, text: str, column: str) -> Iterator[int]:
        """Yield the rows whose `column` is the text."""
        wanted = fingerprint.of_cells(pa.array([text], pa.string()))[0]
        at = int(np.searchsorted(self._fingerprints, wanted))
        while at < len(self._fingerprints) and self._fingerprints[at] == wanted:
            if self._columns[column][at].as_py() == text:
                yield at
            at += 1

    def numbers(self, column: str) -> np.ndarray:
        """Return a column of integers."""
        return self._numbers[column]

    def text(self, column: str) -> pa.Array:
        """Return a column of texts."""
        return self._columns[column]


def _batches(blobs: Blobs, name: str) -> list[pa.RecordBatch]:
    path = blobs.path_of(name)
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except FileNotFoundError as error:
        raise BlobMissing(
            f"a blob must be there to be mapped, got no {name}: open again"
        ) from error
    return [reader.get_batch(i) for i in range(reader.num_record_batches)]


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
