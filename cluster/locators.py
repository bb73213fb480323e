"""Where numba keeps compiled kernels, as ever, with the state of all their sources. See kernels.py.

numba imports these classes by name.
"""

from __future__ import annotations

from pathlib import Path

from numba.core import caching

from cluster import kernels


class _OfAllSources:
    """The state of a kernel's sources, in place of that of its own file."""

    _py_file: str

    def get_source_stamp(self) -> str:
        """Return what cached code is compared by."""
        return kernels.state(Path(self._py_file).resolve())


class Given(_OfAllSources, caching.UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR."""


class InTree(_OfAllSources, caching.InTreeCacheLocator):
    """Beside the source."""


class UserWide(_OfAllSources, caching.UserWideCacheLocator):
    """In the user's folder for caches."""
