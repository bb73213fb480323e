"""The application view: the course of a loan application so far, by stages and by work done."""

from __future__ import annotations

from features.views.aggregates import (
    Count,
    Distinct,
    FirstNumber,
    Gap,
    HoursSince,
    HoursSinceFirst,
    LastName,
    LastText,
)
from features.views.language import Events, View

STAGE, WORK = Events(kind="stage"), Events(kind="activity")
CREATED = Events(kind="opportunity", names=("created",))
STAGES = {  # the bank's names, and what they say
    "a_partlysubmitted": "partly submitted",
    "a_preaccepted": "pre-accepted",
    "a_accepted": "accepted for processing",
    "a_finalized": "finalised",
    "o_selected": "offer chosen",
    "o_created": "offer made",
    "o_sent": "offer sent",
    "o_sent_back": "offer returned",
    "o_accepted": "offer accepted",
    "o_cancelled": "offer cancelled",
    "o_declined": "offer declined",
}
TASKS = {
    "handle_lead": "handling the enquiry",
    "assess_fraud": "assessing fraud",
    "complete_application": "completing the application",
    "call_incomplete_file": "calling about an incomplete file",
    "call_after_offer": "calling after the offer",
    "validate_application": "validating the application",
    "change_contract": "changing the contract",
}
STEPS = {
    **{name: (Events(kind="stage", names=(name,)), words) for name, words in STAGES.items()},
    **{name: (Events(kind="activity", names=(name,)), words) for name, words in TASKS.items()},
}

VIEW = View(
    name="application_course",
    entity="opportunity",
    owner="lending-operations",
    description="Amount, age, stages passed and work done, each with its count and its time.",
    privacy="internal",
    features=(
        FirstNumber(name="amount", label="Amount asked for", events=CREATED),
        HoursSinceFirst(name="age", label="Hours since the application", events=CREATED),
        LastName(name="stage", label="Stage", events=STAGE),
        HoursSince(name="hours_in_stage", label="Hours in stage", events=STAGE),
        LastName(name="work", label="Latest work", events=WORK),
        LastText(name="step", label="Step of the latest work", events=WORK),
        HoursSince(name="hours_since_work", label="Hours since the latest work", events=WORK),
        Distinct(name="reps", label="Different people at work", events=WORK, column="rep"),
        Gap(name="mean_gap", label="Hours between pieces of work", events=WORK),
        Gap(
            name="longest_gap",
            label="Longest pause between pieces of work",
            events=WORK,
            statistic="max",
        ),
        *(
            Count(name=f"n_{name}", label=f"Times: {words}", events=events)
            for name, (events, words) in STEPS.items()
        ),
        *(
            HoursSinceFirst(name=f"hours_{name}", label=f"Hours since: {words}", events=events)
            for name, (events, words) in STEPS.items()
        ),
    ),
)
