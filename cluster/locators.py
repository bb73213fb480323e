"""Where numba keeps compiled kernels, as ever, under names that hold the state of all their
sources. See kernels.py.

numba reads a list of what it has compiled before it compares any state, and types of ours that are
no more make that fail. Under another name an old list is never read; it is taken away.
numba imports these classes by name.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from numba.core import caching

from cluster import kernels

SHOWN = 12  # letters of a state in a name


class _OfAllSources:
    """The state of a kernel's sources, in place of that of its own file."""

    _py_file: str
    _lineno: int

    def get_source_stamp(self) -> str:
        """Return what cached code is compared by."""
        return kernels.state(Path(self._py_file).resolve())

    def get_disambiguator(self) -> str:
        """Return what tells functions of a file apart, and its states."""
        return f"{self._lineno}-{self.get_source_stamp()[:SHOWN]}"

    def get_cache_path(self) -> str:
        """Return the folder, without what was compiled of other states of the file."""
        folder = str(super().get_cache_path())  # type: ignore[misc]
        _without_old(Path(folder), Path(self._py_file).stem, self.get_source_stamp()[:SHOWN])
        return folder


@cache
def _without_old(folder: Path, module: str, state: str) -> None:
    """Remove what was compiled of other states of a module; whoever still runs one compiles
    again.
    """
    named = re.compile(rf"{re.escape(module)}\..*-\d+(-(?P<state>\w{{{SHOWN}}}))?\.py\d+\..*nb[ic]")
    for path in folder.glob(f"{module}.*.nb[ic]"):
        found = named.fullmatch(path.name)
        if found and found["state"] != state:
            path.unlink(missing_ok=True)


class Given(_OfAllSources, caching.UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR."""


class InTree(_OfAllSources, caching.InTreeCacheLocator):
    """Beside the source."""


class UserWide(_OfAllSources, caching.UserWideCacheLocator):
    """In the user's folder for caches."""
