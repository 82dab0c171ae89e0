"""Joining a cluster. Truth: the words of the refusals, and programs that are not Ray.

Ray's own messages are those of Ray 2.60.
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
def silent() -> Iterator[str]:
    """The address of somebody who takes calls and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def web() -> Iterator[str]:
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
def test_a_cluster_that_cannot_be_joined_is_one_sentence(
    address: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(ClusterError, match=sentence), ray_session():
        pass


@pytest.mark.parametrize("who", ["silent", "web"])
def test_somebody_else_is_known_in_time(who: str, request: pytest.FixtureRequest) -> None:
    address, began = request.getfixturevalue(who), time.monotonic()
    with pytest.raises(ClusterError, match=f"listens at {address} does not answer as a Ray"):
        require_cluster(address, timeout=5.0)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("told", "sentence"),
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
def test_what_ray_says_is_explained(told: str, sentence: str) -> None:
    with pytest.raises(ClusterError, match=sentence):
        raise ClusterError(explain("h:1", True, [told]))


@pytest.mark.ray
@pytest.mark.parametrize("who", ["silent", "web"])
def test_somebody_else_is_known_within_a_minute(
    who: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADDRESS, request.getfixturevalue(who))
    began = time.monotonic()
    with pytest.raises(ClusterError, match="does not answer as a Ray cluster"), ray_session():
        pass
    assert time.monotonic() - began < MINUTE


def test_what_threads_of_ray_print_is_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stdout", heard)
    with _quiet():
        print("ours")
        thread = threading.Thread(target=print, args=("theirs",), name="ray_listen")
        thread.start()
        thread.join()
        assert not sys.stdout.isatty()
    assert heard.getvalue() == "ours\n"
    assert sys.stdout is heard


PATCHED = "import ray; {}; from ray.scripts.scripts import main; main()"
"""Starts a cluster that says it is of another version."""

OTHER_RAY = "ray.__version__ = '2.9.9'"
OTHER_PYTHON = (
    "import ray._private.utils as utils; "
    "utils.compute_version_info = lambda: (ray.__version__, '3.2.1')"
)


@pytest.fixture
def other_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster whose Ray is another one."""
    with another_cluster(OTHER_RAY, monkeypatch) as address:
        yield address


@contextmanager
def another_cluster(change: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster with another version; sockets want a short path."""
    with tempfile.TemporaryDirectory(prefix="stem") as folder:
        token = Path(folder) / "token"
        token.write_text("a" * 64)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = f"start --head --port {port} --num-cpus 1 --include-dashboard false --block"
        code = PATCHED.format(change)
        command = [sys.executable, "-c", code, *words.split(), "--temp-dir", f"{folder}/ray"]
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **output) as process:  # type: ignore[call-overload]
            _await_port(port)
            yield f"127.0.0.1:{port}"
            process.terminate()


def _await_port(port: int) -> None:
    for _ in range(300):
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(5)  # until the machine itself has joined
                return
        time.sleep(0.1)


@pytest.mark.ray
def test_another_ray_and_another_token_are_named(
    other_ray: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ClusterError, match=r"Ray 2\.9\.9 and Python .* there, Ray [\d.]+ and"):
        require_cluster(other_ray)
    wrong = tmp_path / "wrong"
    wrong.write_text("b" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(wrong))
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
    """So no check before a run has to ask for the versions of Python and Ray."""
    start = ["-m", "ray.scripts.scripts", "start", "--num-cpus", "1", "--address"]
    with another_cluster(change, monkeypatch) as address:
        command = [sys.executable, *start, address]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MINUTE)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Version mismatch" in said
    assert found in said


@pytest.mark.root
@pytest.mark.parametrize(
    ("remembered", "sentence"),
    [
        ("", "No Ray cluster runs on this machine, which RAY_ADDRESS=auto asks for"),
        ("127.0.0.1:1", r"Nothing answers at [\d.]+:1 "),
    ],
)
def test_auto_where_no_cluster_runs(remembered: str, sentence: str, tmp_path: Path) -> None:
    if remembered:
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray/ray_current_cluster").write_text(remembered)
    code = "from stemcli.cluster.connect import require_cluster; require_cluster('auto')"
    alone = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    env = os.environ | {"RAY_TMPDIR": str(tmp_path), ADDRESS: "auto"}
    done = subprocess.run(alone, env=env, capture_output=True, text=True, check=False)
    assert re.match(f"model_zoo.errors.ClusterError: {sentence}", done.stderr.splitlines()[-1])


@pytest.mark.root
def test_a_machine_that_has_not_joined() -> None:
    """It reaches the first machine, but sees no process of Ray of its own."""
    code = "from stemcli.cluster.connect import require_cluster; require_cluster('10.77.0.1:6399')"
    with tempfile.TemporaryDirectory(prefix="stem") as folder, hosts(Path(folder)) as cluster:
        cluster.add()
        enter, run = cluster.command(1, ["-c", code])[:4], [sys.executable, "-c", code]
        alone = [*enter, "unshare", "--pid", "--fork", "--mount-proc", *run]
        env, began = cluster.environment, time.monotonic()
        done = subprocess.run(alone, env=env, capture_output=True, text=True, check=False)
        assert time.monotonic() - began < MINUTE
    sentence = "This machine is not part of the cluster at 10.77.0.1:6399. Run on it: ray start"
    assert f"ClusterError: {sentence}" in done.stderr


@pytest.mark.ray
@pytest.mark.parametrize("verbose", [False, True])
def test_a_cluster_of_this_machine_and_what_it_prints(verbose: bool) -> None:
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
    heard = done.stdout + done.stderr
    assert ("said there" in heard, "local Ray instance" in heard) == (verbose, verbose)
