"""Pages that jobs write: each one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent  # of what several pages share


def environment(folder: Path) -> Environment:
    """Return where templates are found, those of a folder first; what they are given is escaped,
    and must be all that they name.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write(path: Path, html: bytes) -> None:
    """Write a page: who reads it sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_bytes(html)
    draft.replace(path)
