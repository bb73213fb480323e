"""The page of a release: one HTML file that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs import pages
from jobs.release import gather, pictures, tables
from serving.leading import followers
from serving.releases.release import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.drawing import Picture
    from jobs.release.gather import Dossier
    from serving.releases.release import Parts, Release
    from serving.slots.releases import Kept

BAD = (State.HELD, State.ROLLED_BACK, State.ABORTED)
SHORT = 12  # letters of an id
_FOLDER = Path(__file__).parent


def render(found: Dossier) -> str:
    """Return the page as HTML."""
    template = pages.environment(_FOLDER).get_template("page.html")
    return template.render(**_words(found), **_drawn(found))


def _words(found: Dossier) -> dict[str, Any]:
    release = found.release
    return {
        "release": release,
        "state": release.state.value.replace("_", " "),
        "as_of": f"{found.now:%Y-%m-%d %H:%M:%S}",
        "is_bad": release.state in BAD,
        "headline": _headline(found.newest),
        "facts": list(_facts(found)),
        "moves": [_move(*pair) for pair in zip((None, *found.moves), found.moves, strict=False)],
        "unread": found.unread,
        "findings": tables.findings(found.judged, release),
        "quiet": list(_quiet(found)),
        "silent": [each.guard for each in found.judged.findings if not each.events],
        "decision": _decision(found),
        "followers": followers.told(found.followers, None),
    }


def _quiet(found: Dossier) -> Iterator[str]:
    """Yield the guards that saw something, and nothing against the candidate."""
    for each in found.judged.findings:
        if each.events and not gather.is_against(each):
            yield f"{each.guard} ({each.events:,} events)"


def _drawn(found: Dossier) -> dict[str, Any]:
    return {
        "weights": pictures.weights(found.moves, found.until),
        "evidence": [pictures.evidence(guard, curve) for guard, curve in gather.curves(found)],
        "arms": list(_arms(found)),
    }


def _arms(found: Dossier) -> Iterator[Picture]:
    seen = found.evidence
    if seen.accounts or seen.in_step:
        yield pictures.accounts(seen.accounts, seen.in_step)
    for step in sorted(seen.scores):
        yield pictures.scores(step, seen.scores[step])


def _headline(kept: Kept) -> str:
    share = kept.release.places / 100
    place = f"step {kept.release.step + 1} of {len(kept.release.plan.steps)}"
    since = f"since {kept.since:%Y-%m-%d %H:%M:%S}, by {kept.actor}"
    if not kept.release.is_open:
        state = kept.release.state.value.replace("_", " ").capitalize()
        return f"{state} at {place}, {since}"
    return f"{share:g} % of the accounts are the candidate's, {place}, {since}"


def _facts(found: Dossier) -> Iterator[tuple[str, str]]:
    release, first = found.release, found.moves[0]
    yield "released", _changed(release.stable, release.candidate)
    yield "before", _named(release, release.stable)
    yield "candidate", _named(release, release.candidate)
    yield "plan", f"{release.plan.name}: {release.plan.summary}"
    yield "begun", f"{release.began:%Y-%m-%d %H:%M:%S} by {first.actor}: {first.reason}"
    if release.plan.pilot:
        yield "pilot", f"{release.plan.pilot.feature}: {', '.join(release.plan.pilot.values)}"
    if release.waived:
        yield "waived", ", ".join(release.waived)


def _changed(before: Parts, after: Parts) -> str:
    """Return what is new."""
    found = [name for name in ("model", "policy") if getattr(before, name) != getattr(after, name)]
    return "another " + " and another ".join(found or ["view"])


def _named(release: Release, parts: Parts) -> str:
    return f"model {parts.model[:SHORT]}, policy {release.policy} {parts.policy[:SHORT]}"


def _move(before: Kept | None, kept: Kept) -> dict[str, Any]:
    release = kept.release
    share = f"{release.places / 100:g} % of the accounts"
    return {
        "what": f"{_what(before, kept)}: {share}",
        "since": f"{kept.since:%Y-%m-%d %H:%M:%S}",
        "by": kept.actor,
        "why": release.why,
        "is_bad": release.state in BAD,
    }


def _what(before: Kept | None, kept: Kept) -> str:
    """Return what a move did."""
    state, step = kept.release.state, f"step {kept.release.step + 1}"
    if before is None:
        return f"begun at {step}"
    if state != State.RUNNING:
        return f"{state.value.replace('_', ' ')} at {step}"
    is_next = kept.release.step != before.release.step
    return f"on to {step}" if is_next else f"resumed at {step}"


def _decision(found: Dossier) -> str:
    """Return what was decided, or what would be now."""
    release = found.release
    if not release.is_open:
        by = found.newest.actor
        look = "by its evidence" if found.ruling else "by hand"
        return f"It was {release.state.value.replace('_', ' ')} by {by}, {look}: {release.why}"
    verdict = found.judged.verdict
    return f"It is not over. The judge says {verdict.action}: {verdict.why}"
