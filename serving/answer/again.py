"""A decision made again twice over: by the path of requests, and by the engine of batches.

The first shows whether the record can be replayed; the second whether what was served is what batch
scoring gives of the same events: the skew between online and offline, counted where it happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from cluster.errors import Refusal
from features import compute, spine
from serving.answer import past
from serving.answer.record import Recorded
from serving.answer.replay import Replayed, replay
from serving.decide import decide
from serving.slots.past import slot_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from cluster.workspace import Workspace
    from features.contracts import Rules
    from features.online import OnlineStore
    from serving.slots.slot import Slot

COMPARED = ("margin", "points", "probability", "low", "high", "features")

type Verdict = Literal["equal", "differs", "gone"]


@dataclass(frozen=True, kw_only=True)
class Again:
    """What came of a decision made again."""

    replayed: Replayed
    skew: tuple[str, ...]  # what batch scoring gives otherwise; empty where it is not asked

    @property
    def verdict(self) -> Verdict:
        """In a word."""
        if self.replayed.gone:
            return "gone"
        return "equal" if self.replayed.is_equal and not self.skew else "differs"


def again(workspace: Workspace, store: OnlineStore, rules: Rules, body: Mapping[str, Any]) -> Again:
    """Make the decision of a record again, by both paths."""
    replayed = replay(workspace, store, rules, body)
    if replayed.gone or body["fallback"]:
        return Again(replayed=replayed, skew=())
    return Again(replayed=replayed, skew=skew(workspace, store, rules, body))


def skew(
    workspace: Workspace, store: OnlineStore, rules: Rules, body: Mapping[str, Any]
) -> tuple[str, ...]:
    """Return the fields of a record that the engine of batches makes otherwise of the events."""
    then = Recorded.read(body)
    found = slot_of(workspace, then.basis)
    history = past.history(store, rules, body)
    if isinstance(found, Refusal) or isinstance(history, Refusal):
        return ()
    rows = _rows(found.slot, then, history.table())
    if not rows.num_rows:
        return ("entity",)
    (made,) = decide(
        found.slot.model, found.slot.policy, rows, then.decided_at, basis=then.basis, reasons=False
    )
    told: dict[str, object] = {**vars(made), "features": dict(made.features)}
    told = {name: told[name] for name in COMPARED}
    return tuple(name for name, value in told.items() if value != body[name])


def _rows(slot: Slot, then: Recorded, events: pa.Table) -> pa.Table:
    """Return the feature row of the entity that was decided on, as batches compute it."""
    mine = spine.chosen(slot.target, events, [then.entity], then.time)
    return compute.compute(slot.program.view, events.select(compute.COLUMNS), mine)
