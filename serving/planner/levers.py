"""The fields of each kind of lever, in the words of a planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.planner import plain
from serving.planner.fields import TICKS, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

LABELS: Mapping[str, str] = {
    "outreach": "Follow-ups",
    "price": "Price",
    "campaign": "Campaign budget",
    "reps": "Reps",
    "queue": "Who is contacted first",
}
WHAT: Mapping[str, str] = {
    "outreach": "Contact leads or deals, by reps as their hours allow, or by a system at once.",
    "price": "Offer a discount, or ask for more.",
    "campaign": "Spend more or less on what brings new leads.",
    "reps": "Have more reps at a desk, or fewer.",
    "queue": "Let a desk contact those who wait in another order.",
}
BY, ESTIMATED, STATED = "by", "estimated", "stated"
OFTEN = "often"

_NAME = Field(name="name", label="Call it", hint="Empty: its kind.", more=True)
_WHEN = (
    Field(name="first_step", label="From {step}", codec=plain.WEEK, initial="1"),
    Field(name="last_step", label="Until {step}", codec=plain.WEEK, hint="Empty: to the end."),
)
_SEGMENTS = Field(
    name="segments", label="Segments", codec=TICKS, look="ticks", among="segments",
    hint="None ticked: all.",
)  # fmt: skip
_TEAMS = Field(
    name="teams", label="Teams", codec=TICKS, look="ticks", among="teams", hint="None ticked: all."
)
_WHO = (
    Field(name="stages", label="Stages", codec=TICKS, look="ticks", among="stages"),
    Field(name="stalled_steps", label="Only if there for at least", codec=plain.WHOLE,
          unit="{step}s", initial="0", hint="4 is: stalled for four {step}s."),
    _SEGMENTS,
    _TEAMS,
    Field(name="bands", label="Score bands", codec=plain.WHOLE, look="ticks", among="bands",
          hint="1 is the lowest. None ticked: all."),
    Field(name="audience", label="Whom", codec=plain.chosen(["open", "all"]), look="choice",
          options=(("all", "open now, and new ones"), ("open", "open now alone")),
          initial="all"),
    Field(name="routed.policy", label="Only whom a policy routes", more=True,
          hint="Its name, as lead_routing. Empty: all."),
    Field(name="routed.version", label="Version of it", codec=plain.WHOLE, more=True,
          hint="Empty: the active one."),
    Field(name="routed.routes", label="Routes", codec=plain.NAMES, more=True,
          hint="Those whom it sends there, as call, review."),
    Field(name="routed.target", label="Whose scores it routes", more=True,
          hint="As lead_qualification. Empty: those that it routed last."),
    Field(name="routed.at_least", label="Other thresholds", codec=plain.several(plain.threshold),
          more=True, hint="In place of the policy's, as call=0.4."),
)  # fmt: skip
_RATIOS = (
    Field(name="effect.ratio", label="Odds to go forward, times", codec=plain.NUMBER,
          hint="1 changes nothing, 1.3 is a third more. For an assumption."),
    Field(name="effect.sd", label="Give or take", codec=plain.PERCENT, unit="%", initial="10",
          hint="How sure you are: the truth is within twice that, mostly."),
    Field(name="effect.lost_ratio", label="Odds to be lost, times", codec=plain.NUMBER,
          initial="1", more=True),
    Field(name="effect.lost_sd", label="Give or take, of that", codec=plain.PERCENT, unit="%",
          initial="0", more=True),
    Field(name="effect.lasts", label="It is felt for", codec=plain.WHOLE, unit="{step}s",
          initial="4"),
)  # fmt: skip


def _effect(initial: str) -> tuple[Field, ...]:
    options = ((ESTIMATED, "as measured here"), (STATED, "my assumption"))
    by = Field(
        name="effect.by", label="What it does", look="choice", initial=initial, options=options
    )
    return (by, *_RATIOS)


FIELDS: Mapping[str, tuple[Field, ...]] = {
    "outreach": (
        *_WHO,
        Field(name=OFTEN, label="How many", look="choice", initial="more",
              options=(("more", "more than up to now"), ("rate", "a share of them, each {step}"))),
        Field(name="more", label="How much more", codec=plain.PERCENT, unit="%",
              hint="20 is a fifth more contacts than history made."),
        Field(name="rate", label="Share of them, each {step}", codec=plain.PERCENT, unit="%"),
        Field(name="by", label="Made by", codec=plain.chosen(["reps", "system"]), look="choice",
              options=(("reps", "reps, as their desk has hours"), ("system", "a system, at once")),
              initial="reps"),
        Field(name="cost_per_contact_cents", label="Cost of a contact", codec=plain.MONEY,
              initial="15"),
        *_effect(ESTIMATED),
        *_WHEN,
        Field(name="minutes_per_contact", label="A rep needs", codec=plain.NUMBER, unit="minutes",
              initial="30", more=True),
        Field(name="saturation", label="Wears off by", codec=plain.PERCENT, unit="%", initial="0",
              more=True, hint="Of the effect, for each contact that is still felt."),
        Field(name="unsubscribe", label="Want no more", codec=plain.PERCENT, unit="%", initial="0",
              more=True, hint="After one contact; more if several are felt."),
        Field(name="channel", label="Channel", more=True, hint="As phone, email."),
        Field(name="action", label="Measured action", initial="outreach", more=True,
              hint="Whose effect is taken if it was measured."),
        _NAME,
    ),
    "price": (
        *_WHO,
        Field(name="discount", label="Discount", codec=plain.PERCENT, unit="%",
              hint="10 is a tenth off. Below 0: a rise."),
        *_effect(STATED),  # prices were never drawn by lot here
        *_WHEN,
        _NAME,
    ),
    "campaign": (
        Field(name="stages", label="Arriving in", codec=TICKS, look="ticks", among="begins",
              hint="None ticked: all."),
        _SEGMENTS,
        _TEAMS,
        Field(name="budget", label="Budget, of what is spent now", codec=plain.PERCENT, unit="%",
              initial="120", hint="100 is as now, 150 half as much again, 0 nothing."),
        Field(name="spend_per_step_cents", label="Spent now, each {step}", codec=plain.MONEY,
              hint="Empty: as the data say."),
        Field(name="response.by", label="What it does", look="choice", initial=ESTIMATED,
              options=((ESTIMATED, "as the data say"), (STATED, "my assumption"))),
        Field(name="response.elasticity", label="Elasticity", codec=plain.NUMBER,
              hint="0.3: 1 % more budget brings 0.3 % more leads. For an assumption."),
        Field(name="response.sd", label="Give or take, of that", codec=plain.NUMBER, initial="0.1"),
        *_WHEN,
        _NAME,
    ),
    "reps": (
        Field(name="desk", label="At the desk", look="choice", among="desks"),
        Field(name="more", label="Reps more", codec=plain.WHOLE, initial="1",
              hint="Below 0: fewer."),
        Field(name="cost_per_rep_step_cents", label="A rep costs, each {step}", codec=plain.MONEY,
              initial="0"),
        *_WHEN,
        _NAME,
    ),
    "queue": (
        Field(name="desk", label="At the desk", look="choice", among="desks"),
        Field(name="queue", label="Contacts first",
              codec=plain.chosen(["fifo", "freshest", "priority"]), look="choice",
              options=(("fifo", "who has waited longest"), ("freshest", "who came last"),
                       ("priority", "the highest score")), initial="priority"),
        *_WHEN,
        _NAME,
    ),
}  # fmt: skip
