"""Joining a cluster. Expected: the error messages, also for servers that are not Ray.

The messages of Ray are from version 2.60.
"""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from model_zoo.errors import ClusterError
from stemcli.cluster import ray_session
from stemcli.cluster.connect import ADDRESS, _quiet, explain, require_cluster
from tests.stemcli.batch.hosts import hosts

MINUTE = 60.0

MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.9.9
    Python: 3.12.1
This process on node 10.0.0.1 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of a web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("127.0.0.1:1", r"Nothing answers at .* start the cluster there with: ray"),
        ("ray://somewhere:10001", "RAY_ADDRESS=auto"),
        ("nonsense", r"at nonsense cannot be joined .* Check RAY_ADDRESS"),
        ("localhost:999999", "Nothing answers at localhost:999999"),
        ("no.such.host.invalid:6379", "Nothing answers at no.such.host.invalid:6379"),
    ],
)
def test_a_cluster_that_cannot_be_joined_is_reported_in_one_sentence(
    address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(ClusterError, match=sentence), ray_session():
        pass


@pytest.mark.parametrize("server_fixture", ["silent_server", "web_server"])
def test_a_server_that_is_not_ray_is_recognized_in_time(
    server_fixture: str, request: pytest.FixtureRequest
) -> None:
    address, started = request.getfixturevalue(server_fixture), time.monotonic()
    with pytest.raises(ClusterError, match=f"listens at {address} does not answer as a Ray"):
        require_cluster(address, timeout=5.0)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("ray_message", "sentence"),
    [
        (MISMATCH, r"Ray 2\.9\.9 and Python 3\.12\.1 there, Ray [\d.]+ and Python 3[\d.]+ here"),
        ("RPC error: InvalidAuthToken: Authentication token is missing", "RAY_AUTH_MODE=token"),
        ("RAY_AUTH_TOKEN_PATH is set but file cannot be opened", r"copy ~/\.ray/auth_token"),
        ("Could not find any running Ray instance. Please", "unset RAY_ADDRESS"),
        ("Found multiple active Ray instances: {...}", "Say which with RAY_ADDRESS=HOST:PORT"),
        ("No node info found matching attributes: ''", "Run on it: ray start --address h:1"),
        ("something new.\nIn two lines", r"cannot be joined \(something new\)\. Check"),
    ],
)
def test_messages_of_ray_are_explained(ray_message: str, sentence: str) -> None:
    with pytest.raises(ClusterError, match=sentence):
        raise ClusterError(explain("h:1", True, [ray_message]))


@pytest.mark.ray
@pytest.mark.parametrize("server_fixture", ["silent_server", "web_server"])
def test_a_server_that_is_not_ray_is_recognized_within_a_minute(
    server_fixture: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, request.getfixturevalue(server_fixture))
    started = time.monotonic()
    with pytest.raises(ClusterError, match="does not answer as a Ray cluster"), ray_session():
        pass
    assert time.monotonic() - started < MINUTE


def test_output_of_ray_threads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    with _quiet():
        print("ours")
        thread = threading.Thread(target=print, args=("theirs",), name="ray_listen")
        thread.start()
        thread.join()
        assert not sys.stdout.isatty()
    assert stream.getvalue() == "ours\n"
    assert sys.stdout is stream


PATCHED = "import ray; {}; from ray.scripts.scripts import main; main()"
"""Program that starts a cluster with another version number."""

OTHER_RAY = "ray.__version__ = '2.9.9'"
OTHER_PYTHON = (
    "import ray._private.utils as utils; "
    "utils.compute_version_info = lambda: (ray.__version__, '3.2.1')"
)


@pytest.fixture
def other_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster with another version of Ray."""
    with another_cluster(OTHER_RAY, monkeypatch) as address:
        yield address


@contextmanager
def another_cluster(change: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster with another version; socket paths must be short."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder:
        token = Path(folder) / "token"
        token.write_text("a" * 64)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        arguments = f"start --head --port {port} --num-cpus 1 --include-dashboard false --block"
        code = PATCHED.format(change)
        command = [sys.executable, "-c", code, *arguments.split(), "--temp-dir", f"{folder}/ray"]
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **output) as process:  # type: ignore[call-overload]
            _await_port(port)
            yield f"127.0.0.1:{port}"
            process.terminate()


def _await_port(port: int) -> None:
    for _ in range(300):
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(5)  # until the node itself has joined
                return
        time.sleep(0.1)


@pytest.mark.ray
def test_a_version_or_token_mismatch_is_reported(
    other_ray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=r"Ray 2\.9\.9 and Python .* there, Ray [\d.]+ and"):
        require_cluster(other_ray)
    wrong_token = tmp_path / "wrong"
    wrong_token.write_text("b" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(wrong_token))
    with pytest.raises(ClusterError, match="refuses this machine's token"):
        require_cluster(other_ray)
    monkeypatch.delenv("RAY_AUTH_MODE")
    with pytest.raises(ClusterError, match="refuses this machine's token"):
        require_cluster(other_ray)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("change", "found"), [(OTHER_RAY, "Ray: 2.9.9"), (OTHER_PYTHON, "Python: 3.2.1")]
)
def test_ray_refuses_a_node_with_another_version(
    change: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray refuses other versions of Python and Ray itself, so preflight need not compare them."""
    start = ["-m", "ray.scripts.scripts", "start", "--num-cpus", "1", "--address"]
    with another_cluster(change, monkeypatch) as address:
        command = [sys.executable, *start, address]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MINUTE)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Version mismatch" in output
    assert found in output


@pytest.mark.root
@pytest.mark.parametrize(
    ("recorded_address", "sentence"),
    [
        ("", "No Ray cluster runs on this machine, which RAY_ADDRESS=auto asks for"),
        ("127.0.0.1:1", r"Nothing answers at [\d.]+:1 "),
    ],
)
def test_auto_where_no_cluster_runs(recorded_address: str, sentence: str, tmp_path: Path) -> None:
    if recorded_address:
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray/ray_current_cluster").write_text(recorded_address)
    code = "from stemcli.cluster.connect import require_cluster; require_cluster('auto')"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    env = os.environ | {"RAY_TMPDIR": str(tmp_path), ADDRESS: "auto"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert re.match(f"model_zoo.errors.ClusterError: {sentence}", done.stderr.splitlines()[-1])


@pytest.mark.root
def test_a_machine_that_has_not_joined() -> None:
    """It reaches the head, but finds no Ray process on this machine."""
    code = "from stemcli.cluster.connect import require_cluster; require_cluster('10.77.0.1:6399')"
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as cluster:
        cluster.add()
        enter, run = cluster.command(1, ["-c", code])[:4], [sys.executable, "-c", code]
        command = [*enter, "unshare", "--pid", "--fork", "--mount-proc", *run]
        env, started = cluster.environment, time.monotonic()
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert time.monotonic() - started < MINUTE
    sentence = "This machine is not part of the cluster at 10.77.0.1:6399. Run on it: ray start"
    assert f"ClusterError: {sentence}" in done.stderr


@pytest.mark.ray
@pytest.mark.parametrize("verbose", [False, True])
def test_a_local_cluster_prints_only_if_verbose(verbose: bool) -> None:
    code = (
        "import ray; from stemcli.cluster import ray_session\n"
        f"with ray_session({verbose}):\n"
        "    ray.get(ray.remote(lambda: print('said there')).remote())\n"
        "    import time; time.sleep(2)"
    )
    env = {key: value for key, value in os.environ.items() if key != ADDRESS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    output = done.stdout + done.stderr
    assert ("said there" in output, "local Ray instance" in output) == (verbose, verbose)
