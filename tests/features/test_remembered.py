"""Remembered pseudonyms are those of the vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from features.ingest.remembered import Remembered

if TYPE_CHECKING:
    from cluster.workspace import Workspace


def test_it_says_what_the_vault_says(workspace: Workspace) -> None:
    """Whether a value is new, known, null, or empties when it is normalised."""
    remembered = Remembered(workspace.vault)
    lots = (["a", None, "b", "a", " "], ["b", "c", None], [], ["c", " ", "a"])
    for lot in lots:
        values = pa.array(lot, pa.string())
        expected = workspace.vault.pseudonyms("test", values)
        assert remembered("test", values).to_pylist() == expected.to_pylist()
        encoded = values.dictionary_encode()
        assert remembered("test", encoded).to_pylist() == expected.to_pylist()


def test_namespaces_stay_apart(workspace: Workspace) -> None:
    """The same key in two sources is two persons."""
    remembered, values = Remembered(workspace.vault), pa.array(["7"])
    assert remembered("one", values)[0] != remembered("two", values)[0]
