"""The tables of the database, in types that mean the same on SQLite and PostgreSQL.

Times are UTC as whole microseconds since 1970 in a bigint; `micros` and `moment` convert.
A change here needs a new revision in `cluster/migrations/versions` and its name in `REVISION`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from cluster import errors

REVISION = "0010"  # the newest revision; a test compares it with the folder of revisions
NAME_LIMIT = 200  # characters; PostgreSQL refuses index entries of more than 2,704 bytes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

METADATA = sa.MetaData()

refs = sa.Table(
    "refs",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("moved_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

ref_moves = sa.Table(
    "ref_moves",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("moved_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

journal = sa.Table(
    "journal",
    METADATA,
    sa.Column("writer", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),  # canonical JSON
    sa.Column("prev_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("journal_by_time", "at", "writer", "seq"),
    sa.Index("journal_by_kind", "kind", "at", "writer", "seq"),
)

runs = sa.Table(
    "runs",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("job", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text, nullable=False),  # canonical JSON
    sa.Column("report", sa.Text, nullable=True),  # canonical JSON
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("finished_at", sa.BigInteger, nullable=True),
)

online_events = sa.Table(
    "online_events",
    METADATA,
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("shard", sa.Text, nullable=False, index=True),
    sa.Column("known_at", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # opaque here; packed by its owner
)

online_keys = sa.Table(
    "online_keys",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("shard", sa.Text, primary_key=True),
)

arrivals = sa.Table(
    "arrivals",
    METADATA,
    sa.Column("event_id", sa.Text, primary_key=True),  # of online_events, not yet in the log
    sa.Column("arrived_at", sa.BigInteger, nullable=False),
)

refused_arrivals = sa.Table(
    "refused_arrivals",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("arrived_at", sa.BigInteger, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),  # opaque here; packed by its owner
)

consents = sa.Table(
    "consents",
    METADATA,
    # numbers are given in the order of commits and never again
    sa.Column(
        "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True,
        autoincrement=True,
    ),
    sa.Column("event_id", sa.Text, nullable=False, index=True),  # not yet in the log
    sa.Column("said", sa.Text, nullable=False),  # canonical JSON of its owner
    sqlite_autoincrement=True,
)  # fmt: skip

parts = sa.Table(
    "parts",
    METADATA,
    sa.Column("work", sa.Text, primary_key=True),  # a hash of all that the parts depend on
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("files", sa.Text, nullable=False),  # canonical JSON: written, not yet committed
    sa.Column("said", sa.Text, nullable=False),  # canonical JSON of its owner
    sa.Column("at", sa.BigInteger, nullable=False),  # kept, or taken up again
)

vault_keys = sa.Table(
    "vault_keys",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("wrapped_key", sa.LargeBinary, nullable=False),  # by the master key
)

subjects = sa.Table(
    "subjects",
    METADATA,
    sa.Column("subject", sa.Text, primary_key=True),  # a pseudonym
    sa.Column("wrapped_key", sa.LargeBinary, nullable=True),  # by the master key; null: destroyed
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("destroyed_at", sa.BigInteger, nullable=True),
)

identities = sa.Table(
    "identities",
    METADATA,
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),  # keyed by the subject's key
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sqlite_with_rowid=False,  # the key is most of the row: kept once
)

access_keys = sa.Table(
    "access_keys",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),  # of the key, under the pepper
    sa.Column("name", sa.Text, nullable=False),  # who holds it
    sa.Column("roles", sa.Text, nullable=False),  # canonical JSON: a list, as the next three
    sa.Column("scopes", sa.Text, nullable=True),  # null: all that the roles may do
    sa.Column("regions", sa.Text, nullable=True),  # null: every row
    sa.Column("teams", sa.Text, nullable=True),  # null: every row
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=True),
    sa.Column("rotated_from", sa.Text, nullable=True),  # id of the key before
    sa.Column("rotated_to", sa.Text, nullable=True),  # id of the key after
    sa.Column("change", sa.BigInteger, nullable=False),  # number of the change that wrote the row
    sa.Index("access_keys_by_change", "change", unique=True),
)


def micros(instant: datetime) -> int:
    """Return `instant` as microseconds since 1970 UTC; WrongUse if it has no time zone."""
    if instant.tzinfo is None:
        raise errors.WrongUse(
            f"a time must have a time zone, got {instant.isoformat()}: pass a datetime in UTC"
        )
    return (instant - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """Return the UTC datetime of `value` microseconds since 1970."""
    return _EPOCH + value * _MICROSECOND


def checked_name(what: str, value: str) -> str:
    """Return `value` if both databases can hold and index it as a name, else raise WrongUse."""
    if 0 < len(value) <= NAME_LIMIT and value.isprintable():
        return value
    shown = f"{value[:40]!r} of {len(value)}"
    raise errors.WrongUse(
        f"{what} must be 1 to {NAME_LIMIT} printable characters, got {shown}: choose another"
    )


looks = sa.Table(
    "looks",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),  # of what is judged
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("positions", sa.Text, nullable=False),  # canonical JSON: last seq by writer
    sa.Column("at", sa.BigInteger, nullable=False),
)

leases = sa.Table(
    "leases",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
)

replicas = sa.Table(
    "replicas",
    METADATA,
    sa.Column("replica", sa.Text, primary_key=True),
    sa.Column("epochs", sa.Text, nullable=False),  # canonical JSON: of each ref that it follows
    sa.Column("refused", sa.Text, nullable=False),  # canonical JSON: why, by ref
    sa.Column("at", sa.BigInteger, nullable=False),  # last sign of life
)

simulations = sa.Table(
    "simulations",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),  # a hash of all that it depends on
    sa.Column("asked", sa.Text, nullable=False),  # canonical JSON: the request
    sa.Column("pinned", sa.Text, nullable=False),  # canonical JSON: of what it rests on, which
    sa.Column("asked_by", sa.Text, nullable=False),  # who was the first
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("status", sa.Text, nullable=False, index=True),
    sa.Column("attempt", sa.BigInteger, nullable=False),  # from 1; what others say is not believed
    sa.Column("progress", sa.Text, nullable=True),  # canonical JSON
    sa.Column("why", sa.Text, nullable=True),
    sa.Column("result", sa.Text, nullable=True),  # digest of a blob
    sa.Column("heard_at", sa.BigInteger, nullable=False),  # last sign of life
    sa.Column("finished_at", sa.BigInteger, nullable=True),
    sa.Column("shared_at", sa.BigInteger, nullable=True),
    sa.Column("began_at", sa.BigInteger, nullable=True),  # first word of the job of this attempt
)

simulation_asks = sa.Table(
    "simulation_asks",
    METADATA,
    sa.Column("simulation", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("started", sa.Boolean, nullable=False),  # did it start a job?
    sa.Index("simulation_asks_by_owner", "owner", "at"),
)

simulation_spares = sa.Table(
    "simulation_spares",
    METADATA,
    sa.Column("job", sa.Text, primary_key=True),  # what waits for a run, as the cluster calls it
    sa.Column("code", sa.Text, nullable=True),  # its version, when it is ready
    sa.Column("at", sa.BigInteger, nullable=False),  # when it was asked for
    sa.Column("run", sa.Text, nullable=True, index=True),  # which it was given
)

sign_outs = sa.Table(
    "sign_outs",
    METADATA,
    sa.Column("session", sa.Text, primary_key=True),  # a hash of it
    sa.Column("until", sa.BigInteger, nullable=False),  # when it would have ended
)
