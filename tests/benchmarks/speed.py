"""Separation speed relative to real time, precision against float32, and time of ``--help``.

    python -m tests.benchmarks.speed [--minutes M] [--rounds N]

Separation is timed as a user sees it: one process, with start-up, decoding and encoding. The help
is timed alternately with an empty Python program, so that the ratio is comparable across machines.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from stemcli.engine.options import Options
from stemcli.engine.session import Session
from tests.benchmarks.common import DEMO, run, song_of


def main() -> None:
    """Print the three figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="length of the song (3)")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of --help (10)")
    arguments = parser.parse_args()
    for name in ("wav", "flac", "mp3"):
        print(f"separate to {name}: {times_real_time(arguments.minutes, name):.1f} x real time")
    for precision in ("auto", "bf16"):
        print(f"{precision} against fp32: {signal_to_noise(precision):.1f} dB")
    helps, nothing = start_up(arguments.rounds)
    print(f"stem --help {helps:.3f} s, python {nothing:.3f} s, ratio {helps / nothing:.1f}")


def times_real_time(minutes: float, container: str) -> float:
    """Length of a song over the wall time of ``stem separate``."""
    with tempfile.TemporaryDirectory() as folder:
        song = song_of(60 * minutes, Path(folder, "song.wav"))
        result = run("separate", str(song), "--output", folder, "--format", container)
    return 60 * minutes / result.seconds


def signal_to_noise(precision: str) -> float:
    """Energy of the demo song's float32 stems relative to the difference, in dB."""
    wave, rate = soundfile.read(DEMO, dtype="float32")
    reference, other = (
        np.stack(
            list(
                Session(Options.from_dict({"precision": name})).separate_array(wave, rate).values()
            )
        )
        for name in ("fp32", precision)
    )
    noise = float(np.square(other - reference, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return 10 * math.log10(signal / noise) if noise else math.inf


def start_up(rounds: int) -> tuple[float, float]:
    """Median seconds of ``stem --help`` and of an empty Python program, alternately."""
    commands = (["-m", "stemcli", "--help"], ["-c", "pass"])
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for command, seconds in zip(commands, times, strict=True):
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


if __name__ == "__main__":
    main()
