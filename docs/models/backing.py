"""Render music that could be taken for a voice: leads of winds, strings and bells, held strings.

``python docs/models/backing.py FOLDER`` writes ``backing_rendered.flac``, 44 minutes of random
pieces, into the folder with the other recordings of the recipe ``melroformer-small``. Needs, beside
numpy and soundfile: mido (PyPI, MIT), and Debian's fluidsynth (LGPL-2.1+) and fluid-soundfont-gm
(MIT). The notes depend on the seed alone.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import mido  # type: ignore[import-untyped]
import numpy as np
import soundfile
from numpy.typing import NDArray

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SAMPLE_RATE = 44_100  # Hz
PIECES, BARS = 64, 16
SEED = 1
TICKS = 480  # per beat
BAR = 4 * TICKS

# General MIDI programs, counted from 0. None sings; organs and pads, whose held chords sound most
# like a choir of synthetic voices, are left to real recordings.
LEADS = [*range(64, 80), *range(56, 61), *range(40, 46), *range(8, 16), 24, 26, 28, 29, 104, 107]
STRINGS = [48, 48, 49, 49, 44, 50, 40, 41, 42]
CHORDS = [0, 1, 4, 5, 6, 11, 12, 15, 24, 25, 26, 27, 28, 45, 46, 105, 108]
BASSES = [32, 33, 34, 35, 36, 38, 39, 43, 58]
MODES = [
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 3, 5, 7, 8, 11),
]
KICK, SNARE, HAT = 36, 38, 42
PERCUSSION_CHANNEL = 9
MODULATION, VOLUME, PAN, REVERB = 1, 7, 10, 91  # MIDI controllers

Event = tuple[int, mido.Message]


class Piece:
    """Random bars of one key: bass and a lead, and perhaps strings, chords and drums."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.mode = MODES[rng.integers(len(MODES))]
        self.key = int(rng.integers(12))
        self.roots = [int(rng.integers(7)) for _ in range(4)]
        self.beats_per_minute = rng.uniform(70, 150)

    def file(self) -> mido.MidiFile:
        """The piece, one track for each instrument."""
        file = mido.MidiFile(ticks_per_beat=TICKS)
        tempo = mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(self.beats_per_minute))
        file.tracks.append(mido.MidiTrack([tempo]))
        parts = [self._bass, self._lead]
        parts += [self._strings] if self.rng.random() < 0.7 else []
        parts += [self._chords] if self.rng.random() < 0.7 else []
        for channel, part in enumerate(parts):
            file.tracks.append(track(list(part(channel))))
        if self.rng.random() < 0.6:
            file.tracks.append(track(list(self._drums())))
        return file

    def _pitch(self, degree: int, octave: int) -> int:
        return self.key + 12 * (octave + degree // 7) + self.mode[degree % 7]

    def _chords(self, channel: int) -> Iterator[Event]:
        yield from self._instrument(channel, CHORDS, (45, 90))
        yield from self._triads(channel, int(self.rng.choice([TICKS, 2 * TICKS, BAR])), 4)

    def _strings(self, channel: int) -> Iterator[Event]:
        yield from self._instrument(channel, STRINGS, (70, 120))
        yield from self._triads(channel, BAR, int(self.rng.choice([4, 4, 5])))

    def _triads(self, channel: int, step: int, octave: int) -> Iterator[Event]:
        for start in range(0, BARS * BAR, step):
            root = self.roots[start // BAR % 4]
            for third in (0, 2, 4):
                pitch = self._pitch(root + third, octave)
                yield from self._note(channel, pitch, start, 0.9 * step)

    def _bass(self, channel: int) -> Iterator[Event]:
        yield from self._instrument(channel, BASSES, (70, 110))
        step = int(self.rng.choice([TICKS // 2, TICKS, 2 * TICKS]))
        for start in range(0, BARS * BAR, step):
            yield from self._note(
                channel, self._pitch(self.roots[start // BAR % 4], 2), start, 0.9 * step
            )

    def _lead(self, channel: int) -> Iterator[Event]:
        """A melody of small steps that breathes, as a singer's does."""
        yield from self._instrument(channel, LEADS, (60, 120))
        degree, now, octave = int(self.rng.integers(7)), 0, int(self.rng.choice([4, 5, 5, 6]))
        while now < BARS * BAR:
            length = int(self.rng.choice([0.25, 0.5, 0.5, 1, 1, 2, 4], 1)[0] * TICKS)
            if self.rng.random() < 0.12:
                now += length
                continue
            degree = int(np.clip(degree + self.rng.choice([-4, -2, -1, -1, 0, 1, 1, 2, 4]), -3, 12))
            if length >= TICKS:
                depth = int(self.rng.integers(0, 100))
                yield (
                    now,
                    mido.Message(
                        "control_change", channel=channel, control=MODULATION, value=depth
                    ),
                )
            yield from self._note(
                channel, self._pitch(degree, octave), now, length * self.rng.uniform(0.6, 1.05)
            )
            now += length

    def _drums(self) -> Iterator[Event]:
        hits = [(KICK, self.rng.random(16) < 0.25), (SNARE, self.rng.random(16) < 0.15)]
        hits.append((HAT, self.rng.random(16) < 0.6))
        for start in range(0, BARS * BAR, TICKS // 4):
            for key, pattern in hits:
                if pattern[start // (TICKS // 4) % 16]:
                    yield from self._note(PERCUSSION_CHANNEL, key, start, TICKS / 8)

    def _instrument(
        self, channel: int, programs: list[int], volume: tuple[int, int]
    ) -> Iterator[Event]:
        program = int(self.rng.choice(programs))
        yield 0, mido.Message("program_change", channel=channel, program=program)
        settings = {
            VOLUME: self.rng.integers(*volume),
            PAN: self.rng.integers(24, 105),
            REVERB: self.rng.integers(90),
        }
        for control, value in settings.items():
            yield (
                0,
                mido.Message("control_change", channel=channel, control=control, value=int(value)),
            )

    def _note(self, channel: int, pitch: int, start: float, length: float) -> Iterator[Event]:
        late, force = abs(self.rng.normal(0, 6)), int(np.clip(self.rng.normal(90, 12), 30, 127))
        start = round(start + late)
        yield start, mido.Message("note_on", channel=channel, note=pitch, velocity=force)
        yield start + round(length), mido.Message("note_off", channel=channel, note=pitch)


def track(events: list[Event]) -> mido.MidiTrack:
    """Events at absolute ticks as a track, whose messages hold the ticks since the last."""
    now, found = 0, mido.MidiTrack()
    for tick, message in sorted(events, key=lambda event: event[0]):
        found.append(message.copy(time=tick - now))
        now = tick
    return found


def play(file: mido.MidiFile, folder: Path) -> NDArray[np.float32]:
    """Play through FluidSynth: float of shape (frames, 2), peak at half of full scale."""
    midi, wave = folder / "piece.mid", folder / "piece.wav"
    file.save(midi)
    command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE), "-g", "0.6", "-O", "float"]
    subprocess.run([*command, "-F", str(wave), str(SOUNDFONT), str(midi)], check=True)
    samples, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    return 0.5 * samples / np.abs(samples).max()


def main() -> None:
    """Render every piece and join them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the recordings")
    target = parser.parse_args().folder / "backing_rendered.flac"
    rng = np.random.default_rng(SEED)
    with (
        tempfile.TemporaryDirectory() as folder,
        soundfile.SoundFile(target, "w", SAMPLE_RATE, 2, "PCM_16") as out,
    ):
        for _ in range(PIECES):
            out.write(play(Piece(rng).file(), Path(folder)))


if __name__ == "__main__":
    main()
