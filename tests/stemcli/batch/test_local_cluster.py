"""A cluster of this machine alone. Truth: the same songs without a cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.cluster import ADDRESS
from tests.model_zoo.small import small_network
from tests.stemcli.batch.library import files

RATE = 16_000


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three songs and a text that is none."""
    monkeypatch.delenv(ADDRESS, raising=False)
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    rng = np.random.default_rng(0)
    (tmp_path / "in/x").mkdir(parents=True)
    for number, place in enumerate(("a", "x/b", "x/c")):
        wave = rng.uniform(-0.5, 0.5, (RATE * (2 + number), 2))
        soundfile.write(tmp_path / f"in/{place}.flac", wave, RATE)
    (tmp_path / "in/text.mp3").write_text("no music " * 99)
    return tmp_path


def batch(out: str, *words: str) -> subprocess.Popen[str]:
    options = ["-m", "tiny", "-o", out, "--json", *words]
    command = [sys.executable, "-m", "stemcli", "batch", "in", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_the_same_stems_as_without(library: Path) -> None:
    batch("here").communicate()
    run = batch("there", "--cluster", "--jobs", "2")
    heard, complaints = run.communicate()
    assert run.returncode == 1
    assert len(complaints.splitlines()) == 1, complaints
    (line,) = complaints.splitlines()
    assert line.startswith("Error: No sound can be read from")
    assert files(library / "there") == files(library / "here")
    events = [json.loads(line) for line in heard.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("worker_joined") == min(2, os.cpu_count() or 1)
    finished = [event for event in events if event["event"] == "track_finished"]
    assert {event["outputs"]["vocals"] for event in finished} == {
        f"there/{song}/vocals.wav" for song in ("a", "x/b", "x/c")
    }
    assert events[-1]["report"]["done"] == 3


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_done(library: Path) -> None:
    run = batch("there", "--cluster")
    assert run.stdout
    for line in run.stdout:
        if json.loads(line)["event"] == "track_started":
            run.send_signal(signal.SIGINT)
            break
    _, complaints = run.communicate()
    assert run.returncode == 130
    assert complaints.splitlines()[-1].endswith("To resume, run the same command again.")
    made = files(library / "there")
    assert not [name for name in made if ".part" in name]
    assert len(made) % 2 == 0


@pytest.fixture
def head(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of one core that outlives its drivers; sockets want a short path."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="stem", ignore_cleanup_errors=True) as folder:
        token = Path(folder, "token")
        token.write_text("a" * 64)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        words = f"start --head --port {port} --num-cpus 1 --include-dashboard false --block"
        command = [sys.executable, "-m", "ray.scripts.scripts", *words.split()]
        with subprocess.Popen(
            [*command, "--temp-dir", f"{folder}/ray"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            next(line for line in process.stdout if "Ray runtime started" in line)
            monkeypatch.setenv(ADDRESS, f"127.0.0.1:{port}")
            yield
            process.terminate()


def actors(library: Path) -> list[int]:
    """Processes of actors that were started in the environment of this test."""
    mark = f"STEM_HOME={library / 'zoo'}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_actor = (process / "cmdline").read_bytes().startswith(b"ray::SeparationActor")
            if is_actor and mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # it has just ended
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_actors_end_with_their_driver(library: Path, head: None) -> None:
    """A driver that is killed can tell nobody; the next goes on where it was."""
    run = batch("there", "--cluster")
    assert run.stdout
    for line in run.stdout:
        if json.loads(line)["event"] == "track_started":
            break
    assert len(actors(library)) == 1, run.poll()
    run.kill()
    run.communicate()
    end = time.monotonic() + 30
    while actors(library):
        assert time.monotonic() < end, "an actor goes on without its driver"
        time.sleep(0.2)
    heard, complaints = batch("there", "--cluster").communicate()
    assert json.loads(heard.splitlines()[-1])["report"]["failed"] == 1, complaints
    batch("here").communicate()
    assert files(library / "there") == files(library / "here")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_that_dies_is_replaced(library: Path, head: None) -> None:
    """As when the system has no memory left; the songs that it held are done all the same."""
    batch("here").communicate()
    run = batch("there", "--cluster")
    assert run.stdout
    kinds = []
    for line in run.stdout:
        kinds.append(json.loads(line)["event"])
        if kinds.count("track_started") == 1 and kinds[-1] == "track_started":
            (actor,) = actors(library)
            os.kill(actor, signal.SIGKILL)
    _, complaints = run.communicate()
    assert (kinds.count("worker_joined"), kinds.count("worker_lost")) == (2, 1), complaints
    assert files(library / "there") == files(library / "here")
