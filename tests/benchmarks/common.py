"""Helpers for benchmarks: songs of any length, and ``stem`` in separate processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import soundfile

DEMO = Path(__file__).parents[2] / "docs" / "demo" / "song.flac"
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Run:
    """Measurements of a finished process.

    Attributes:
        seconds: wall time.
        peak: largest resident memory in bytes.
    """

    seconds: float
    peak: int


def song_of(seconds: float, path: Path) -> Path:
    """Write the demo song, repeated to a length of ``seconds``, block by block.

    Args:
        seconds: length of the song.
        path: the file to write; the suffix is a format of libsndfile.
    """
    with soundfile.SoundFile(DEMO) as demo:
        wave, rate = demo.read(dtype="int16"), demo.samplerate
    remaining = round(seconds * rate)
    with soundfile.SoundFile(path, "w", rate, wave.shape[1]) as song:
        while remaining > 0:
            song.write(wave[:remaining])
            remaining -= len(wave)
    return path


def run(*arguments: str) -> Run:
    """Run ``python -m stemcli`` with ``arguments``; output is shown only on failure."""
    command = [sys.executable, "-m", "stemcli", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{output.decode()}")
    return Run(seconds, usage.ru_maxrss * resident_unit())


def resident_unit() -> int:
    """Bytes per unit of ``ru_maxrss``: Linux counts KiB, macOS bytes."""
    return 1 if sys.platform == "darwin" else 1024
