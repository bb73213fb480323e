"""The meters: everything that is counted or measured, each declared here once. Pure.

Names and units follow the conventions of Prometheus: base units, `_total` for what only grows,
`_info` for what is constant. Alert rules and dashboards are checked against these values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "funnelcast_"
MOST_SERIES = 64  # of one meter; what comes later is counted under OTHER
OTHER = "other"
REPLICA = "replica"  # the label that each sample of a replica has beside its own

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
TENTHS = tuple(n / 10 for n in range(1, 11))

type Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One family of samples."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""  # of its values; empty for plain counts
    bounds: tuple[float, ...] = ()  # upper, of the buckets of a histogram
    by_replica: bool = True  # a job's are not

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{end}" for end in ("bucket", "sum", "count"))

    @property
    def every_label(self) -> frozenset[str]:
        """The labels that its samples may have."""
        more = {REPLICA} if self.by_replica else set()
        return frozenset({*self.labels, *more, *({"le"} if self.kind == "histogram" else ())})


def _counter(name: str, help: str, *labels: str, unit: str = "") -> Meter:
    return Meter(name=f"{PREFIX}{name}_total", kind="counter", help=help, labels=labels, unit=unit)


def _gauge(name: str, help: str, *labels: str, unit: str = "", by_replica: bool = True) -> Meter:
    return Meter(
        name=PREFIX + name, kind="gauge", help=help, labels=labels, unit=unit, by_replica=by_replica
    )


def _histogram(name: str, help: str, *labels: str, unit: str, bounds: tuple[float, ...]) -> Meter:
    full = f"{PREFIX}{name}_{unit}"
    return Meter(name=full, kind="histogram", help=help, labels=labels, unit=unit, bounds=bounds)


DECISIONS = _counter(
    "decisions", "Questions: model, fallback, replayed or refused.", "kind", "outcome"
)
FALLBACKS = _counter("fallbacks", "Decisions of the rules in place of a model.", "kind", "cause")
MIRRORED = _counter("mirrored", "Copies of decisions that nobody sees: made or dropped.", "outcome")
SHARE = _gauge("release_share", "Share of the accounts that a candidate answers.", "kind")
JUDGED_AWAY = _counter("judge_failures", "Looks of the judge of releases that came to nothing.")
REFUSALS = _counter("refusals", "Questions that were refused.", "reason")
ROUTES = _counter("routes", "Decisions by route.", "kind", "route")
SCORE = _histogram("score", "Scores of models.", "target", unit="ratio", bounds=TENTHS)
STAGE = _histogram(
    "decision_stage", "Time of a decision, by stage.", "stage", unit="seconds", bounds=SECONDS
)
DECISION = _histogram(
    "decision", "Time of a decision, from parsing on.", "outcome", unit="seconds", bounds=SECONDS
)
REQUESTS = _counter("http_requests", "Requests over HTTP.", "route", "status")
SHED = _counter("requests_shed", "Requests that the gate refused.")
AUTHENTICATIONS = _counter(
    "authentications", "Requests by what they brought and came of it.", "credential", "outcome"
)
EVENTS = _counter("events", "Events that were sent: accepted, duplicate or refused.", "status")
LINES = _counter("log_lines", "Log lines: written or dropped.", "outcome")
SPANS = _counter("spans", "Spans of traces: sent, failed or dropped.", "outcome")
LOOKS_FAILED = _counter("watcher_errors", "Looks at the refs of models that came to nothing.")

MODEL = _gauge(
    "model_info",
    "What answers for a kind; always 1.",
    *("kind", "target", "model", "calibrator", "policy", "view", "code"),
)
LOADED = _gauge(
    "model_loaded_timestamp_seconds", "When what answers was loaded.", "kind", unit="seconds"
)
MISSING = _gauge("models_missing", "Kinds for which nothing answers.")
REFUSED = _gauge("slots_refused", "Models and policies that refs name and are not taken.")
LAG = _gauge("slot_swap_lag_seconds", "From the last move of a ref to its swap.", unit="seconds")
BREAKER = _gauge("breaker_open", "1 while a model is not asked.", "kind")
QUEUE = _gauge("queue_waiting", "Decisions that wait for the lane.")
INSIDE = _gauge("requests_inside", "Requests that the gate let in.")
INSIDE_MOST = _gauge("requests_inside_limit", "As many may be inside.")
JOURNAL = _gauge("journal_waiting", "Records that wait for the journal.")
EVENT_AGE = _gauge(
    "feature_event_age_seconds", "Since the newest event that features see.", unit="seconds"
)
BASE_AGE = _gauge(
    "feature_base_age_seconds", "Since the base of the features was put in place.", unit="seconds"
)
CONSENT_LEADS = _gauge("consent_leads", "Leads that may not be scored.")
CONSENT_AGE = _gauge(
    "consent_age_seconds", "Since what persons forbid was last looked up.", unit="seconds"
)
READ = _gauge("readings_timestamp_seconds", "When these samples were taken.", unit="seconds")

SIMULATIONS_ASKED = _counter(
    "simulation_asks",
    "Simulations that were asked for: accepted, unchanged, wrong, too_many or no_jobs.",
    "outcome",
)
SIMULATIONS = _gauge("simulations", "Simulations on record.", "status")
SIMULATION_OLDEST = _gauge(
    "simulation_oldest_seconds",
    "Since the first of those under way was asked for; 0: none is.",
    unit="seconds",
)
SIMULATION_LAST = _gauge(
    "simulation_last_seconds",
    "How long the one that was done last waited, and ran.",
    "part",
    unit="seconds",
)

REPLAYED = _gauge(
    "replayed_decisions", "The last jobs.replay: equal, differs, gone.", "verdict", by_replica=False
)
REPLAYED_AT = _gauge(
    "replay_timestamp_seconds", "When jobs.replay last ended.", unit="seconds", by_replica=False
)

MEMORY = Meter(
    name="process_resident_memory_bytes", kind="gauge", help="Resident memory.", unit="bytes"
)
CPU = Meter(
    name="process_cpu_seconds_total", kind="counter", help="Processor time.", unit="seconds"
)
STARTED = Meter(
    name="process_start_time_seconds", kind="gauge", help="When it started.", unit="seconds"
)
FILES = Meter(name="process_open_fds", kind="gauge", help="Open file descriptors.")

METERS: dict[str, Meter] = {
    meter.name: meter for meter in list(globals().values()) if isinstance(meter, Meter)
}
