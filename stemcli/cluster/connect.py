"""Joins the Ray cluster that is named, or starts a private one with a token.

As everywhere in Ray, the environment variable ``RAY_ADDRESS`` names the cluster: ``host:port``, or
``auto`` on a machine of the cluster. Without it, a cluster on this machine alone is started and
shut down with the session; nobody else can join it.

By default the processes of Ray 2.60 listen on all interfaces, and anyone who reaches them can run
programs. Here they listen on the loopback interface, as they always do on macOS and Windows, and
accept only calls with a random token that this process made.
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
from platform import python_version
from tempfile import TemporaryDirectory
from typing import Any, TextIO, cast

import ray
from ray.exceptions import RayError

from model_zoo.errors import ClusterError, first_line
from model_zoo.shell import quoted
from stemcli.cluster import probe
from stemcli.cluster.ray_private import loopback_only, reload_token, resolve_address
from stemcli.process import ENDING, environment

ADDRESS = "RAY_ADDRESS"
CONNECT_TIMEOUT_S = 30.0
"""Seconds until a cluster must have answered; Ray itself retries for minutes."""

_FEW_RETRIES = {
    "RAY_NUM_REDIS_GET_RETRIES": "2",
    "RAY_gcs_server_request_timeout_seconds": "10",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Otherwise Ray tries a wrong token twenty times, and looks a minute for its own node."""


def require_cluster(address: str, timeout: float = CONNECT_TIMEOUT_S) -> None:
    """Check that this machine can join the cluster at ``address``.

    Args:
        address: as RAY_ADDRESS gives it.
        timeout: seconds.

    Raises:
        ClusterError: nothing listens there, something other than Ray does, or the cluster refuses.
    """
    if address.startswith("ray://"):
        raise ClusterError(
            f"{ADDRESS} is {address}, a Ray Client address, which Stem does not support. Run it "
            f"again on a machine of the cluster with {ADDRESS}=auto"
        )
    resolved = address if ":" in address else _resolve(address)
    try:
        done = subprocess.run(
            [sys.executable, "-P", probe.__file__, resolved],
            env=os.environ | _FEW_RETRIES,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        reached = _is_reached((error.stdout or b"").decode())
        raise ClusterError(_no_answer(resolved, reached, timeout)) from None
    messages = _messages(done)
    if messages:
        raise ClusterError(explain(resolved, _is_reached(done.stdout), messages))


def _resolve(address: str) -> str:
    try:
        return resolve_address(address)
    except (OSError, ValueError) as error:
        raise ClusterError(explain(address, False, [str(error)])) from error


def explain(address: str, reached: bool, messages: Sequence[str]) -> str:
    """Return one sentence for what Ray said when a cluster could not be joined.

    Args:
        address: of the cluster.
        reached: whether its port accepted a connection.
        messages: of the error and of its causes.
    """
    text = "\n".join(messages)
    for pattern, sentence in _SENTENCES.items():
        if re.search(pattern, text):
            return sentence.format(address=address) + _versions(text)
    if not reached and ":" in address:
        return _unreachable(address, _first_line(messages[0]))
    return (
        f"The Ray cluster at {address} cannot be joined ({_first_line(messages[0])}). Check "
        f"{ADDRESS}, that ray status works on this machine, and that Ray's version, "
        "RAY_AUTH_MODE and ~/.ray/auth_token are the same on all machines"
    )


_SENTENCES = {
    "Version mismatch": "The cluster at {address} does not have this machine's versions: ",
    "InvalidAuthToken|Unauthenticated|AUTH_TOKEN": (
        "The Ray cluster at {address} refuses this machine's token. Set "
        "RAY_AUTH_MODE=token, and copy ~/.ray/auth_token from the cluster's first machine to this "
        "one"
    ),
    "Could not find any running Ray instance": (
        f"No Ray cluster runs on this machine, which {ADDRESS}={{address}} asks for. Join one with "
        "ray start --address HOST:PORT, start one with ray start --head, or unset "
        f"{ADDRESS} for this machine alone"
    ),
    "multiple active Ray instances": (
        f"Several Ray clusters run on this machine. Say which with {ADDRESS}=HOST:PORT"
    ),
    "No node info found matching|Failed to get node info": (
        "This machine is not part of the cluster at {address}. Run on it: ray start --address "
        "{address}"
    ),
}
"""What to tell the user, by a pattern in Ray's message, the most specific first."""


def _versions(text: str) -> str:
    """Describe a version mismatch from Ray's list of both sides; empty where there is none."""
    rays, pythons = (re.findall(rf"{name}: (\S+)", text) for name in ("Ray", "Python"))
    if len(rays) < 2 or len(pythons) < 2:
        return ""
    return (
        f"Ray {rays[0]} and Python {pythons[0]} there, Ray {ray.__version__} and Python "
        f"{python_version()} here. Install the same of both: "
        f"pip install {quoted(f'ray[train,tune]=={rays[0]}')} in a Python {pythons[0]}"
    )


def _no_answer(address: str, reached: bool, timeout: float) -> str:
    if not reached:
        return _unreachable(address, f"no answer in {timeout:g} s")
    return (
        f"The program that listens at {address} does not answer as a Ray cluster (no answer in "
        f"{timeout:g} s). Check {ADDRESS}, the port that ray start --head printed, and any "
        "firewall in between"
    )


def _unreachable(address: str, reason: str) -> str:
    port = address.rpartition(":")[2]
    return (
        f"Nothing answers at {address} ({reason}). Check {ADDRESS}, or start the cluster there "
        f"with: ray start --head --port {port}"
    )


def _is_reached(output: str) -> bool:
    return probe.REACHED in output.splitlines()


def _messages(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Read what the probe reports, or what it left behind when it died."""
    try:
        messages: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        messages = [*done.stderr.splitlines()[-1:]] or [f"exit code {done.returncode}"]
    return messages


def _first_line(text: str) -> str:
    return (text.splitlines() or ["no reason given"])[0].rstrip(".")


TOKEN_BYTES = 32

MODE, TOKEN, TOKEN_FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
RAY_FOLDER, TEMPORARY_FOLDER = "RAY_TMPDIR", "TMPDIR"
LONGEST_FOLDER = 107 - 70
"""Bytes: what Linux allows the path of a socket (unix(7)), less what Ray adds to the folder:
``/ray/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store``."""

SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Whether other machines may join; with 0 Ray uses 127.0.0.1 as its address, on Linux too."""


@contextmanager
def private_cluster() -> Iterator[None]:
    """Make clusters that are started in this context private.

    Ray's processes inherit the settings as environment variables. Afterwards the environment is as
    it was, so that another cluster is joined with the user's own token.

    Raises:
        ClusterError: the installed Ray lacks a private name that this needs.
    """
    settings = {
        MODE: "token",
        TOKEN: secrets.token_hex(TOKEN_BYTES),
        TOKEN_FILE: None,
        SEVERAL_MACHINES: "0",
    }
    with environment(settings, replace=True), _short_folder(), loopback_only():
        reload_token()
        try:
            yield
        finally:
            # With the mode still set: a thread of Ray that ends late asks for the token again.
            reload_token()
    reload_token()


@contextmanager
def _short_folder() -> Iterator[None]:
    """Give Ray a shorter folder where TMPDIR is too long for its sockets, as in Slurm jobs."""
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


LOCAL = "local"
"""Ray's name for a cluster on this machine alone."""


@contextmanager
def ray_session(verbose: bool = False, *, alone: bool = False) -> Iterator[None]:
    """Join a cluster, and leave it at the end.

    Args:
        verbose: show what Ray and the processes on its machines print.
        alone: start a cluster on this machine, whatever RAY_ADDRESS names.

    Raises:
        ClusterError: the cluster that RAY_ADDRESS names cannot be joined; known within a minute.
    """
    # Ray sends usage statistics to its developers unless this is 0.
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
                "for temporary files has free space and is writable, or name a cluster with "
                f"{ADDRESS}=HOST:PORT"
            ) from error
        raise ClusterError(explain(address, True, [str(error)])) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the program's own signal handlers: Ray's would delay SIGTERM by three seconds."""
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

    Threads of Ray print it, and no setting of Ray stops that.
    """
    own = sys.stdout
    sys.stdout = cast(TextIO, _WithoutRay(own))
    try:
        yield
    finally:
        sys.stdout = own


class _WithoutRay:
    """A text stream that drops what the threads of Ray write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text unless a thread of Ray does."""
        is_of_ray = threading.current_thread().name.startswith("ray_")
        return len(text) if is_of_ray else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
