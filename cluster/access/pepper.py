"""The pepper of API keys: 32 bytes beside the database, without which no key can be checked.

It is FUNNELCAST_ACCESS_KEY (base64), the file that FUNNELCAST_ACCESS_KEY_FILE names, or the file
`access.key` in the home folder, closed to others, and made with the first key.
Another pepper ends every key at once. No message of this module holds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster import keyfiles

if TYPE_CHECKING:
    from cluster.settings import Settings

FILE = "access.key"

_KEY = keyfiles.Kind(name="access key", setting="access_key")


def load(settings: Settings, *, may_make: bool) -> bytes:
    """Return the pepper of `settings`: 32 bytes.

    Makes it if it is not there and `may_make`; of several processes that do so at once all get the
    same. WrongUse for one that is malformed or missing, or a file that others may read.
    """
    return keyfiles.load(
        _KEY, settings.access_key, settings.access_key_file, settings.home / FILE, may_make=may_make
    )
