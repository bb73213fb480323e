"""Permissions: everything that may be allowed, as a closed list. What is not granted is denied."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One thing to do, as noun:verb. Every route and every change by a job asks for one."""

    DECISIONS_MAKE = "decisions:make"
    DECISIONS_READ = "decisions:read"
    DECISIONS_REPLAY = "decisions:replay"
    DECISIONS_OVERRIDE = "decisions:override"
    EXPLANATIONS_READ = "explanations:read"
    EVENTS_WRITE = "events:write"
    ACCOUNTS_READ = "accounts:read"
    MODELS_READ = "models:read"
    POLICIES_READ = "policies:read"
    RELEASES_READ = "releases:read"
    INFERENCE_USE = "inference:use"
    METRICS_READ = "metrics:read"
    FORECASTS_RUN = "forecasts:run"
    FORECASTS_MANAGE = "forecasts:manage"
    REPORTS_READ = "reports:read"
    LINEAGE_READ = "lineage:read"
    REVIEWS_DECIDE = "reviews:decide"
    SOURCES_INGEST = "sources:ingest"
    MODELS_TRAIN = "models:train"
    SCHEMAS_CHANGE = "schemas:change"
    VIEWS_CHANGE = "views:change"
    TARGETS_CHANGE = "targets:change"
    POLICIES_CHANGE = "policies:change"
    ALIASES_CHANGE = "aliases:change"
    RELEASES_CHANGE = "releases:change"
    RELEASES_APPROVE = "releases:approve"
    KEYS_MANAGE = "keys:manage"
    SUBJECTS_ERASE = "subjects:erase"
    AUDIT_READ = "audit:read"
