"""Secret keys of 32 bytes: from a setting, from a file closed to others, or made when first needed.

No message of this module holds a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster import blobs, errors

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

KEY_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What a key is called, and the setting that may hold it."""

    name: str
    setting: str


def load(
    kind: Kind, given: SecretStr | None, file: Path | None, home: Path, *, may_make: bool
) -> bytes:
    """Return the key that is `given`, else the one in `file`, else the one in the file `home`.

    Makes the file `home` if nothing names a key and `may_make`; of several processes that do so at
    once all get the same key. WrongUse for a key that is malformed or missing, or a file that
    others may read.
    """
    if given is not None:
        return decoded(kind, given.get_secret_value(), where=f"the setting {kind.setting}")
    if file is not None:
        return _read(kind, file)
    if may_make and not home.exists():
        make(home)
    return _read(kind, home)


def decoded(kind: Kind, text: str, *, where: str) -> bytes:
    """Return the key that `text` spells in base64; WrongUse, without the text, if it is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise errors.WrongUse(
            f"a {kind.name} must be {KEY_BYTES} bytes in base64, got another text in {where}: "
            "make one with: head -c 32 /dev/urandom | base64"
        ) from None
    return key


def _read(kind: Kind, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1024)
    except OSError as error:
        raise errors.WrongUse(
            f"the file of the {kind.name} must be readable, got '{error.strerror}' at '{path}': "
            f"restore it, or set FUNNELCAST_{kind.setting.upper()}"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise errors.WrongUse(
            f"the file of the {kind.name} must be closed to others, got mode {mode:04o} at "
            f"'{path}': chmod 600 it"
        )
    return decoded(kind, text.decode("ascii", errors="replace"), where=f"'{path}'")


def make(path: Path) -> None:
    """Make a file with a new key, on disk and closed to others, unless there is one already."""
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123  opened by number
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link is refused where a file is already, and shows the file whole or not at all.
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    blobs.sync_folder(path.parent)
