"""A library of 60 songs whose runs are killed twenty times.

Truth: an undisturbed run over the same songs, and the counters of the journal.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.card import Card
from model_zoo.install import install
from stemcli.batch.crew import AT_THE_ENDS
from stemcli.batch.journal import NAME, Journal
from stemcli.batch.walk import find_songs
from tests.model_zoo.small import small_network

SONGS, KILLS, RATE = 60, 20, 8000


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Songs of 1 to 3 s in nested folders, and a zoo with one small network."""
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    rng = np.random.default_rng(0)
    for number in range(SONGS):
        folder = tmp_path / "in" / f"artist {number % 7}" / f"album {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        wave = rng.uniform(-0.5, 0.5, (RATE * (1 + number % 3), 2))
        soundfile.write(folder / f"song {number}.flac", wave, RATE)
    return tmp_path / "in"


def start(library: Path, out: Path, jobs: int) -> subprocess.Popen[str]:
    words = ["batch", str(library), "-m", "tiny", "-o", str(out), "--json", "--jobs", str(jobs)]
    command = [sys.executable, "-m", "stemcli", *words, "--format", "flac"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(run: subprocess.Popen[str], songs: int, seconds: float) -> None:
    """Kill when so many songs are finished and so much time has passed."""
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)["event"]
        songs -= event == "track_finished"
        if songs < 0 or (songs == 0 and event in ("batch_started", "track_finished")):
            break
    time.sleep(seconds)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != NAME
    }


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_runs_that_are_killed_end_like_one_that_is_not(
    library: Path, tmp_path: Path, jobs: int
) -> None:
    start(library, tmp_path / "calm", jobs).communicate()
    calm = files(tmp_path / "calm")
    assert len(calm) == 2 * SONGS
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance, out = random.Random(seed), tmp_path / "killed"
    for _ in range(KILLS):
        kill_after(start(library, out, jobs), chance.randrange(4), chance.uniform(0, 0.15))
    last = start(library, out, jobs)
    last.communicate()
    assert last.returncode == 0
    assert files(out) == calm
    with Journal(out) as journal:
        places = [str(song.folder / song.path.name) for song in find_songs(library).songs]
        entries = [entry for place in places if (entry := journal.find(place))]
    assert [entry.finished for entry in entries] == [1] * SONGS
    attempts = sum(entry.attempts for entry in entries)
    print(f"{attempts - SONGS} of {attempts} attempts were lost to {KILLS} kills")
    assert SONGS <= attempts <= SONGS + KILLS * (jobs + AT_THE_ENDS)
