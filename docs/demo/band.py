"""The backing: patterns become MIDI notes, which FluidSynth plays with a General MIDI soundfont."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mido  # type: ignore[import-untyped]
import numpy as np
import score
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE = 44_100  # Hz
TICKS_PER_BEAT = 960
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")

VELOCITIES = {"o": 58, "x": 84, "X": 108}
PERCUSSION_CHANNEL = 9
LOWEST_BASS = 28  # the open E string
INTERVALS = {"R": 0, "F": 7, "O": 12}
STRUM_BEATS = 0.022  # from one string to the next
VOLUME, PAN, REVERB = 7, 10, 91  # MIDI controllers


@dataclass(frozen=True)
class Played:
    """A note as it is played: position and length in beats, MIDI pitch and velocity."""

    start: float
    beats: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Instrument:
    """A MIDI channel: General MIDI program, volume and reverb of 127, pan (64 is the centre)."""

    channel: int
    program: int
    volume: int
    pan: int
    reverb: int
    played: list[Played]


def drums() -> list[Played]:
    """Every drum of every section."""
    found = []
    for name, key in score.DRUM_KEYS.items():
        patterns = {section: kit.get(name, ".") for section, kit in score.DRUMS.items()}
        for beat, sign in score.steps(patterns):
            if sign in VELOCITIES:
                found.append(Played(beat, 0.2, key, VELOCITIES[sign]))
    return found


def bass() -> list[Played]:
    """Roots, fifths and octaves below the chords."""
    found = []
    for beat, beats, sign in score.held(score.BASS):
        if sign != "-":
            root = LOWEST_BASS + (score.chord_at(beat)[0] - LOWEST_BASS) % 12
            found.append(Played(beat, beats * 0.95, root + INTERVALS[sign], 96))
    return found


def guitar() -> list[Played]:
    """Plucked strings and strums."""
    found = []
    for beat, sign in score.steps(score.GUITAR):
        chord = score.chord_at(beat)
        if sign.isdigit():
            found.append(Played(beat, 1.4, chord[int(sign)], 88))
        elif sign in "DU":
            found.extend(_strum(beat, chord, down=sign == "D"))
    return found


def _strum(beat: float, chord: tuple[int, ...], *, down: bool) -> Iterator[Played]:
    order = chord if down else chord[:2:-1]
    length = 3.5 if beat >= score.SECTIONS["end"][0] else 0.9
    for place, string in enumerate(order):
        yield Played(beat + place * STRUM_BEATS, length, string, (86 if down else 68) - 2 * place)


def piano() -> list[Played]:
    """Chord strokes, each tone of the chord once in the octave above middle C."""
    return [
        Played(beat, beats * 0.9, tone, VELOCITIES[sign] - 14)
        for beat, beats, sign in score.held(score.PIANO)
        for tone in sorted({60 + string % 12 for string in score.chord_at(beat)})
    ]


def strings() -> list[Played]:
    """Held chords, an octave above the guitar."""
    return [
        Played(beat, beats * 0.97, string + 12, 70)
        for beat, beats, _ in score.held(score.STRINGS)
        for string in score.chord_at(beat)[1:5]
    ]


def bells() -> list[Played]:
    """The answers to the singer."""
    return [
        Played(note.start, note.beats, note.pitch, 78)
        for start, line in score.BELLS
        for note in score.notes(line, start)
    ]


def stems() -> dict[str, list[Instrument]]:
    """The instruments of each stem."""
    return {
        "drums": [Instrument(PERCUSSION_CHANNEL, 0, 110, 64, 24, drums())],
        "bass": [Instrument(0, 33, 112, 64, 0, bass())],
        "other": [
            Instrument(0, 25, 104, 34, 30, guitar()),
            Instrument(1, 0, 84, 92, 36, piano()),
            Instrument(2, 48, 56, 70, 60, strings()),
            Instrument(3, 9, 64, 84, 60, bells()),
        ],
    }


def render(instruments: list[Instrument], folder: Path, frames: int) -> NDArray[np.float64]:
    """Play the instruments through FluidSynth: float of shape (frames, 2) at 44.1 kHz."""
    midi, wave = folder / "part.mid", folder / "part.wav"
    midi_file(instruments).save(midi)
    command = ["fluidsynth", "-ni", "-q", "-r", str(SAMPLE_RATE), "-g", "0.6", "-O", "float"]
    subprocess.run([*command, "-F", str(wave), str(SOUNDFONT), str(midi)], check=True)
    samples, _ = soundfile.read(wave, always_2d=True)
    return np.pad(samples, ((0, max(0, frames - len(samples))), (0, 0)))[:frames]


def midi_file(instruments: list[Instrument]) -> mido.MidiFile:
    """A MIDI file with one track for each instrument, played by slightly imprecise hands."""
    file = mido.MidiFile(ticks_per_beat=TICKS_PER_BEAT)
    for instrument in instruments:
        file.tracks.append(_track(instrument, np.random.default_rng(instrument.program)))
    return file


def _track(instrument: Instrument, hands: np.random.Generator) -> mido.MidiTrack:
    channel = instrument.channel
    controls = {VOLUME: instrument.volume, PAN: instrument.pan, REVERB: instrument.reverb}
    tempo = mido.bpm2tempo(score.BEATS_PER_MINUTE)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=tempo)])
    track.append(mido.Message("program_change", channel=channel, program=instrument.program))
    for control, value in controls.items():
        track.append(mido.Message("control_change", channel=channel, control=control, value=value))
    now = 0
    for tick, message in sorted(_messages(instrument, hands), key=lambda event: event[0]):
        track.append(message.copy(time=tick - now))
        now = tick
    return track


def _messages(
    instrument: Instrument, hands: np.random.Generator
) -> Iterator[tuple[int, mido.Message]]:
    for note in instrument.played:
        late, louder = hands.normal(0, 0.006), round(hands.normal(0, 4))
        on = max(0, round((note.start + late) * TICKS_PER_BEAT))
        off = on + round(note.beats * TICKS_PER_BEAT)
        velocity = min(127, max(1, note.velocity + louder))
        for tick, kind, force in ((on, "note_on", velocity), (off, "note_off", 0)):
            sound = {"channel": instrument.channel, "note": note.pitch, "velocity": force}
            yield tick, mido.Message(kind, **sound)
