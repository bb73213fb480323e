"""`python -m cluster ray ...`: Ray's own command line, guarded; `python -m cluster sockets`: what
listens, and what guards it (cluster/listening).

The token is made before Ray starts, every address is loopback, and `python` means this
environment's: `python -m cluster ray start --head`, `... ray job submit ...`, `... ray stop`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cluster.errors import WrongUse
from cluster.listening import check
from cluster.session import guard
from cluster.settings import load_settings

USAGE = "usage: python -m cluster ray <command of the ray command line>, or sockets [--json]"


def main(arguments: list[str], environ: dict[str, str]) -> None:
    """Become the `ray` of this environment, with the token and addresses set."""
    if arguments and arguments[0] == "sockets" and set(arguments[1:]) <= {"--json"}:
        sys.exit(_sockets(environ, as_json="--json" in arguments))
    if not arguments or arguments[0] != "ray":
        sys.exit(USAGE)
    folder = Path(sys.executable).parent
    environ["PATH"] = f"{folder}{os.pathsep}{environ.get('PATH', '')}"
    try:
        guard(load_settings(environ), environ)
    except WrongUse as error:
        sys.exit(f"error: {error}")
    os.execve(folder / "ray", arguments, environ)


def _sockets(environ: dict[str, str], *, as_json: bool) -> int | str:
    try:
        return check.main(load_settings(environ), as_json=as_json)
    except WrongUse as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    main(sys.argv[1:], dict(os.environ))
