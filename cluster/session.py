"""The Ray session: connected to once, guarded by a token, bound to loopback.

Ray reads its environment when it is imported, so `guard` comes first and `ray` is imported after
it.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

    from cluster.settings import Settings

LOOPBACK = "127.0.0.1"
QUIET = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else every worker would run uv
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}


def guard(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """Set what Ray must know before it is imported: token authentication and a quiet start."""
    for key, value in QUIET.items():
        environ.setdefault(key, value)
    if _on_this_machine(settings.ray.address or environ.get("RAY_ADDRESS")):
        # else Ray replaces 127.0.0.1 by the outer address of this machine
        environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in environ:
        return  # a submitted job: whoever started the cluster has set its token
    environ.setdefault("RAY_AUTH_MODE", "token")
    if not any(key in environ for key in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        environ["RAY_AUTH_TOKEN_PATH"] = str(token_file(settings.home))


def token_file(home: Path) -> Path:
    """Return the file that holds the cluster's token, made on first use; readable by its owner
    alone, also if it was made by another.
    """
    path = home / "ray" / "token"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        path.chmod(0o600)  # Ray writes one with whatever mode the user's mask leaves
        return path
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32))
    return path


def _on_this_machine(address: str | None) -> bool:
    return address in {None, "local"} or str(address).startswith((LOOPBACK, "localhost"))


def connect(settings: Settings) -> None:
    """Connect to Ray unless connected: to the address of the settings or of the job, else to a
    session of our own.
    """
    guard(settings, os.environ)
    import ray

    if ray.is_initialized():
        return
    address = settings.ray.address or os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        return
    ray.init(
        address="local",
        num_cpus=settings.ray.cpus,
        include_dashboard=settings.ray.dashboard,
        dashboard_host=LOOPBACK,
        object_store_memory=settings.ray.object_store_mb * 2**20,
        log_to_driver=False,
        logging_level=logging.WARNING,
        _node_ip_address=LOOPBACK,
    )


def quiet_data() -> None:
    """Keep Ray Data from drawing bars and telling plans: a job tells its own progress."""
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def is_connected() -> bool:
    """Is this process connected to Ray? Does not import Ray to find out."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def cores(settings: Settings) -> int:
    """Return how many tasks can run at once: of the session, else of this machine."""
    if is_connected():
        return max(1, int(sys.modules["ray"].cluster_resources().get("CPU", 1)))
    return settings.ray.cpus or len(os.sched_getaffinity(0))


def disconnect() -> None:
    """Leave the session, and end it if it is our own."""
    if is_connected():
        sys.modules["ray"].shutdown()
