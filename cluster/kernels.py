"""Compiled kernels on disk: used only while every source they are made of stays the same.

numba compares the file of a function with that of its cached machine code, but not the files of the
functions and constants that were compiled into it. Here the state of a file is that of all sources
of the project that it may be made of. See locators.py for where numba asks for it.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "NUMBA_CACHE_LOCATOR_CLASSES"  # numba.readthedocs.io, developer/caching
LOCATORS = ",".join(f"cluster.locators.{name}" for name in ("Given", "InTree", "UserWide"))

_ON_TOP = re.compile(r"^from ([\w.]+) import (\([^)]*\)|[\w, ]+)", re.MULTILINE)
_ANYWHERE = re.compile(rf"^ *{_ON_TOP.pattern[1:]}", re.MULTILINE)
_NAME, _CONSTANT = re.compile(r"(\w+)(?: as \w+)?"), re.compile(r"[A-Z][A-Z0-9_]*")
_KERNEL = re.compile(r"^from numba import", re.MULTILINE)


def watch_sources() -> None:
    """Let numba ask `state` of a kernel, in this process and those it starts. Call it before
    kernels are imported.
    """
    os.environ.setdefault(VARIABLE, LOCATORS)
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()


@cache
def state(file: Path) -> str:
    """Return the digest of a source and of all that it is made of."""
    said = hashlib.sha256()
    for source in sorted(made_of(file)):
        said.update(hashlib.sha256(_text(source).encode()).digest())
    return said.hexdigest()


def made_of(file: Path) -> set[Path]:
    """Return a source, those of what it imports, and so on: rather one too many."""
    found, ahead = set[Path](), [file]
    while ahead:
        source = ahead.pop()
        if source not in found:
            found.add(source)
            ahead += _imported(source)
    return found


@cache
def _text(source: Path) -> str:
    return source.read_text(encoding="utf-8")


@cache
def _imported(source: Path) -> tuple[Path, ...]:
    """Return what a kernel imports, for types too: the order of their fields is compiled in. Of
    other sources only constants are, which may be made of those of others.
    """
    text = _text(source)
    is_kernel = bool(_KERNEL.search(text))
    found = (_ANYWHERE if is_kernel else _ON_TOP).finditer(text)
    return tuple(path for each in found for path in _files(each[1], each[2], is_kernel))


def _files(module: str, names: str, is_any: bool) -> Iterator[Path]:
    """Yield the modules that are named, and that of constants or of any name; nothing for a module
    of others.
    """
    place = ROOT.joinpath(*module.split("."))
    apart = {name: _source(place / name) for name in _NAME.findall(names)}
    yield from filter(None, apart.values())
    rest = [name for name, path in apart.items() if path is None]
    if (own := _source(place)) and any(is_any or _CONSTANT.fullmatch(name) for name in rest):
        yield own


def _source(place: Path) -> Path | None:
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)
