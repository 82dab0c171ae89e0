"""A Ray cluster on this machine only. Reference: the same songs without a cluster."""

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
from stemcli.audio.tag_formats import write_tags
from stemcli.audio.tags import Tags
from stemcli.cluster import ADDRESS
from tests.model_zoo.small import small_network
from tests.stemcli.batch.library import files

RATE = 16_000


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three songs and a text file with the extension of a song."""
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


def batch(out: str, *args: str) -> subprocess.Popen[str]:
    options = ["-m", "tiny", "-o", out, "--json", *args]
    command = [sys.executable, "-m", "stemcli", "batch", "in", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_local_cluster_gives_the_same_stems(library: Path) -> None:
    batch("here").communicate()
    run = batch("there", "--cluster", "--jobs", "2")
    stdout, stderr = run.communicate()
    assert run.returncode == 1
    assert len(stderr.splitlines()) == 1, stderr
    (line,) = stderr.splitlines()
    assert line.startswith("Error: No sound can be read from")
    assert files(library / "there") == files(library / "here")
    events = [json.loads(line) for line in stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds.count("worker_joined") == min(2, os.cpu_count() or 1)
    finished = [event for event in events if event["event"] == "track_finished"]
    assert {event["outputs"]["vocals"] for event in finished} == {
        f"there/{song}/vocals.wav" for song in ("a", "x/b", "x/c")
    }
    assert events[-1]["report"]["done"] == 3


@pytest.mark.slow
def test_a_local_cluster_names_stems_after_tags(library: Path) -> None:
    for title, place in (("One", "a"), ("Two", "x/b")):
        write_tags(library / f"in/{place}.flac", Tags({"title": [title], "artist": ["A"]}))
    template = ("--filename", "{artist}/{title} - {stem}.{ext}")
    run = batch("there", "--cluster", *template)
    _, stderr = run.communicate()
    assert run.returncode == 1, stderr  # text.mp3
    stems = {
        path.relative_to(library / "there").as_posix() for path in library.rglob("there/**/*.wav")
    }
    names = ("A/One", "x/A/Two", "x/Unknown artist/c")
    assert stems == {f"{name} - {stem}.wav" for name in names for stem in ("vocals", "band")}


@pytest.mark.slow
def test_ctrl_c_leaves_no_partial_files(library: Path) -> None:
    run = batch("there", "--cluster")
    assert run.stdout
    for line in run.stdout:
        if json.loads(line)["event"] == "track_started":
            run.send_signal(signal.SIGINT)
            break
    _, stderr = run.communicate()
    assert run.returncode == 130
    assert stderr.splitlines()[-1].endswith("To resume, run the same command again.")
    outputs = files(library / "there")
    assert not [name for name in outputs if ".part" in name]
    assert len(outputs) % 2 == 0


@pytest.fixture
def head(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cluster of one core that outlives its drivers; socket paths must be short."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="stem", ignore_cleanup_errors=True) as folder:
        token = Path(folder, "token")
        token.write_text("a" * 64)
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
        arguments = f"start --head --port {port} --num-cpus 1 --include-dashboard false --block"
        command = [sys.executable, "-m", "ray.scripts.scripts", *arguments.split()]
        with subprocess.Popen(
            [*command, "--temp-dir", f"{folder}/ray"], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            next(line for line in process.stdout if "Ray runtime started" in line)
            monkeypatch.setenv(ADDRESS, f"127.0.0.1:{port}")
            yield
            process.terminate()


def actors(library: Path) -> list[int]:
    """Process ids of the actors that this test's environment started."""
    environment = f"STEM_HOME={library / 'zoo'}".encode()
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_actor = (process / "cmdline").read_bytes().startswith(b"ray::SeparationActor")
            if is_actor and environment in (process / "environ").read_bytes().split(b"\0"):
                pids.append(int(process.name))
        except OSError:
            continue  # the process has just ended
    return pids


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_actors_end_with_their_driver(library: Path, head: None) -> None:
    """The driver is killed, so it cannot stop them; the next run resumes."""
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
        assert time.monotonic() < end, "an actor outlives its driver"
        time.sleep(0.2)
    stdout, stderr = batch("there", "--cluster").communicate()
    assert json.loads(stdout.splitlines()[-1])["report"]["failed"] == 1, stderr
    batch("here").communicate()
    assert files(library / "there") == files(library / "here")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_worker_that_dies_is_replaced(library: Path, head: None) -> None:
    """For example by the out-of-memory killer; the songs it held are separated all the same."""
    batch("here").communicate()
    run = batch("there", "--cluster")
    assert run.stdout
    kinds = []
    for line in run.stdout:
        kinds.append(json.loads(line)["event"])
        if kinds.count("track_started") == 1 and kinds[-1] == "track_started":
            (actor,) = actors(library)
            os.kill(actor, signal.SIGKILL)
    _, stderr = run.communicate()
    assert (kinds.count("worker_joined"), kinds.count("worker_lost")) == (2, 1), stderr
    assert files(library / "there") == files(library / "here")
