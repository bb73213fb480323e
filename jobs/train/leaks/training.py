"""The search within a training: on the rows that are learnt from, never on those that judge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import FunnelcastError
from jobs.train.leaks.searching import search

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.train.fit import Prepared
    from jobs.train.leaks.finding import Finding


class OnlyLeaks(FunnelcastError):
    """Every column of a training is a leak."""


def found_in(prepared: Prepared, seed: int) -> tuple[Finding, ...]:
    """Return what is found in the columns of a training, on one row of each entity."""
    rows = prepared.train
    return search(
        rows,
        prepared.data.label,
        [feature.name for feature in prepared.signature.features],
        rng=np.random.default_rng(seed),
        entities=rows["entity"],
        times=rows["time"],
    )


def left_out(prepared: Prepared, columns: Collection[str]) -> Prepared:
    """Return a training without some columns; OnlyLeaks if none remains."""
    features = prepared.signature.features
    kept = [n for n, feature in enumerate(features) if feature.name not in columns]
    if not kept:
        raise OnlyLeaks(
            f"a training must have a column that is no leak, got {len(features)} leaks: correct"
            " known_at in the mapping, or keep them with --leaks report"
        )
    aims, data = prepared.data.aims, prepared.data
    monotone = tuple(aims.monotone[n] for n in kept) if aims.monotone else ()
    return replace(
        prepared,
        signature=replace(prepared.signature, features=tuple(features[n] for n in kept)),
        data=replace(
            data,
            matrix=data.matrix[:, kept],
            types=tuple(data.types[n] for n in kept),
            aims=replace(aims, monotone=monotone if any(monotone) else ()),
        ),
    )
