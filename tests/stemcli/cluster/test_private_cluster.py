"""A cluster on this machine only, checked by its open sockets and by Ray's refusal of others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stemcli.cluster import ADDRESS

pytestmark = pytest.mark.ray

PROGRAM = """
import json, os, sys
import ray
import psutil  # which comes with Ray
from ray._private.worker import global_worker
from stemcli.cluster import ray_session

before = dict(os.environ)
with ray_session(alone=True):
    assert ray.get(ray.remote(lambda: 41 + 1).remote()) == 42
    me = psutil.Process()
    sockets = [
        (process.name(), socket.laddr.ip)
        for process in (me, *me.children(recursive=True))
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    ]
    token = os.environ["RAY_AUTH_TOKEN"]
    # None for a process that ended a moment ago.
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    print(json.dumps({
        "sockets": sockets,
        "address": global_worker.gcs_client.address,
        "token": token,
        "shown": any(token in word for words in commands for word in words),
    }), flush=True)
    sys.stdin.readline()
after = dict(os.environ)
print(json.dumps(sorted(
    key for key in {*before, *after}
    if before.get(key) != after.get(key) and key.startswith("RAY_")
)), flush=True)
"""

STRANGER = """
import logging, sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
print("joined")
"""

LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def environment(**more: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {key: value for key, value in inherited.items() if key != ADDRESS} | more


def stranger(address: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Another program of the same user on this machine that knows the address."""
    # Without the first, Ray would use the machine's public address.
    limits = {
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_NUM_REDIS_GET_RETRIES": "2",
        "RAY_gcs_server_request_timeout_seconds": "10",
    }
    return subprocess.run(
        [sys.executable, "-c", STRANGER, address],
        env=environment(**limits, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_other_programs_cannot_join_a_private_cluster() -> None:
    command = [sys.executable, "-c", PROGRAM]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, env=environment(), text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        info: dict[str, Any] = json.loads(process.stdout.readline())
        assert {"gcs_server", "raylet"} <= {name for name, _ in info["sockets"]}
        assert {ip for _, ip in info["sockets"]} <= LOOPBACK
        assert len(info["token"]) == 64
        assert not info["shown"], "arguments of a process are seen by all users of a machine"
        no_token = stranger(info["address"])
        wrong_token = stranger(info["address"], RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
        for refused in (no_token, wrong_token):
            assert refused.returncode != 0
            assert "joined" not in refused.stdout
            assert "oken" in refused.stderr
        process.stdin.write("\n")
        process.stdin.close()
        assert json.loads(process.stdout.readline()) == ["RAY_USAGE_STATS_ENABLED"]
        assert process.wait(60) == 0


SHORT = """
import os
import ray
from stemcli.cluster import ray_session
with ray_session(alone=True):
    assert ray.get(ray.remote(lambda: 41 + 1).remote()) == 42
    folder = os.environ["RAY_TMPDIR"]
print(os.path.exists(folder), "RAY_TMPDIR" in os.environ)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Ray heeds TMPDIR on Linux alone")
def test_a_temporary_folder_with_a_long_path(tmp_path: Path) -> None:
    """Reference: unix(7) limits the path of a socket to 107 bytes."""
    folder = tmp_path / ("jobs" * 20)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SHORT],
        env=environment(TMPDIR=str(folder)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False", "False"]), done.stderr
