"""The master key: 32 bytes that open every other key, from the settings or from a file.

`master_key` wins over `master_key_file`; without both it is the file `master.key` in the home
folder, which is made when it is first needed. No message of this module holds a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import keyfiles

if TYPE_CHECKING:
    from cluster.settings import Settings

FILE = "master.key"

_KEY = keyfiles.Kind(name="master key", setting="master_key")


def load(settings: Settings, *, may_make: bool) -> bytes:
    """Return the master key of `settings`: 32 bytes.

    Makes the file in the home folder if nothing names a key and `may_make`; of several processes
    that do so at once all get the same key. WrongUse for a key that is malformed or missing, or a
    file that others may read.
    """
    given, file = settings.master_key, settings.master_key_file
    return keyfiles.load(_KEY, given, file, settings.home / FILE, may_make=may_make)
