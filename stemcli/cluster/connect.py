"""Joins the Ray cluster that is named, or starts a private one with a token.

Ray 2.60 lets its processes listen on all interfaces, and anyone who reaches them can run programs.
Here they listen on the loopback interface, as they always do on macOS and Windows, and take only
calls with a random token that this process made.

As everywhere in Ray the environment variable ``RAY_ADDRESS`` names it: ``host:port``, or ``auto``
on a machine of the cluster. Without it a cluster of this machine alone lives while it is needed;
nobody else can join it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from platform import python_version
from tempfile import TemporaryDirectory
from typing import Any, TextIO, cast

import ray
from ray._private import ray_constants
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, first_line
from stemcli.cluster import probe
from stemcli.process import ENDING, environment

ADDRESS = "RAY_ADDRESS"
PATIENCE = 30.0
"""Seconds until a cluster must have answered; Ray itself asks on and on."""

_IMPATIENT = {
    "RAY_NUM_REDIS_GET_RETRIES": "2",
    "RAY_gcs_server_request_timeout_seconds": "10",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Ray would ask twenty times whether a token is wrong, and for a minute for its own machine."""


def require_cluster(address: str, patience: float = PATIENCE) -> None:
    """Find out that the cluster at ``address`` can be joined from here.

    Args:
        address: as RAY_ADDRESS gives it.
        patience: seconds.

    Raises:
        ClusterError: nobody listens there, somebody else does, or the cluster refuses.
    """
    if address.startswith("ray://"):
        raise ClusterError(
            f"{ADDRESS} is {address}, a door for programs outside of the cluster. Run it again on "
            f"one of its machines, with {ADDRESS}=auto"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-P", probe.__file__, address],
            env=os.environ | _IMPATIENT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        found, reached = _reached((error.stdout or b"").decode(), address)
        raise ClusterError(_silence(found, reached, patience)) from None
    told = _told(done)
    if told:
        raise ClusterError(explain(*_reached(done.stdout, address), told))


def explain(address: str, reached: bool, told: Sequence[str]) -> str:
    """One sentence for what Ray said when a cluster could not be joined.

    Args:
        address: of the cluster.
        reached: whether somebody took the call.
        told: the words of the error and of its causes.
    """
    everything = "\n".join(told)
    for words, sentence in _SENTENCES.items():
        if re.search(words, everything):
            return sentence.format(address=address) + _versions(everything)
    if not reached and ":" in address:
        return _nobody(address, _first_line(told[0]))
    return (
        f"The Ray cluster at {address} cannot be joined ({_first_line(told[0])}). Check "
        f"{ADDRESS}, that ray status works on this machine, and that Ray's version, "
        "RAY_AUTH_MODE and ~/.ray/auth_token are the same on all machines"
    )


_SENTENCES = {
    "Version mismatch": "The cluster at {address} does not have this machine's versions: ",
    "InvalidAuthToken|Unauthenticated|AUTH_TOKEN": (
        "The Ray cluster at {address} does not take this machine's token. Try: export "
        "RAY_AUTH_MODE=token, and copy ~/.ray/auth_token from the cluster's first machine to this "
        "one"
    ),
    "Could not find any running Ray instance": (
        f"No Ray cluster runs on this machine, which {ADDRESS}={{address}} asks for. Join one with "
        "ray start --address HOST:PORT, start one with ray start --head, or type unset "
        f"{ADDRESS} for this machine alone"
    ),
    "multiple active Ray instances": (
        f"Several Ray clusters run on this machine. Say which with {ADDRESS}=HOST:PORT"
    ),
    "No node info found matching|Failed to get node info": (
        "This machine is not part of the cluster at {address}. Type here: ray start --address "
        "{address}"
    ),
}
"""For words that Ray says, from the surest to the vaguest."""


def _versions(text: str) -> str:
    """Both sides of a mismatch, as Ray lists them; empty where it lists none."""
    rays, pythons = (re.findall(rf"{name}: (\S+)", text) for name in ("Ray", "Python"))
    if len(rays) < 2 or len(pythons) < 2:
        return ""
    return (
        f"Ray {rays[0]} and Python {pythons[0]} there, Ray {ray.__version__} and Python "
        f"{python_version()} here. Install the same of both: pip install 'ray[train,tune]=="
        f"{rays[0]}' in a Python {pythons[0]}"
    )


def _silence(address: str, reached: bool, patience: float) -> str:
    if not reached:
        return _nobody(address, f"no answer in {patience:g} s")
    return (
        f"Whoever listens at {address} does not speak as a Ray cluster does (no answer in "
        f"{patience:g} s). Check {ADDRESS} and its port, which ray start --head shows, and a "
        "firewall between"
    )


def _nobody(address: str, reason: str) -> str:
    port = address.rpartition(":")[2]
    return (
        f"Nobody answers at {address} ({reason}). Check {ADDRESS}, or start the cluster there "
        f"with: ray start --head --port {port}"
    )


def _reached(heard: str, address: str) -> tuple[str, bool]:
    """The address that was called, and whether somebody took the call."""
    lines = heard.splitlines()
    return (lines[0] if lines and lines[0] else address), probe.REACHED in lines


def _told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the knocking program says, or left behind when it died."""
    try:
        told: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        told = [*done.stderr.splitlines()[-1:]] or [f"exit code {done.returncode}"]
    return told


def _first_line(text: str) -> str:
    return (text.splitlines() or ["no reason given"])[0].rstrip(".")


_RAYLET: Any = import_module("ray._raylet")
"""Compiled, and without types."""

TOKEN_BYTES = 32

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
RAY_FOLDER, TEMPORARY_FOLDER = "RAY_TMPDIR", "TMPDIR"
LONGEST_FOLDER = 107 - 70
"""Bytes: what Linux allows the path of a socket (unix(7)), less what Ray adds to the folder:
``/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store``."""

SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Whether machines may join; with 0 Ray takes 127.0.0.1 for its own address, on Linux too."""


@contextmanager
def private_cluster() -> Iterator[None]:
    """Let clusters that are started in this context be private.

    What Ray's processes have to know they inherit as environment variables; afterwards the
    environment is as it was, so that another cluster is joined by the user's own token.
    """
    settings = {
        MODE: "token",
        TOKEN: secrets.token_hex(TOKEN_BYTES),
        TOKEN_FILE: None,
        SEVERAL_MACHINES: "0",
    }
    with environment(settings, replace=True), _short_folder(), _this_machine_alone():
        _forget_token()
        try:
            yield
        finally:
            # With the mode still set: a thread of Ray that ends late asks for the token again.
            _forget_token()
    _forget_token()


@contextmanager
def _short_folder() -> Iterator[None]:
    """Give Ray another folder where TMPDIR is too long for its sockets, as in jobs of Slurm."""
    folder = os.environ.get(TEMPORARY_FOLDER, "")
    is_ours = sys.platform == "linux" and RAY_FOLDER not in os.environ
    if not is_ours or len(os.fsencode(folder)) <= LONGEST_FOLDER:
        yield
        return
    with (
        TemporaryDirectory(prefix="stem-ray-", dir="/tmp", ignore_cleanup_errors=True) as short,
        environment({RAY_FOLDER: short}, replace=True),
    ):
        yield


@contextmanager
def _this_machine_alone() -> Iterator[None]:
    """The same for this process, which read the variable when Ray was imported (2.56 to 2.60)."""
    constants: Any = ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _forget_token() -> None:
    """Let Ray read mode and token again, which it does once for each process (2.56 to 2.60)."""
    _RAYLET.Config.initialize("")
    _RAYLET.AuthenticationTokenLoader.instance().reset_cache()


LOCAL = "local"
"""What Ray calls a cluster of this machine alone."""


@contextmanager
def ray_session(verbose: bool = False, *, alone: bool = False) -> Iterator[None]:
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
