"""Join the Ray cluster that is named, or start one on this machine.

As everywhere in Ray the environment variable ``RAY_ADDRESS`` names it: ``host:port``, or ``auto``
on a machine of the cluster. Without it a cluster of this machine alone lives while it is needed;
nobody else can join it.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO, cast

import ray
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, first_line
from stemcli.cluster.door import ADDRESS, explain, require_cluster
from stemcli.cluster.private import private_cluster
from stemcli.signals import ENDING

LOCAL = "local"
"""What Ray calls a cluster of this machine alone."""


@contextmanager
def joined(verbose: bool = False, *, alone: bool = False) -> Iterator[None]:
    """Belong to a cluster for a while.

    Args:
        verbose: show what Ray and the processes on its machines print.
        alone: start one on this machine, whatever RAY_ADDRESS names.

    Raises:
        ClusterError: the cluster that RAY_ADDRESS names cannot be joined; known within a minute.
    """
    # Ray reports how it is used to its makers unless this is 0.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if ray.is_initialized():
        yield
        return
    address = "" if alone else os.environ.get(ADDRESS, "")
    is_named = bool(address) and address != LOCAL
    if is_named:
        require_cluster(address)
    secured = nullcontext() if is_named else private_cluster()
    with secured, nullcontext() if verbose else _quiet():
        _init(address or LOCAL, verbose)
        try:
            yield
        finally:
            ray.shutdown()


def _init(address: str, verbose: bool) -> None:
    try:
        with _own_signals():
            ray.init(
                address=address,
                include_dashboard=False if address == LOCAL else None,
                log_to_driver=verbose,
                logging_level=logging.INFO if verbose else logging.ERROR,
            )
    except (OSError, RuntimeError, ValueError, RayError) as error:
        if address == LOCAL:
            raise ClusterError(
                f"Ray cannot start on this machine ({first_line(error)}). Check that its folder "
                "for temporary files has room and may be written, or name a cluster with "
                f"{ADDRESS}=HOST:PORT"
            ) from error
        raise ClusterError(explain(address, True, [str(error)])) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what SIGTERM means to the program: Ray would let it live for three more seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it is not Python's
                signal.signal(number, handler)


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
