"""Peak memory of ``stem separate`` on a long file against a short one.

    python -m tests.benchmarks.memory [--long MINUTES] [--short MINUTES] [--format wav|flac|mp3|ogg]

Expected: a two-hour file takes at most 15 % more than a five-minute one, and less than 1.5 GB.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.benchmarks.common import MEBIBYTE, run, song_of


def main() -> None:
    """Separate both files and print their peaks and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--long", type=float, default=120, help="minutes (120)")
    parser.add_argument("--short", type=float, default=5, help="minutes (5)")
    parser.add_argument("--format", default="wav", help="of the songs: wav, flac, mp3 or ogg (wav)")
    arguments = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (arguments.short, arguments.long):
            song = song_of(60 * minutes, Path(folder, f"{minutes:g} minutes.{arguments.format}"))
            result = run("separate", str(song), "--output", folder)
            speed = 60 * minutes / result.seconds
            peak = result.peak / MEBIBYTE
            print(f"{minutes:g} min: peak {peak:.0f} MiB, {speed:.1f} times real time", flush=True)
            peaks.append(result.peak)
    print(f"long / short: {peaks[1] / peaks[0]:.3f}")


if __name__ == "__main__":
    main()
