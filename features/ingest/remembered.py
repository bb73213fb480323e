"""Pseudonyms that were made once are remembered: keyed hashing is slow, and persons return."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from cluster.vault import Vault

MOST = 2_000_000  # values remembered of a namespace; then it starts anew


class Remembered:
    """The pseudonyms of a vault, with a memory. Safe to share between threads."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._lock = Lock()
        self._seen: dict[str, pa.Table] = {}  # by namespace: value, name

    def __call__(self, namespace: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
        """Return the pseudonym of each value, null for null: as `Vault.pseudonyms` does."""
        whole = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
        names = self._names(namespace, encoded.dictionary.cast(pa.string()))
        return names.take(encoded.indices)

    def _names(self, namespace: str, distinct: pa.Array) -> pa.Array:
        seen = self._seen.get(namespace, _NOTHING)
        at = pc.index_in(distinct, value_set=seen["value"].combine_chunks())
        new = distinct.filter(pc.is_null(at))
        made = self._vault.pseudonyms(namespace, new)
        self._keep(namespace, pa.table({"value": new, "name": made}, schema=_NOTHING.schema))
        names = seen["name"].combine_chunks().take(at)
        return names if not len(new) else pc.replace_with_mask(names, pc.is_null(at), made)

    def _keep(self, namespace: str, made: pa.Table) -> None:
        if not made.num_rows:
            return
        with self._lock:
            seen = self._seen.get(namespace, _NOTHING)
            seen = _NOTHING if seen.num_rows > MOST else seen
            self._seen[namespace] = pa.concat_tables([seen, made]).combine_chunks()


_NOTHING = pa.table({"value": pa.array([], pa.string()), "name": pa.array([], pa.string())})
