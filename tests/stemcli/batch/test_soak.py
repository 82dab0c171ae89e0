"""Memory does not grow over many files, by the system's own count."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from stemcli.batch.journal import Journal
from stemcli.batch.library import find_songs
from stemcli.batch.run import separate_songs
from stemcli.engine.events import Event, TrackFinished
from stemcli.engine.options import Options
from tests.model_zoo.small import small_network

SONGS, RATE = 300, 16_000
WINDOW = 100
GROWTH = 1.03


def resident_bytes() -> int:
    """Resident memory of this process in bytes, from /proc."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.parametrize("container", ["wav", "mp3"])
def test_memory_does_not_grow_over_files(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEM_HOME", str(tmp_path / "zoo"))
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(SONGS):
        wave = rng.uniform(-0.5, 0.5, (RATE // 2 + 100 * (number % 7), 2))
        soundfile.write(tmp_path / f"in/{number:03}.flac", wave, RATE)
    resident = []

    def measure(event: Event) -> None:
        if isinstance(event, TrackFinished):
            resident.append(resident_bytes())

    options = Options(model=("tiny",), output=str(tmp_path / "out"), format=container)
    with Journal(tmp_path / "out") as journal:
        report = separate_songs(
            find_songs(tmp_path / "in").songs, options, journal=journal, on_event=measure
        )
    assert report.count("done") == SONGS == len(resident)
    first, last = (float(np.mean(part)) for part in (resident[:WINDOW], resident[-WINDOW:]))
    print(f"first hundred {first / 2**20:.1f} MiB, last {last / 2**20:.1f}: {last / first:.3f}")
    assert last / first < GROWTH
