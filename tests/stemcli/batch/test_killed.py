"""A library of 60 songs is separated in runs that are killed twenty times.

Reference: an undisturbed run over the same songs, and the journal's counters.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from stemcli.batch.executor import AT_THE_ENDS
from tests.stemcli.batch.library import SONGS, entries, files, make_library, start

KILLS = 20


def kill_after(run: subprocess.Popen[str], songs: int, seconds: float) -> None:
    """Kill the run when ``songs`` are finished and ``seconds`` more have passed."""
    assert run.stdout is not None
    for line in run.stdout:
        event = json.loads(line)["event"]
        songs -= event == "track_finished"
        if songs < 0 or (songs == 0 and event in ("batch_started", "track_finished")):
            break
    time.sleep(seconds)
    os.kill(run.pid, signal.SIGKILL)
    run.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_runs_end_like_an_undisturbed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    library = make_library(tmp_path, monkeypatch, seconds=1)
    start(library, tmp_path / "calm", jobs).communicate()
    expected = files(tmp_path / "calm")
    assert len(expected) == 2 * SONGS
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng, out = random.Random(seed), tmp_path / "killed"
    for _ in range(KILLS):
        kill_after(start(library, out, jobs), rng.randrange(4), rng.uniform(0, 0.15))
    last = start(library, out, jobs)
    last.communicate()
    assert last.returncode == 0
    assert files(out) == expected
    journal_entries = entries(library, out)
    assert [entry.finished for entry in journal_entries] == [1] * SONGS
    attempts = sum(entry.attempts for entry in journal_entries)
    print(f"{attempts - SONGS} of {attempts} attempts were lost to {KILLS} kills")
    assert SONGS <= attempts <= SONGS + KILLS * (jobs + AT_THE_ENDS)
