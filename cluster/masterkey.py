"""The master key: 32 bytes that open every other key, from the settings or from a file.

`master_key` wins over `master_key_file`; without both it is the file `master.key` in the home
folder, which is made when it is first needed. No message of this module holds a key.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import blobs, envelope, errors

if TYPE_CHECKING:
    from cluster.settings import Settings

FILE = "master.key"
_MAKE = "make one with: head -c 32 /dev/urandom | base64"


def load(settings: Settings, *, may_make: bool) -> bytes:
    """Return the master key of `settings`: 32 bytes.

    Makes the file in the home folder if nothing names a key and `may_make`; of several processes
    that do so at once all get the same key. WrongUse for a key that is malformed or missing, or a
    file that others may read.
    """
    if settings.master_key is not None:
        return decoded(settings.master_key.get_secret_value(), where="the setting master_key")
    if settings.master_key_file is not None:
        return _read(settings.master_key_file)
    path = settings.home / FILE
    if may_make and not path.exists():
        _make(path)
    return _read(path)


def decoded(text: str, *, where: str) -> bytes:
    """Return the key that `text` spells in base64; WrongUse, without the text, if it is none."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != envelope.KEY_BYTES:
        raise errors.WrongUse(
            f"a master key must be {envelope.KEY_BYTES} bytes in base64, got another text in "
            f"{where}: {_MAKE}"
        ) from None
    return key


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(1024)
    except OSError as error:
        raise errors.WrongUse(
            f"the file of the master key must be readable, got '{error.strerror}' at '{path}': "
            "restore it, or set FUNNELCAST_MASTER_KEY"
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise errors.WrongUse(
            f"the file of the master key must be closed to others, got mode {mode:04o} at "
            f"'{path}': chmod 600 it"
        )
    return decoded(text.decode("ascii", errors="replace"), where=f"'{path}'")


def _make(path: Path) -> None:
    draft = path.with_name(f".{FILE}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(draft, flags, 0o600), "wb") as file:  # noqa: PTH123  opened by number
        file.write(base64.b64encode(os.urandom(envelope.KEY_BYTES)) + b"\n")
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
