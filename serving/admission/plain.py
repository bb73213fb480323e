"""Canonical JSON within bounds, read without believing it: no depth or number harms the reader."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from cluster import canonical
from serving.admission import broken
from serving.admission.broken import refuse

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 24
MAX_VALUES = 500_000
WHAT = "the manifest"
# a text that never ends is one match too, so that the search is linear whatever the bytes
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_STEP = np.zeros(256, np.int64)
_STEP[list(b"[{")], _STEP[list(b"]}")] = 1, -1


def read(data: bytes) -> dict[str, Any]:
    """Return the JSON object in these bytes; BundleBroken unless they are its canonical spelling.

    Canonical spelling leaves no room for keys given twice, NaN, blanks or bytes after the end.
    """
    broken.must_be_within(len(data), MAX_BYTES, WHAT)
    broken.must_not_be_pickle(data, WHAT)
    _must_be_shallow(data)
    try:
        document = json.loads(data)
        _must_be_canonical(document, data)
    except (ValueError, RecursionError) as error:
        refuse(f"{WHAT} must be JSON", " ".join(str(error).split()))
    return dict(document)


def _must_be_canonical(document: object, data: bytes) -> None:
    if canonical.dumps(document) != data:
        refuse(f"{WHAT} must be canonical JSON", "another spelling, or a key given twice")


def _must_be_shallow(data: bytes) -> None:
    bare = _TEXT.sub(b"", data)
    values = bare.count(b",") + bare.count(b":")
    if values > MAX_VALUES:
        refuse(f"{WHAT} must hold {MAX_VALUES:,} values at most", f"{values:,}")
    depth = int(np.cumsum(_STEP[np.frombuffer(bare, np.uint8)]).max())
    if depth > MAX_DEPTH:
        refuse(f"{WHAT} must be nested {MAX_DEPTH} deep at most", depth)
