"""A Ray cluster of this machine alone, which nobody else can join.

Ray 2.60 lets its processes listen on all interfaces, and anyone who reaches them can run programs.
Here they listen on the loopback interface, as they always do on macOS and Windows, and take only
calls with a random token that this process made.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

from ray._private import ray_constants

from stemcli.environment import environment

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
