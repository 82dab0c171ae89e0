"""The demo song as data: words, melody, chords and patterns, all written for this project.

Positions and lengths are in beats from the start of the song; pitches are MIDI numbers (69 is A4,
440 Hz). A pattern has one character per sixteenth note and repeats for as long as its section.
"""

from __future__ import annotations

from dataclasses import dataclass

BEATS_PER_MINUTE = 110
BEATS_PER_BAR = 4
STEPS_PER_BEAT = 4
SONG_BEATS = 48
TAIL_SECONDS = 1.2

SECTIONS = {
    "intro": (0, 8),
    "verse": (8, 24),
    "chorus": (24, 40),
    "ending": (40, 44),
    "end": (44, 48),
}


@dataclass(frozen=True)
class Note:
    """One sung or played note: MIDI pitch, start and length in beats."""

    pitch: int
    start: float
    beats: float


@dataclass(frozen=True)
class Phrase:
    """One breath of the singer: one note for each vowel of the words; the level is in dB."""

    words: str
    start: float
    melody: str
    harmony: str = ""
    level: float = 0.0


PHRASES = (
    Phrase(
        words="paper boats on the river line",
        start=8,
        melody="D4/.5 E4/.5 G4/1 G4/.5 F#4/.5 G4/.5 F#4/.5 A4/2.5",
    ),
    Phrase(
        words="carry all of the words I find",
        start=16,
        melody="B4/.5 A4/.5 G4/1 G4/.5 F#4/.5 G4/.5 F#4/.5 E4/2.75",
    ),
    Phrase(
        words="sing me home, sing me over the water",
        start=24,
        melody="C5/1 B4/.5 G4/2.5 B4/.5 A4/.5 B4/1 G4/.5 A4/.5 B4/.5 A4/1.5",
        harmony="G4/1 G4/.5 E4/2.5 G4/.5 F#4/.5 G4/1 D4/.5 D4/.5 G4/.5 F#4/1.5",
        level=1.5,
    ),
    Phrase(
        words="hold the light till the morning is near",
        start=33.5,
        melody="A4/.5 B4/.5 D5/1 D5/.5 B4/.5 B4/1 A4/.5 G4/.5 A4/1.25",
        harmony="F#4/.5 G4/.5 A4/1 A4/.5 G4/.5 G4/1 F#4/.5 E4/.5 E4/1.25",
        level=1.5,
    ),
    Phrase(
        words="sing me all the way home",
        start=40,
        melody="G4/1 A4/.5 B4/.5 A4/.5 F#4/1.5 G4/3.5",
        harmony="E4/1 E4/.5 G4/.5 F#4/.5 D4/1.5 D4/3.5",
        level=1.5,
    ),
)

# Chord names, each with its length in beats, over the whole song.
CHORDS = "G/4 Cadd9/4 G/4 D:F#/4 Em/4 C/4 C/4 G/4 D/4 Em/4 C/2 D/2 G/4"

# Guitar strings from the lowest to the highest; the bass plays the first, in its own octave.
VOICINGS = {
    "G": (43, 47, 50, 55, 59, 67),
    "D:F#": (42, 50, 57, 62, 66, 69),
    "D": (50, 57, 62, 66, 69, 74),
    "Em": (40, 47, 52, 55, 59, 64),
    "C": (48, 52, 55, 60, 64, 67),
    "Cadd9": (48, 52, 55, 62, 64, 67),
}

# General MIDI percussion keys; loudness: o soft, x normal, X accented.
DRUM_KEYS = {
    "kick": 36,
    "snare": 38,
    "stick": 37,
    "hat": 42,
    "open": 46,
    "shaker": 70,
    "crash": 49,
    "tom": 45,
}
DRUMS = {
    "intro": {"shaker": "o.o.x.o.o.o.x.o.", "kick": "................X......x..x....."},
    "verse": {
        "kick": "X......x..X.....X......x..X...x.",
        "stick": "....X.......X...",
        "hat": "o.o.o.o.o.o.o.oo",
        "shaker": "..o...o...o...o.",
    },
    "chorus": {
        "crash": "x" + "." * 63,
        "kick": "X..x..x.X.x.....X..x..x.X.x....x",
        "snare": "....X.......X.......X..o....X.o.",
        "hat": "x.o.x.o.x.o.x...",
        "open": "..............o.",
        "shaker": "o.o.o.o.o.o.o.o.",
    },
    "ending": {
        "kick": "X..x..x.X.......",
        "snare": "....X.......XxXX",
        "hat": "x.o.x.o.........",
        "tom": "..............xX",
    },
    "end": {"crash": "x...............", "kick": "X..............."},
}

# Bass: R root, F fifth, O octave; a dash ends a note.
BASS = {
    "verse": "R.....-.F.-.R.-.R.....-.R.-.F.O.",
    "chorus": "R..R..R.R.-.O.F.R..R..R.R.-.F.F.",
    "ending": "R..R..R.R.-.R.-.",
    "end": "R...............",
}

# Guitar: digits pluck one string of the chord, D and U strum down and up.
GUITAR = {
    "intro": "0.2.3.4.2.5.3.4.",
    "verse": "0.2.3.4.2.5.3.4.",
    "chorus": "D...D.U..UD.D.U.",
    "ending": "D...D.U.D.D.D.DU",
    "end": "D...............",
}

# Piano: chord strokes; strings: S begins a held chord.
PIANO = {
    "verse": "x...............",
    "chorus": "x.....x...x.....",
    "ending": "x...o...x...o...",
    "end": "x...............",
}
STRINGS = {
    "chorus": "S...............",
    "ending": "S.......S.......",
    "end": "S...............",
}

# The bells answer the singer: pitch/length, r is a rest.
BELLS = (
    (0, "r/2 D5/.5 E5/.5 G5/1 r/1 E5/.5 D5/.5 G5/1 D5/1"),
    (14.5, "D5/.5 E5/.5 F#5/.5"),
    (22.5, "G5/.5 A5/.5 B5/.5"),
    (44, "B5/.5 D6/.5 G6/3"),
)

_NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def seconds(beats: float) -> float:
    """The time of a position in the song, in seconds."""
    return beats * 60 / BEATS_PER_MINUTE


def pitch(name: str) -> int:
    """The MIDI number of a note name with its octave: ``F#4`` is 66."""
    letter, octave = name.rstrip("-0123456789"), int(name.lstrip("ABCDEFG#"))
    return _NATURALS[letter[0]] + letter.count("#") + 12 * (octave + 1)


def notes(line: str, start: float) -> list[Note]:
    """Read a line such as ``D4/.5 r/1 G4/2``, one note or rest after the other."""
    found = []
    for item in line.split():
        name, length = item.split("/")
        if name != "r":
            found.append(Note(pitch(name), start, float(length)))
        start += float(length)
    return found


def chord_at(beat: float) -> tuple[int, ...]:
    """The guitar strings of the chord that sounds at a beat."""
    end = 0.0
    for item in CHORDS.split():
        name, length = item.split("/")
        end += float(length)
        if beat < end:
            return VOICINGS[name]
    return VOICINGS[name]


def steps(patterns: dict[str, str]) -> list[tuple[float, str]]:
    """Spread the pattern of each section over the song: (beat, sign) for every sixteenth."""
    found = []
    for section, (first, last) in SECTIONS.items():
        pattern = patterns.get(section, ".")
        for step in range((last - first) * STEPS_PER_BEAT):
            found.append((first + step / STEPS_PER_BEAT, pattern[step % len(pattern)]))
    return found


def held(patterns: dict[str, str]) -> list[tuple[float, float, str]]:
    """The signs that are not dots, as (beat, beats, sign): each lasts until the next one."""
    signs = [(beat, sign) for beat, sign in steps(patterns) if sign != "."]
    ends = [beat for beat, _ in signs[1:]] + [float(SONG_BEATS)]
    return [(beat, end - beat, sign) for (beat, sign), end in zip(signs, ends, strict=True)]
