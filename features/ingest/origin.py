"""Where rows came from: one small document per file that was read, kept under its own hash.

Every event names its document in the column `ingest` and its row in `source_row`; so the way back
from an event to file, row and contract needs no other table.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cluster import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.blobs import Blobs
    from features.sources.mapping import SourceMapping

ORIGIN = "funnelcast.ingest"  # property of a commit: the origin of its rows


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One file under one mapping and one set of contracts."""

    source: str
    file: str
    content: str  # sha256 of the file; of what stands in its place for a query or a request
    mapping: str  # blob of the source's mapping
    contracts: Mapping[str, str]  # kind -> blob of the contract's document

    def put(self, blobs: Blobs) -> str:
        """Keep the document and return its name, 64 hex digits."""
        return blobs.put(canonical.dumps(asdict(self)))


def read(blobs: Blobs, name: str) -> Origin:
    """Return the origin of that name; BlobMissing for one that was never put."""
    return Origin(**json.loads(blobs.get(name)))


def put_mapping(
    blobs: Blobs, mapping: SourceMapping, lookups: Mapping[str, str] | None = None
) -> str:
    """Keep a mapping, with the content of the files that it looks up; returns its name."""
    document = {"mapping": mapping.model_dump(mode="json"), "lookups": lookups or {}}
    return blobs.put(canonical.dumps(document))
