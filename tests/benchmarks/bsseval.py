"""Time, memory and results of our BSSEval against museval.

    python -m tests.benchmarks.bsseval [--minutes M] [--rounds N]

Both get the same four synthetic stereo stems and estimates from the same wav files, alternately in
separate processes. The time is that of the evaluation only; memory is the peak of the process,
samples included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from scipy.signal import fftconvolve

from stemcli.process import peak_memory
from tests.benchmarks.common import MEBIBYTE
from trainers.data.synthetic import play

RATE = 44_100
PROGRAMS = ("ours", "museval")
SONG_WRITER = "song"
"""A separate process writes the song, so that its memory is not measured."""


def main() -> None:
    """Print times, memory and the largest difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=3, help="length of the song (3)")
    parser.add_argument("--rounds", type=int, default=2, help="processes of each program (2)")
    parser.add_argument("--program", choices=(*PROGRAMS, SONG_WRITER), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.program == SONG_WRITER:
        write_song(arguments.folder, 60 * arguments.minutes)
    elif arguments.program:
        measure_and_print(arguments.program, arguments.folder)
    else:
        compare(arguments.minutes, arguments.rounds)


def compare(minutes: float, rounds: int) -> None:
    """Run both programs alternately on one song."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start(SONG_WRITER, folder, "--minutes", str(minutes))
        readings: dict[str, list[dict[str, Any]]] = {program: [] for program in PROGRAMS}
        for _ in range(rounds):
            for program in PROGRAMS:
                readings[program].append(run(program, folder))
                print(f"{program}: {formatted(readings[program][-1])}", flush=True)
    ours, theirs = readings.values()
    seconds = [statistics.median(each["seconds"] for each in scores) for scores in (ours, theirs)]
    memory = [statistics.median(each["memory"] for each in scores) for scores in (ours, theirs)]
    ratios = [np.array(scores[0]["ratios"]) for scores in (ours, theirs)]
    print(f"{minutes:g} minutes, four stems, stereo: {seconds[1] / seconds[0]:.1f} times as fast")
    print(f"with {memory[0] / memory[1]:.2f} of the memory")
    missing = [np.isnan(each) for each in ratios]
    if (missing[0] != missing[1]).any():
        raise SystemExit("one of them has windows without a number where the other has one")
    print(f"largest difference {np.nanmax(np.abs(ratios[0] - ratios[1])):.1e} dB")


def formatted(reading: dict[str, Any]) -> str:
    """One measurement as text."""
    return f"{reading['seconds']:.1f} s, {reading['memory'] / MEBIBYTE:.0f} MiB"


def write_song(folder: Path, seconds: float) -> None:
    """Write reverberant stems, so that channels differ, and leaky, noisy estimates."""
    rng = np.random.default_rng(0)
    stems = play(seconds, RATE, rng)
    room = rng.standard_normal((len(stems), 2, RATE // 5)) * np.exp(-np.arange(RATE // 5) / 1500)
    room[..., 0] += 20
    waves = fftconvolve(np.stack([*stems.values()]), room, axes=-1)[..., : round(seconds * RATE)]
    waves *= 0.2 / np.abs(waves).max()
    leaking = waves + 0.2 * np.roll(waves, 1, 0) + 0.3 * np.roll(waves, 5, -1)
    estimates = leaking + 0.002 * rng.standard_normal(waves.shape)
    for index, name in enumerate(stems):
        soundfile.write(folder / f"{name}.true.wav", waves[index].T, RATE, subtype="PCM_16")
        soundfile.write(folder / f"{name}.made.wav", estimates[index].T, RATE, subtype="PCM_16")


def run(program: str, folder: Path) -> dict[str, Any]:
    """Run one process and return its results."""
    return json.loads(start(program, folder))


def start(program: str, folder: Path, *more: str) -> str:
    """The output of a separate process."""
    command = [sys.executable, "-m", "tests.benchmarks.bsseval", "--program", program, *more]
    done = subprocess.run([*command, "--folder", str(folder)], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def measure_and_print(program: str, folder: Path) -> None:
    """Measure with one program and print the results as JSON."""
    measure = by_us if program == "ours" else by_museval
    reference, estimate = (read(folder, kind) for kind in ("true", "made"))
    started = time.perf_counter()
    ratios = measure(estimate, reference)
    seconds = time.perf_counter() - started
    results = {"seconds": seconds, "memory": peak_memory(), "ratios": ratios.tolist()}
    print(json.dumps(results))


def read(folder: Path, kind: str) -> np.ndarray:
    """Waves ``stem channel time`` as float32, from 16 bits as in MUSDB18."""
    files = sorted(folder.glob(f"*.{kind}.wav"))
    return np.stack([soundfile.read(file, dtype="float32")[0].T for file in files])


def by_us(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Our ratios, ``ratio stem window``."""
    from trainers.metrics.bsseval import bss_eval

    scores = bss_eval(torch.from_numpy(estimate), torch.from_numpy(reference))
    return torch.stack([scores.sdr, scores.isr, scores.sir, scores.sar]).numpy()


def by_museval(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """museval's ratios, ``ratio stem window``; its inputs are ``stem time channel``."""
    from tests.trainers.bsseval_reference import metrics

    sides = (np.moveaxis(side, 1, 2) for side in (reference, estimate))
    *ratios, _ = metrics.bss_eval(*sides, window=RATE, hop=RATE)
    return np.stack(ratios)


if __name__ == "__main__":
    main()
