"""The effect of outreach, from the log: inverse propensity weighting of a randomised contact.

Each lead's first lot counts (treated or control, with the logged probability p of treatment). From
the lot on the lead is followed for CONTACT_WEEKS, until it ends or until T. Weights are 1/p for
treated and 1/(1-p) for control leads, and the rate of an arm is the Hajek ratio  sum(w y) / sum(w
e)  of qualifications y to exposure e in weeks. The log of the ratio of rates has the variance of
its linearised influence, summed by account, because contacts of one account share their fate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.errors import Refusal
from serving.forecast.history import CONTACT_WEEKS
from serving.forecast.scenario import Effect, Grade
from serving.forecast.stages import WEEK_MICROSECONDS

if TYPE_CHECKING:
    import pandas as pd

    from serving.forecast.history import History

LEAST_QUALIFIED = 10  # per arm: below it the normal approximation of a log rate is poor
PPM = 1_000_000
Z90 = 1.6448536269514722


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A hazard ratio with its standard error on the log scale."""

    hazard_ratio: float
    log_sd: float
    leads: tuple[int, int]  # treated, control
    qualified: tuple[int, int]

    @property
    def interval(self) -> tuple[float, float]:
        """The 90 % interval of the hazard ratio."""
        factor = float(np.exp(Z90 * self.log_sd))
        return self.hazard_ratio / factor, self.hazard_ratio * factor

    def as_effect(self) -> Effect:
        """Return the estimate as the effect of a lever."""
        return Effect(
            hazard_ratio=self.hazard_ratio,
            sd=self.log_sd,
            grade=Grade.RANDOMISED,
            lasts_weeks=CONTACT_WEEKS,
        )

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"hazard ratio {self.hazard_ratio:.2f}, 90 % interval {low:.2f} to {high:.2f}, from"
            f" {self.leads[0]} treated and {self.leads[1]} control leads"
        )


def estimate(past: History) -> Estimate | Refusal:
    """Estimate the hazard ratio of a contact; a Refusal when the log shows too little."""
    lots = _followed(past)
    treated = lots["is_treated"].to_numpy(bool)
    qualified = (int(lots["y"][treated].sum()), int(lots["y"][~treated].sum()))
    if min(qualified) < LEAST_QUALIFIED:
        return Refusal(
            rule=f"an estimate needs at least {LEAST_QUALIFIED} qualified leads in each arm",
            value=f"{qualified[0]} treated and {qualified[1]} control",
            remedy="randomise more outreach, or state the effect with grade 'assumption'",
        )
    (up, up_influence), (down, down_influence) = _arm(lots, treated), _arm(lots, ~treated)
    influence = up_influence - down_influence
    cluster = np.unique(lots["cluster"].to_numpy(object).astype(str), return_inverse=True)[1]
    by_cluster = np.bincount(cluster, influence)
    return Estimate(
        hazard_ratio=up / down,
        log_sd=float(np.sqrt((by_cluster**2).sum())),
        leads=(int(treated.sum()), int((~treated).sum())),
        qualified=qualified,
    )


def _arm(lots: pd.DataFrame, members: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the weighted rate of an arm and each lot's influence on its logarithm."""
    weight = np.where(members, lots["weight"], 0.0)
    events = weight * lots["y"].to_numpy(float)
    rate = float(events.sum() / (weight * lots["exposure"]).sum())
    residual = weight * (lots["y"] - rate * lots["exposure"])
    return rate, np.asarray(residual / events.sum(), float)


def _followed(past: History) -> pd.DataFrame:
    """Return one row per lead with a lot: is_treated, weight, exposure (weeks), y, cluster."""
    lots = past.events[past.events["kind"] == "intervention"].dropna(subset=["lead", "number"])
    lots = lots[lots["text"].isin(("treated", "control"))].drop_duplicates("lead")
    chance = lots["number"].astype(float) / PPM
    # a lot whose outcome was certain says nothing about the other arm
    lots = lots.assign(chance=chance)[(chance > 0.0) & (chance < 1.0)]
    lots = lots.merge(past.leads[["lead", "born", "died", "how"]], on="lead")
    lots = lots[lots["died"] > lots["time"]]
    until = np.minimum(lots["time"] + CONTACT_WEEKS * WEEK_MICROSECONDS, past.at)
    is_treated = lots["text"] == "treated"
    return lots.assign(
        is_treated=is_treated,
        weight=1.0 / lots["chance"].where(is_treated, 1.0 - lots["chance"]),
        exposure=(np.minimum(lots["died"], until) - lots["time"]) / WEEK_MICROSECONDS,
        y=(lots["how"] == "qualified") & (lots["died"] <= until),
        cluster=lots["account"].where(lots["account"].notna(), lots["lead"]),
    )
