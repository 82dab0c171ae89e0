"""Stems are encoded in parallel, checked by a barrier that opens only if all are in progress."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import OutputError
from stemcli.audio.encoders import WavSink
from stemcli.audio.formats import OutputFormat
from stemcli.engine.outputs import StemWriter

STEMS = ("vocals", "band")


def stem_writer(folder: Path) -> StemWriter:
    paths = {stem: folder / f"{stem}.wav" for stem in STEMS}
    return StemWriter(paths, 8000, 1, OutputFormat("wav", depth="16"), rescale=False)


def test_stems_are_encoded_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, write = threading.Barrier(len(STEMS), timeout=30), WavSink.write

    def write_at_barrier(sink: WavSink, block: np.ndarray) -> None:
        barrier.wait()
        write(sink, block)

    monkeypatch.setattr(WavSink, "write", write_at_barrier)
    ready: list[object] = []
    with stem_writer(tmp_path) as writer:
        writer.write(np.zeros((10, 2, 1), np.float32))
        writer.commit(tmp_path / "song.wav", lambda frames: None, ready.append)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["band.wav", "vocals.wav"]


def write_stems(block: np.ndarray, folder: Path) -> None:
    with stem_writer(folder) as writer:
        writer.write(block)
        writer.commit(folder / "song.wav", lambda frames: None, lambda files: None)


def test_after_a_full_disk_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stem fails while the second is still being written."""
    started, finished = threading.Event(), []

    def write(sink: WavSink, block: np.ndarray) -> None:
        if block[0, 0] == 0:
            started.wait(30)
            raise OSError(28, "No space left on device")
        started.set()
        time.sleep(0.05)
        finished.append(True)

    monkeypatch.setattr(WavSink, "write", write)
    block = np.stack([np.zeros((10, 1)), np.ones((10, 1))], axis=1).astype(np.float32)
    with pytest.raises(OutputError, match="No space left"):
        write_stems(block, tmp_path / "out")
    assert finished == [True]
    assert [*tmp_path.iterdir()] == []
