"""A cluster of this machine alone. Truth: the same songs without a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
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
