"""Time and memory of htdemucs in Stem, in demucs 4.1.0 and in unblend 1.0.0, side by side.

    stem models pull htdemucs
    python -m tests.benchmarks.separate SONG [--seconds S] [--rounds N] [--unblend PYTHON]

All programs run the same weights in chunks of 7.8 s that overlap by a quarter, without random
shifts, on all cores. They take turns, each time in a new process. The time is that of separating an
array after the network was loaded; the memory is the peak of the whole process. Level is how far
the difference to the stems of demucs lies below them: of all stems together.

demucs is installed by ``pip install -e '.[peers]'``. unblend needs an environment of its own,
``--unblend`` is its Python; it downloads the same weights to ``UNBLEND_CACHE_DIR``.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from model_zoo.catalogue.cards import find, verify
from stemcli.engine.device import resolve_precision
from tests.benchmarks.common import MEBIBYTE, resident_unit

CHILD = Path(__file__).with_name("peers_separate.py")


@dataclass(frozen=True)
class Contestant:
    """A program in one precision, and the Python that runs it."""

    program: str
    precision: str
    python: str = sys.executable

    def __str__(self) -> str:
        return f"{self.program}, {self.precision}"


@dataclass(frozen=True)
class Turn:
    """Seconds of a separation and the peak memory of its process in bytes."""

    seconds: float
    peak: int


def main() -> None:
    """Let every program separate the song in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("song", type=Path, help="a stereo song at 44.1 kHz")
    parser.add_argument("--seconds", type=float, default=60, help="of the song (60)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program (3)")
    parser.add_argument("--unblend", metavar="PYTHON", help="Python that has unblend 1.0.0")
    arguments = parser.parse_args()
    contestants = [Contestant(program, "fp32") for program in ("demucs", "stem")]
    contestants.append(Contestant("stem", "auto"))
    if arguments.unblend:
        contestants.insert(1, Contestant("unblend", "fp32", arguments.unblend))
    auto = resolve_precision("auto", torch.device("cpu"))
    print(f"auto is {auto.name}: {auto.reason}; {torch.get_num_threads()} threads", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        mixture = Path(folder, "mixture.npy")
        np.save(mixture, read(arguments.song, arguments.seconds))
        turns: dict[Contestant, list[Turn]] = defaultdict(list)
        for _ in range(arguments.rounds):
            for contestant in contestants:
                turns[contestant].append(take_turn(contestant, mixture))
        report(turns, Path(folder))


def read(song: Path, seconds: float) -> np.ndarray:
    """The beginning of a song as ``(time, channel)``."""
    wave, rate = soundfile.read(song, dtype="float32", always_2d=True)
    if rate != 44_100 or wave.shape[1] != 2:
        raise SystemExit(f"{song} must be stereo at 44,100 Hz, to be resampled by no program.")
    return wave[: round(seconds * rate)]


def stems_of(contestant: Contestant, folder: Path) -> Path:
    """File of the stems of a contestant's last turn."""
    return folder / f"{contestant.program}-{contestant.precision}.npy"


def take_turn(contestant: Contestant, mixture: Path) -> Turn:
    """Separate in a new process."""
    weights = verify(find("htdemucs"))
    stems = stems_of(contestant, mixture.parent)
    arguments = [contestant.program, mixture, stems, weights, contestant.precision]
    command = [contestant.python, str(CHILD), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=CHILD.parents[2])
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{contestant} failed.")
    turn = Turn(float(output.split()[-1]), usage.ru_maxrss * resident_unit())
    print(f"{contestant}: {turn.seconds:.1f} s, {turn.peak / MEBIBYTE:.0f} MiB", flush=True)
    return turn


def report(turns: dict[Contestant, list[Turn]], folder: Path) -> None:
    """Print a row for each contestant."""
    seconds = {each: statistics.median(turn.seconds for turn in turns[each]) for each in turns}
    fastest = min(value for each, value in seconds.items() if each.program != "stem")
    reference = np.load(stems_of(Contestant("demucs", "fp32"), folder))
    print("| program | s | of the fastest peer | peak MiB | level of the difference to demucs |")
    print("|---|---|---|---|---|")
    for each, found in turns.items():
        stems = np.load(stems_of(each, folder))
        peak = statistics.median(turn.peak for turn in found) / MEBIBYTE
        print(
            f"| {each} | {seconds[each]:.1f} | {fastest / seconds[each]:.2f} times as fast "
            f"| {peak:.0f} | {level(reference, stems):.0f} dB |"
        )


def level(reference: np.ndarray, stems: np.ndarray) -> float:
    """Energy of stems over that of their difference to the reference, in dB."""
    noise = float(np.square(stems - reference, dtype=np.float64).sum())
    signal = float(np.square(reference, dtype=np.float64).sum())
    return 10 * math.log10(signal / noise) if noise else math.inf


if __name__ == "__main__":
    main()
