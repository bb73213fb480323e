"""What is finished of a simulation that is under way, so that one that was stopped goes on.

Every span of draws is put on record when it is done, its arrays as a blob; when the answer is kept,
the record and the blobs go.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cluster.errors import FunnelcastError
from cluster.parts import Part, Parts
from serving.forecast.folded import Folded
from serving.forecast.given import Outcome

if TYPE_CHECKING:
    from cluster.workspace import Workspace

type Outcomes = tuple[Outcome | Folded, ...]  # one of each arm


class Finished:
    """The spans of one simulation that are done; `work` names all that they depend on."""

    def __init__(self, workspace: Workspace, work: str) -> None:
        self._workspace = workspace
        self._work = f"simulate/{work}"
        self._parts = Parts(workspace.database)

    def there(self) -> dict[int, Outcomes]:
        """Return the spans on record, by number; one whose blob is lost is none."""
        found = {}
        for part in self._parts.resume(self._work, self._workspace.clock()):
            try:
                data = self._workspace.blobs.get(part.said["blob"])
            except FunnelcastError:
                self._parts.drop(self._work, {part.number})
            else:
                found[part.number] = unpacked(data)
        return found

    def add(self, number: int, outcomes: Outcomes) -> None:
        """Put a span on record."""
        blob = self._workspace.blobs.put(packed(outcomes))
        part = Part(number=number, said={"blob": blob})
        self._parts.keep(self._work, part, self._workspace.clock())

    def drop(self) -> None:
        """Take all off the record: the answer is kept."""
        parts = self._parts.resume(self._work, self._workspace.clock())
        self._parts.drop(self._work)
        for part in parts:
            self._workspace.blobs.delete(part.said["blob"])


def packed(outcomes: Outcomes) -> bytes:
    """Return the arrays of all arms as bytes."""
    sink = pa.BufferOutputStream()
    arrays = {
        f"{arm}.{name}": array
        for arm, outcome in enumerate(outcomes)
        for name, array in outcome._asdict().items()
    }
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        plain = io.BytesIO()
        np.savez(plain, allow_pickle=False, **arrays)
        stream.write(plain.getbuffer())
    return bytes(sink.getvalue())


def unpacked(data: bytes) -> Outcomes:
    """Return what `packed` took: outcomes, or folded ones."""
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        plain = io.BytesIO(stream.read())
    with np.load(plain, allow_pickle=False) as arrays:
        kind = Folded if f"0.{Folded._fields[-1]}" in arrays else Outcome
        arms = len(arrays.files) // len(kind._fields)
        return tuple(
            kind(*(arrays[f"{arm}.{name}"] for name in kind._fields)) for arm in range(arms)
        )
