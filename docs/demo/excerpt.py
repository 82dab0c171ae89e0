"""Mix the excerpt with a real voice: `python docs/demo/excerpt.py CORPUS` from the repository root.

CORPUS is a folder with two CC0 recordings, as Ogg Opus at 48 kHz: `vocals_producerspace.opus` (sung
phrases from Producer Space sample packs) and `backing_everythingisfree.opus` (two songs of
Software-Entwicklungskit without their voice). Needs numpy, scipy, soundfile and soxr.

The two do not belong together. Of all pairs of 12 s of singing and 12 s of backing, the one whose
pitch classes agree best was taken, before any model had heard it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mix
import soundfile
import soxr

SECONDS = 12
VOICE_AT, BACKING_AT = 248, 248
"""Where each is cut from its recording, in seconds."""

VOICE_LEVEL = 0.0
"""Loudness of the voice beside the backing, in dB."""

FADE_SECONDS = 0.25
"""At the end."""


def cut(path: Path, start: int) -> mix.Signal:
    """``SECONDS`` of a recording at the sample rate of the demo, ``(frames, channels)``."""
    rate = soundfile.info(path).samplerate
    sound, _ = soundfile.read(path, SECONDS * rate, start * rate, always_2d=True)
    return soxr.resample(sound, rate, mix.SAMPLE_RATE, "VHQ")


def stems(corpus: Path) -> dict[str, mix.Samples]:
    """Voice and backing as 16-bit integers of shape (frames, 2)."""
    backing = cut(corpus / "backing_everythingisfree.opus", BACKING_AT)
    dry = mix.pan(cut(corpus / "vocals_producerspace.opus", VOICE_AT)[:, 0], 0)
    voice = dry + mix.room(dry)
    voice = voice * mix.gain(VOICE_LEVEL + mix.loudness(backing) - mix.loudness(voice))
    finished = {
        name: mix.finish(sound, FADE_SECONDS)
        for name, sound in (("vocals", voice), ("instrumental", backing))
    }
    return {name: mix.quantize(sound) for name, sound in mix.master(finished).items()}


def main() -> None:
    """Write the song and its two stems."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("corpus", type=Path, help="folder with the two recordings")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).parent / "real", help="folder to write to"
    )
    options = parser.parse_args()
    made = stems(options.corpus)
    mix.write(options.output / "song.flac", made["vocals"] + made["instrumental"])
    for name, samples in made.items():
        mix.write(options.output / f"stems/{name}.flac", samples)


if __name__ == "__main__":
    main()
