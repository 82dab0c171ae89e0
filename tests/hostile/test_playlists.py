"""Playlists, scripts and films that name other files open nothing but themselves.

Truth: what the kernel reports as opened (inotify), and a server on the loopback that is not called.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from model_zoo.catalogue.cards import Card
from model_zoo.catalogue.install import install
from model_zoo.errors import DecodeError
from tests.audio_files import tones, write_audio
from tests.hostile.playlists import ROWS, Row
from tests.hostile.watch import Opened
from tests.model_zoo.small import small_network
from tests.stemcli.audio.hearing import hear

ROOT = Path(__file__).parents[2]
PRIVATE = ("private.wav", "private.mp3", "private.m4a", "private.ts")
BOUND = 30
"""Seconds for a refusal, on a busy machine; an endless playlist took minutes."""


class Trap(NamedTuple):
    """A folder of a stranger's with private recordings in it, and a server."""

    folder: Path
    server: socket.socket

    def put(self, row: Row) -> Path:
        path = self.folder / row.name
        if callable(row.content):
            row.content(path, self.folder / "private.wav")
            return path
        text = row.content if isinstance(row.content, bytes) else row.content.encode()
        port = str(self.server.getsockname()[1]).encode()
        text = text.replace(b"{private}", os.fsencode(self.folder / "private.wav"))
        path.write_bytes(text.replace(b"{port}", port))
        return path

    def was_called(self) -> bool:
        self.server.settimeout(0)
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("private")
    for name in PRIVATE:
        write_audio(folder / name, tones(2 * 44100))
    return folder


@pytest.fixture
def trap(tmp_path: Path, private: Path) -> Iterator[Trap]:
    for name in PRIVATE:
        (tmp_path / name).write_bytes((private / name).read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Trap(tmp_path, server)


@pytest.fixture(params=["the system's", "the bundled"])
def which_ffmpeg(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The oldest and the newest version at hand."""
    if request.param == "the bundled":
        monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("which_ffmpeg")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_no_other_file_is_opened(row: Row, trap: Trap) -> None:
    path = trap.put(row)
    with Opened(trap.folder) as opened:
        if row.frames:
            heard = hear(path)
            assert len(heard) == row.frames
        else:
            with pytest.raises(DecodeError) as caught:
                hear(path)
            assert len(str(caught.value).removeprefix(str(path)).splitlines()) == 1
        assert opened.names() - {row.name} == set()
    assert not trap.was_called()


def test_the_private_recording_would_be_seen(trap: Trap) -> None:
    """The instruments of the test above do not read zero always."""
    with Opened(trap.folder) as opened:
        assert len(hear(trap.folder / "private.wav")) == 2 * 44100
        assert opened.names() == {"private.wav"}
    with socket.create_connection(trap.server.getsockname()):
        assert trap.was_called()


@pytest.fixture
def stranger(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All rows in one folder as songs of endings that a batch takes, and no other song."""
    folder = trap.folder / "in"
    folder.mkdir()
    for number, row in enumerate(ROWS.values()):
        made = trap.put(row)
        made.rename(folder / f"{number:02}.{('mp3', 'wav', 'm4a', 'mkv')[number % 4]}")
    monkeypatch.setenv("STEM_HOME", str(trap.folder / "zoo"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    return folder


def test_a_batch_of_them_ends_with_a_sentence_each(stranger: Path, trap: Trap) -> None:
    words = ["batch", stranger.name, "-m", "tiny", "--segment", "0.5", "-o", "out"]
    with Opened(trap.folder) as opened:
        done = subprocess.run(
            [sys.executable, "-m", "stemcli", *words],
            cwd=trap.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=BOUND * 4,
        )
        assert opened.names() & {*PRIVATE} == set()
    own = [row for row in ROWS.values() if row.frames]
    refused = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert (done.returncode, len(refused)) == (1, len(ROWS) - len(own))
    assert "Traceback" not in done.stderr
    stems = list((trap.folder / "out").rglob("vocals.wav"))
    assert len(stems) == len(own)
    assert {len(hear(stem)) for stem in stems} == {4410}
    assert not trap.was_called()


def test_what_is_between_the_channels_of_a_linked_film_is_its_own(trap: Trap) -> None:
    """Worked by hand: the samples that were put into the file, in steps of 16 bits."""
    heard = hear(trap.put(ROWS["linked segments"]))
    assert np.abs(heard - tones(4410, channels=1)).max() < 2**-14
