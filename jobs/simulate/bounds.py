"""What a question may take, looked at again when its groups and units are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.errors import WrongUse, done
from serving.forecast import size
from serving.forecast.size import Sizes

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from jobs.simulate.put import Put
    from jobs.simulate.question import Question

CHUNK_BYTES = 128_000_000  # of one span of draws that is under way; one draw may take more


def look(workspace: Workspace, question: Question, there: Put, *, folded: bool) -> None:
    """WrongUse for outcomes that would not fit into memory."""
    most = workspace.settings.simulations.result_bytes
    found = size.refused(question.comparison, _sizes(there), most, folded=folded)
    if found is not None:
        done(found, WrongUse)


def draws(question: Question, there: Put, *, folded: bool) -> int:
    """Return of how many draws a span may be."""
    return size.draws_within(question.comparison, _sizes(there), CHUNK_BYTES, folded=folded)


def _sizes(there: Put) -> Sizes:
    return Sizes(
        groups=len(there.names.labels),
        stages=len(there.names.stages),
        units=there.asked.start.name.size,
    )
