"""The enquiry view: what a course provider knows of a lead when it comes in, by its web form."""

from __future__ import annotations

from features.views.aggregates import Count, LastNumber, LastText
from features.views.language import Events, View, Where


def _attribute(name: str) -> Events:
    return Events(kind="attribute", names=(name,))


def _refused(purpose: str) -> Events:
    return Events(
        kind="consent", names=("withdrawn",), where=(Where(column="text", one_of=(purpose,)),)
    )


VIEW = View(
    name="lead_enquiry",
    entity="lead",
    owner="marketing-operations",
    description="Source, answers in the form, behaviour on the website, and refused contact.",
    privacy="personal",
    features=(
        LastText(name="origin", label="How the lead came in", events=_attribute("origin")),
        LastText(name="source", label="Source", events=_attribute("source")),
        LastText(name="country", label="Country", events=_attribute("country")),
        LastText(name="city", label="City", events=_attribute("city")),
        LastText(name="specialization", label="Field of work", events=_attribute("specialization")),
        LastText(name="heard_from", label="Heard of us from", events=_attribute("heard_from")),
        LastText(name="occupation", label="Occupation", events=_attribute("occupation")),
        LastText(name="matters_most", label="What matters most", events=_attribute("matters_most")),
        LastText(
            name="wants_interview_guide",
            label="Wants the interview guide",
            events=_attribute("wants_interview_guide"),
        ),
        LastNumber(
            name="total_visits", label="Visits to the website", events=_attribute("total_visits")
        ),
        LastNumber(
            name="website_time",
            label="Seconds on the website",
            events=_attribute("website_time"),
        ),
        LastNumber(
            name="pages_per_visit_hundredths",
            label="Pages per visit, in hundredths",
            events=_attribute("pages_per_visit_hundredths"),
        ),
        Count(name="refused_mail", label="Refused mail", events=_refused("email_marketing")),
    ),
)
