"""Whether a cluster can be joined, in a bounded time and in one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from platform import python_version

import ray

from model_zoo.errors import ClusterError
from stemcli.cluster import knock

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
            f"{ADDRESS} is {address}, a door for programs outside of the cluster. Type the same on "
            f"one of its machines, with {ADDRESS}=auto"
        )
    try:
        done = subprocess.run(
            [sys.executable, "-P", knock.__file__, address],
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
        "The Ray cluster at {address} does not take this machine's token. Type: export "
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
    return (lines[0] if lines and lines[0] else address), knock.REACHED in lines


def _told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the knocking program says, or left behind when it died."""
    try:
        told: list[str] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        told = [*done.stderr.splitlines()[-1:]] or [f"exit code {done.returncode}"]
    return told


def _first_line(text: str) -> str:
    return (text.splitlines() or ["no reason given"])[0].rstrip(".")
