"""Time of ``stem batch`` against single runs of ``stem separate``, and use of the network.

    python -m tests.benchmarks.batch [--songs N] [--seconds S] [--format NAME]

Expected: the batch takes at most 0.8 of the single runs' time, because it loads the model once and
decodes and encodes songs while the network runs; the network of the default model, one of the
fastest, runs for at least 70 % of the batch's time. Half of the single runs are before the batch,
half after it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from tests.benchmarks.common import run, song_of


def main() -> None:
    """Print both times, their ratio and the network's share of the time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--songs", type=int, default=20, help="how many (20)")
    parser.add_argument("--seconds", type=float, default=60, help="length of each (60)")
    parser.add_argument("--format", default="wav", help="of the stems (wav)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        library = root / "library"
        library.mkdir()
        songs = [
            song_of(arguments.seconds, library / f"{number}.wav")
            for number in range(arguments.songs)
        ]
        half = len(songs) // 2
        single = singles(songs[:half], root / "single", arguments.format)
        together, busy = batch(library, root / "batch", arguments.format)
        single += singles(songs[half:], root / "single", arguments.format)
    print(f"{len(songs)} runs of stem separate: {single:.1f} s")
    print(f"one stem batch: {together:.1f} s, ratio {together / single:.2f}")
    print(f"network busy: {100 * busy:.0f} % of the batch")


def singles(songs: list[Path], output: Path, container: str) -> float:
    """Total seconds of separating the songs one by one."""
    options = ["--output", str(output), "--format", container]
    return sum(run("separate", str(song), *options).seconds for song in songs)


def batch(library: Path, output: Path, container: str) -> tuple[float, float]:
    """Seconds of the batch, and the share of the time in which the network ran."""
    report = output.parent / "report.json"
    options = ["--output", str(output), "--format", container, "--report", str(report)]
    seconds = run("batch", str(library), *options).seconds
    summary = json.loads(report.read_text("utf-8"))
    return seconds, summary["network_seconds"] / summary["wall_seconds"]


if __name__ == "__main__":
    main()
