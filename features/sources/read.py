"""Read any source: the one place that knows the formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster import canonical
from cluster.errors import WrongUse
from features.sources import exports, world

if TYPE_CHECKING:
    import pyarrow as pa

    from features.sources.mapping import SourceMapping


def candidates(mapping: SourceMapping, folder: str | None) -> pa.Table:
    """Return the candidate events (CANDIDATE columns) of a source."""
    if mapping.world is not None:
        return world.generate(mapping.world).events
    return exports.read(mapping, _folder(mapping, folder))


def fingerprint(mapping: SourceMapping, folder: str | None) -> str:
    """Return the identity of everything the source would read."""
    content = "" if mapping.world else exports.fingerprint(mapping, _folder(mapping, folder))
    return canonical.digest({"mapping": mapping.model_dump(mode="json"), "content": content})


def _folder(mapping: SourceMapping, folder: str | None) -> Path:
    if folder is None:
        raise WrongUse(f"source '{mapping.source}' reads files: say where with --path FOLDER")
    path = Path(folder).resolve()
    if not path.is_dir():
        raise WrongUse(f"--path must be a folder, got '{path}'")
    return path
