"""Views over what lies in every bucket, such as campaigns and reps: each bucket is measured by
itself for the same rows, the whole numbers are merged, and the formulas come last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import WrongUse
from features.compute.face import evaluated, finished
from features.compute.folds import joined
from features.compute.inputs import Inputs
from features.compute.lowering import lowered
from features.compute.measures import Measure, Pairs

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from features.compute.inputs import Ints
    from features.compute.measures import Reduction
    from features.views.aggregates import Feature
    from features.views.language import View

ALIKE: dict[Reduction, Reduction] = {"distinct": "sum", "last": "most", "first": "least"}  # merged
OWN_BUCKET = ("account",)  # columns each of whose values has all its events in one bucket


def require_mergeable(view: View) -> None:
    """Raise WrongUse for a feature that cannot be made of the parts of buckets."""
    for feature in view.features:
        if not all(_is_mergeable(measure) for measure in lowered(feature).operands):
            raise WrongUse(
                f"a feature of {view.entity} must be a count, a sum, a mean, an extreme, a time"
                f" since, or distinct accounts, got {type(feature).__name__} '{feature.name}':"
                " its events lie in many buckets"
            )


def is_mergeable(view: View) -> bool:
    """Can a view be made of the parts of buckets?"""
    return all(_is_mergeable(m) for m in _measures(view.features))


def measured(view: View, events: pa.Table, spine: pa.Table) -> dict[Measure, Ints]:
    """Return the measures of one bucket's events for each row of a spine, in its order."""
    require_mergeable(view)
    own = evaluated(view, Inputs(events), spine)
    return {measure: own.column(measure) for measure in _measures(view.features)}


def merged(parts: Iterable[dict[Measure, Ints]]) -> dict[Measure, Ints]:
    """Return the measures of all buckets together."""
    total: dict[Measure, Ints] = {}
    for part in parts:
        for measure, values in part.items():
            how = ALIKE.get(measure.reduction, measure.reduction)
            total[measure] = joined(how, total[measure], values) if measure in total else values
    return total


def together(view: View, spine: pa.Table, parts: Iterable[dict[Measure, Ints]]) -> pa.Table:
    """Return the rows of a spine with the features of a view over all buckets."""
    measures = merged(parts)
    return finished(view, spine, measures.__getitem__)


def _measures(features: tuple[Feature, ...]) -> list[Measure]:
    return list(dict.fromkeys(m for feature in features for m in lowered(feature).operands))


def _is_mergeable(measure: Measure) -> bool:
    if measure.reduction == "distinct":
        return measure.value in OWN_BUCKET
    if isinstance(measure.of, Pairs) or measure.reduction == "decay":
        return False
    return measure.reduction in {"sum", "least", "most"} or measure.value == "time"
