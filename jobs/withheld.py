"""What a report withholds: reasons and events that tell values above its privacy class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cluster.access.privacy import Privacy
from serving.access.fields import opener, reason

if TYPE_CHECKING:
    from features.targets import Target


def told(scores: pd.DataFrame, target: Target, shows: Privacy) -> pd.DataFrame:
    """Return scores as they may be shown: in their column `reasons` what tells more is withheld."""
    opens = opener(target.made_by, shows)
    kept = [[reason(said, opens) for said in each] for each in scores["reasons"]]
    return scores.assign(reasons=pd.Series(kept, index=scores.index, dtype=object))


def shows_events(target: Target, shows: Privacy) -> bool:
    """May events behind a score be shown? They tell what the most private of its features do."""
    return shows.covers(Privacy(target.features.privacy))
