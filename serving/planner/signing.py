"""Signing in with an API key, and out again."""

from __future__ import annotations

import os
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi.responses import Response

from cluster.access import apikeys
from cluster.access.principal import Principal, Unauthenticated, Unavailable
from serving.access import sessions
from serving.access.sessions import NONCE_BYTES, PATH
from serving.planner import pages
from serving.planner.desk import html, refused

if TYPE_CHECKING:
    from serving.planner.asked import Asked
    from serving.planner.desk import Desk

NO_KEYS = "Nobody signs in here: this service asks for no keys."


def entered(made: Desk, asked: Asked) -> Response:
    """Open a session for who shows a key that counts."""
    if (why := sessions.foreign(asked.scope)) is not None:
        return refused(why, HTTPStatus.BAD_REQUEST)
    texts = asked.texts
    text = next(iter(texts.get("key", ())), "").strip()
    place = next(iter(texts.get("next", ())), PATH)
    found = _holder(made, text)
    if not isinstance(found, Principal):
        again = pages.rendered("sign_in", problem=found, next=_own(place), **pages.NOBODY)
        return html(again, HTTPStatus.UNPROCESSABLE_ENTITY)
    key = apikeys.parse(text)
    assert not isinstance(key, Unauthenticated)
    now = made.workspace.clock()
    session = made.sessions.opened(key.id, now, os.urandom(NONCE_BYTES))
    kept = sessions.cookie(session, is_secure=sessions.is_secure(asked.scope))
    return Response(
        status_code=HTTPStatus.SEE_OTHER, headers={"location": _own(place), "set-cookie": kept}
    )


def left(made: Desk, asked: Asked) -> Response:
    """End the session, here and in the browser: a copy of the cookie counts no more."""
    if (why := sessions.foreign(asked.scope)) is not None:
        return refused(why, HTTPStatus.BAD_REQUEST)
    _end(made, sessions.sent(asked.scope))
    secure = sessions.is_secure(asked.scope)
    gone = sessions.cookie("", is_secure=secure, lasts=timedelta(0))
    head = {"location": f"{PATH}/sign-in", "set-cookie": gone}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=head)


def _end(made: Desk, session: str | None) -> None:
    end = None if session is None else made.sessions.end(session)
    out, now = made.credentials.signed_out, made.workspace.clock()
    if session is not None and end is not None and out is not None and now < end:
        out.add(session, end, now)


def _holder(made: Desk, text: str) -> Principal | str:
    """Return whose key a text is, or why it is nobody's."""
    keys = made.credentials.keys
    if keys is None or made.credentials.sessions is None:
        return NO_KEYS
    found = keys.authenticate(text, made.workspace.clock())
    if isinstance(found, Unauthenticated | Unavailable):
        return f"{found.rule}: {found.remedy}."
    return found


def _own(place: str) -> str:
    """Return a place of ours to go on at; the first page in place of any other."""
    is_ours = place == PATH or place.startswith((f"{PATH}/", f"{PATH}?"))
    is_plain = place.isascii() and place.isprintable() and not set(place) & {"\\", " "}
    return place if is_ours and is_plain and "//" not in place and ".." not in place else PATH
