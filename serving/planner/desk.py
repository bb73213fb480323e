"""What the planner's page answers: pages of the form, of a simulation, and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from fastapi.responses import Response
from starlette.datastructures import MutableHeaders

from cluster.errors import FunnelcastError, Refusal
from serving.access.sessions import PATH, Sessions
from serving.forecast.comparison import MOST_SCENARIOS
from serving.planner import documents, form, pages, placing, results, sheet, view
from serving.planner.company import Company, presets
from serving.planner.drafts import Drafts, NotKept
from serving.planner.sheet import Sheet, one
from serving.simulations.words import NoSimulation
from serving.wire.problems import Problem

if TYPE_CHECKING:
    from cluster.workspace import Workspace
    from serving.access.credentials import Credentials
    from serving.planner.asked import Asked
    from serving.simulations.service import Simulations
    from serving.wire.simulations import SimulationOut


@dataclass(frozen=True, kw_only=True)
class Desk:
    """All that answers are made with. Safe to share between threads."""

    workspace: Workspace
    credentials: Credentials
    sessions: Sessions
    simulations: Simulations
    company: Company
    drafts: Drafts

    @classmethod
    def over(cls, workspace: Workspace, credentials: Credentials, simulations: Simulations) -> Self:
        """Return the desk of a workspace."""
        return cls(
            workspace=workspace,
            credentials=credentials,
            sessions=credentials.sessions or Sessions(secret=os.urandom(32)),
            simulations=simulations,
            company=Company(workspace),
            drafts=Drafts(workspace),
        )


def html(text: str, status: int = HTTPStatus.OK, **more: str) -> Response:
    """Return a page as an answer; `more` are headers."""
    head = {**pages.HEADERS, **{name.replace("_", "-"): value for name, value in more.items()}}
    return Response(text, status, head, "text/html; charset=utf-8")


def refused(why: Refusal | str, status: int) -> Response:
    """Return the page of what is refused."""
    problem = Problem.of(status, str(why))
    return html(pages.rendered("refused", problem=problem, **pages.NOBODY), status)


def _page(asked: Asked, name: str, status: int = HTTPStatus.OK, **said: Any) -> Response:
    about = {"token": asked.token, "in_session": asked.in_session, "who": asked.who.subject}
    return html(pages.rendered(name, **about, **said), status)


def _moved(asked: Asked, place: str) -> Response:
    """Send the browser on; a script is told in a header of its own."""
    if asked.is_part:
        return html("", HTTPStatus.OK, hx_redirect=place)
    head = MutableHeaders({"location": place, "cache-control": "no-store"})
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=head)


def home(made: Desk, asked: Asked, _: str) -> Response:
    """Show what a planner has asked and kept, and what there is to begin with."""
    return _page(
        asked,
        "home",
        simulations=[results.listed(each) for each in made.simulations.listed(asked.who)],
        drafts=made.drafts.listed(asked.who),
        presets=presets(),
    )


def new(made: Desk, asked: Asked, _: str) -> Response:
    """Show the form, with a preset or empty."""
    filled = sheet.empty()
    for each in presets():
        if each.name == asked.query.get("preset"):
            filled = documents.added(filled, each.scenario)
    if not filled.scenarios:
        filled = sheet.changed(filled, "add-scenario")
    return _form(made, asked, filled, {})


def draft(made: Desk, asked: Asked, id: str) -> Response:
    """Show the form of a draft."""
    found = made.drafts.read(asked.who, id)
    if isinstance(found, Refusal):
        return refused(found, HTTPStatus.NOT_FOUND)
    return _form(made, asked, found, {}, kept=id)


def again(made: Desk, asked: Asked, id: str) -> Response:
    """Show the form of a simulation, to change it."""
    request = made.simulations.asked(id, asked.who)
    if isinstance(request, NoSimulation):
        return refused(request, HTTPStatus.NOT_FOUND)
    try:
        return _form(made, asked, results.filled(request), {})
    except FunnelcastError as error:
        return refused(str(error), HTTPStatus.UNPROCESSABLE_ENTITY)


def edit(made: Desk, asked: Asked, _: str) -> Response:
    """Do what a button of the form says, and show the form again."""
    filled, do = sheet.parsed(asked.texts), one(asked.texts, "do")
    if do == "save":
        return _save(made, asked, filled)
    problems: form.Problems = {}
    if do == "check":
        found = form.read(filled)
        problems = found if isinstance(found, dict) else {}
    if do == "add":
        filled, problems = _added(made, asked, filled)
    else:
        filled = sheet.changed(filled, do)
    return _form(made, asked, filled, problems, focus=_focus(do, filled))


def run(made: Desk, asked: Asked, _: str) -> Response:
    """Put the question, or show what is wrong with it."""
    filled = sheet.parsed(asked.texts)
    request = form.read(filled)
    if isinstance(request, dict):
        return _form(made, asked, filled, request)
    try:
        found = made.simulations.submit(request, asked.who, made.workspace.clock())
    except FunnelcastError as error:
        return _form(made, asked, filled, {form.FORM: str(error)})
    if isinstance(found, Refusal):
        return _form(made, asked, filled, placing.placed(filled, found))
    note = "?before=yes" if found.unchanged else ""
    return _moved(asked, f"{PATH}/simulations/{found.id}{note}")


def drop(made: Desk, asked: Asked, id: str) -> Response:
    """Forget a draft."""
    made.drafts.drop(asked.who, id, made.workspace.clock())
    return _moved(asked, PATH)


def stop(made: Desk, asked: Asked, id: str) -> Response:
    """Stop a simulation."""
    found = made.simulations.cancel(id, asked.who)
    if isinstance(found, NoSimulation):
        return refused(found, HTTPStatus.NOT_FOUND)
    return _moved(asked, f"{PATH}/simulations/{id}")


def share(made: Desk, asked: Asked, id: str) -> Response:
    """Let others see a simulation who have its address."""
    found = made.simulations.share(id, asked.who)
    if isinstance(found, NoSimulation):
        return refused(found, HTTPStatus.NOT_FOUND)
    return _moved(asked, f"{PATH}/simulations/{id}?shared=yes#share")


def evidence(made: Desk, asked: Asked, id: str) -> Response:
    """Show what is measured of an action, as a part of the form or a page of its own."""
    funnel = asked.query.get("funnel", "sales")
    found = made.company.evidence(funnel, id)
    name = "evidence" if asked.is_part else "evidence_page"
    return _page(asked, name, evidence=found, action=id, funnel=funnel)


def simulation(made: Desk, asked: Asked, id: str) -> Response:
    """Show how far a simulation is, or what came out."""
    found = made.simulations.get(id, asked.who)
    if isinstance(found, NoSimulation):
        return refused(found, HTTPStatus.NOT_FOUND)
    if found.status != "done":
        return _page(asked, "under_way", one=results.listed(found))
    result = made.simulations.result(id, asked.who)
    if isinstance(result, Refusal):
        return refused(result, HTTPStatus.CONFLICT)
    notes = {name: asked.query.get(name) == "yes" for name in ("shared", "before")}
    return _page(asked, "result", one=results.listed(found), **notes, **results.shown(result))


def progress(made: Desk, asked: Asked, id: str) -> Response:
    """Show how far a simulation is; the script loads the whole page when it is over."""
    found = made.simulations.get(id, asked.who)
    if isinstance(found, NoSimulation):
        return refused(found, HTTPStatus.NOT_FOUND)
    if _is_over(found):
        return _moved(asked, f"{PATH}/simulations/{id}")
    return _page(asked, "progress", one=results.listed(found))


def _is_over(found: SimulationOut) -> bool:
    return found.status not in ("queued", "running")


def _save(made: Desk, asked: Asked, filled: Sheet) -> Response:
    kept = made.drafts.keep(asked.who, one(asked.texts, "save_as"), filled, made.workspace.clock())
    if isinstance(kept, NotKept):
        return _form(made, asked, filled, {"save_as": str(kept)})
    return _moved(asked, f"{PATH}/drafts/{kept}")


def _added(made: Desk, asked: Asked, filled: Sheet) -> tuple[Sheet, form.Problems]:
    """Add a scenario: an empty one, a preset, or all of a draft."""
    what, _, name = one(asked.texts, "add_what").partition(":")
    if len(filled.scenarios) >= MOST_SCENARIOS:
        return filled, {form.FORM: f"there must be at most {MOST_SCENARIOS} scenarios"}
    if what == "preset":
        found = next((each for each in presets() if each.name == name), None)
        return (documents.added(filled, found.scenario) if found else filled), {}
    if what == "draft":
        kept = made.drafts.read(asked.who, name)
        return (filled, {}) if isinstance(kept, Refusal) else (sheet.joined(filled, kept), {})
    return sheet.changed(filled, "add-scenario"), {}


def _focus(do: str, filled: Sheet) -> str:
    """Return where the keyboard goes on after a button."""
    word, *rest = do.split(":")
    if word in ("add", "add-scenario", "copy-scenario", "drop-scenario") and filled.scenarios:
        return f"f-s{len(filled.scenarios) - 1}-name"
    if word in ("add-desk", "drop-desk") and filled.desks:
        return f"f-d{len(filled.desks) - 1}-name"
    if word in ("add-lever", "drop-lever") and rest and rest[0].isdecimal():
        number = min(int(rest[0]), len(filled.scenarios) - 1)
        count = len(filled.scenarios[number].levers)
        return f"s{number}-l{count - 1}" if word == "add-lever" and count else f"f-s{number}-name"
    return "f-horizon" if word.startswith(("add", "drop")) else ""


def _form(
    made: Desk,
    asked: Asked,
    filled: Sheet,
    problems: form.Problems,
    *,
    focus: str = "",
    kept: str = "",
) -> Response:
    choices = made.company.choices(one(filled.top, "funnel") or "sales")
    shown = view.made(filled, problems, choices)
    said = {
        "view": shown,
        "choices": choices,
        "funnel": one(filled.top, "funnel"),
        "presets": presets(),
        "drafts": made.drafts.listed(asked.who),
        "focus": "problems" if problems else focus,
        "kept": kept,
        "save_as": one(asked.texts, "save_as") or kept.replace("_", " "),
        "save_problem": problems.get("save_as", ""),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if problems else HTTPStatus.OK
    return _page(asked, "form" if asked.is_part else "form_page", status, **said)
