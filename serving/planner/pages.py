"""Pages of the planner: templates, what they are drawn with, and the headers that go with them.

Everything foreign is escaped, nothing is loaded but from here, and no page holds a script or a
style of its own (Content-Security-Policy).
"""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2

from cluster import canonical
from serving.access.sessions import PATH

if TYPE_CHECKING:
    from serving.wire.problems import Problem

_HERE = Path(__file__).parent
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        *("script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"),
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # a stricter one would take the Origin from our own forms
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()] + [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"hx-refresh", b"true"),  # a script that asks for a part loads all of the page: to sign in
]
STATIC_HEADERS = {
    "x-content-type-options": "nosniff",
    "cache-control": "public, max-age=31536000, immutable",
}  # by what is in them: another content has another address


class File(NamedTuple):
    """A file that pages are drawn with."""

    content: bytes
    kind: str
    version: str


@cache
def files() -> dict[str, File]:
    """Return the files that pages are drawn with, by name."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _KINDS:
            content = path.read_bytes()
            version = canonical.sha256_hex(content)[:12]
            found[path.name] = File(content, _KINDS[path.suffix], version)
    return found


def address(name: str) -> str:
    """Return where a file is; KeyError for one that is not there."""
    return f"{PATH}/static/{name}?v={files()[name].version}"


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(static=address, path=PATH)
    return made


def rendered(name: str, **said: Any) -> str:
    """Return a page, or a part of one."""
    return _environment().get_template(f"{name}.html").render(said)


def refusal(problem: Problem, said_path: str) -> str:
    """Return the page of a request that is refused: the form to sign in for who is not known."""
    if problem.status == HTTPStatus.UNAUTHORIZED:
        return rendered("sign_in", problem="", next=said_path, **NOBODY)
    return rendered("refused", problem=problem, **NOBODY)


NOBODY: dict[str, Any] = {"token": "", "in_session": False, "who": ""}
