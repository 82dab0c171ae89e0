"""Playlists, scripts and films that refer to other files: only the file itself is opened.

Checked by the opened files that the kernel reports (inotify), and by a local server.
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
from tests.hostile.opened_files import Opened
from tests.hostile.playlists import ROWS, Row
from tests.model_zoo.small import small_network
from tests.stemcli.audio.decoding import decode

ROOT = Path(__file__).parents[2]
PRIVATE = ("private.wav", "private.mp3", "private.m4a", "private.ts")
TIMEOUT = 30
"""Seconds for a refusal on a busy machine; an endless playlist once took minutes."""


class Trap(NamedTuple):
    """An untrusted folder with private recordings in it, and a server."""

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
    """Run with the system's and the bundled ffmpeg."""
    if request.param == "the bundled":
        monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("which_ffmpeg")
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_no_other_file_is_opened(row: Row, trap: Trap) -> None:
    path = trap.put(row)
    with Opened(trap.folder) as opened:
        if row.frames:
            wave = decode(path)
            assert len(wave) == row.frames
        else:
            with pytest.raises(DecodeError) as caught:
                decode(path)
            assert len(str(caught.value).removeprefix(str(path)).splitlines()) == 1
        assert opened.names() - {row.name} == set()
    assert not trap.was_called()


def test_the_trap_detects_opened_files_and_connections(trap: Trap) -> None:
    """The checks of the test above can fail."""
    with Opened(trap.folder) as opened:
        assert len(decode(trap.folder / "private.wav")) == 2 * 44100
        assert opened.names() == {"private.wav"}
    with socket.create_connection(trap.server.getsockname()):
        assert trap.was_called()


@pytest.fixture
def hostile_folder(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All rows in one folder, with the extensions of songs, and no other song."""
    folder = trap.folder / "in"
    folder.mkdir()
    for number, row in enumerate(ROWS.values()):
        path = trap.put(row)
        path.rename(folder / f"{number:02}.{('mp3', 'wav', 'm4a', 'mkv')[number % 4]}")
    monkeypatch.setenv("STEM_HOME", str(trap.folder / "zoo"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    install(small_network(), Card("tiny", "melrnn", stems=("vocals",), residual="band"))
    return folder


def test_a_batch_reports_one_error_per_file(hostile_folder: Path, trap: Trap) -> None:
    args = ["batch", hostile_folder.name, "-m", "tiny", "--segment", "0.5", "-o", "out"]
    with Opened(trap.folder) as opened:
        done = subprocess.run(
            [sys.executable, "-m", "stemcli", *args],
            cwd=trap.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT * 4,
        )
        assert opened.names() & {*PRIVATE} == set()
    valid = [row for row in ROWS.values() if row.frames]
    refused = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert (done.returncode, len(refused)) == (1, len(ROWS) - len(valid))
    assert "Traceback" not in done.stderr
    stems = list((trap.folder / "out").rglob("vocals.wav"))
    assert len(stems) == len(valid)
    assert {len(decode(stem)) for stem in stems} == {4410}
    assert not trap.was_called()


def test_linked_segments_play_only_their_own_audio(trap: Trap) -> None:
    """Expected: the samples written into the file, in 16-bit steps."""
    wave = decode(trap.put(ROWS["linked segments"]))
    assert np.abs(wave - tones(4410, channels=1)).max() < 2**-14
