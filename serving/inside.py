"""What every replica does first: it keeps the port of Ray Serve inside."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def keep_inside(address: str) -> None:
    """Bind the port by which replicas of Serve call one another to `address`, that of Ray's node.

    Serve binds it to every interface, where anybody could send it pickled objects; there is no
    setting for it but TLS. A test looks at every socket of a running service.
    """
    replica: Any = import_module("ray.serve._private.replica")
    bind = replica.add_port_to_grpc_server
    replica.add_port_to_grpc_server = lambda server, asked: bind(
        server, asked.replace("[::]", address)
    )
