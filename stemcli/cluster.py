"""Join the Ray cluster that is named, or start one on this machine.

As everywhere in Ray the environment variable ``RAY_ADDRESS`` names it: ``host:port``, or ``auto``
on a machine of the cluster. Without it a cluster of this machine alone lives while it is needed.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import ray
from ray.exceptions import RayError

from model_zoo.errors import ClusterError

ADDRESS = "RAY_ADDRESS"
PATIENCE = 10.0
"""Seconds for a machine to answer; Ray itself asks on and on."""


@contextmanager
def joined(*, alone: bool = False) -> Iterator[None]:
    """Belong to a cluster for a while.

    Args:
        alone: start one on this machine, whatever RAY_ADDRESS names.

    Raises:
        ClusterError: the cluster that RAY_ADDRESS names cannot be joined.
    """
    # Ray reports how it is used to its makers unless this is 0.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield
        return
    address = "" if alone else os.environ.get(ADDRESS, "")
    if address:
        _require_answer(address)
    with _quiet():
        _init(address or "local")
        try:
            yield
        finally:
            ray.shutdown()


def _init(address: str) -> None:
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise ClusterError(
            f"The Ray cluster at {address} cannot be joined ({_first_line(error)}). Check "
            f"{ADDRESS}, that ray status works on this machine, and that Ray's version, "
            "RAY_AUTH_MODE and ~/.ray/auth_token are the same on all machines"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray prints about other machines out of the program's own output.

    A thread of its own prints it, and no setting of Ray stops that.
    """
    own = sys.stdout
    sys.stdout = cast(TextIO, _WithoutRay(own))
    try:
        yield
    finally:
        sys.stdout = own


class _WithoutRay:
    """A stream that does not hear the threads of Ray."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or pass over it."""
        is_of_ray = threading.current_thread().name.startswith("ray_")
        return len(text) if is_of_ray else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _require_answer(address: str) -> None:
    """Find out in a few seconds that nobody listens, or that this address is no use."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"{ADDRESS} is {address}, a door for programs outside of the cluster. Type the same on "
            f"one of its machines, with {ADDRESS}=auto"
        )
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"Nobody answers at {address} ({_first_line(error)}). Check {ADDRESS}, or start the "
            f"cluster there with: ray start --head --port {port}"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
