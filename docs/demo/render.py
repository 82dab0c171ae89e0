"""Render the demo song with its true stems: `python docs/demo/render.py` from the repository root.

Needs, beside numpy, scipy, soundfile and soxr:

- Debian: fluidsynth (LGPL-2.1+), fluid-soundfont-gm (MIT), festival (free, MIT-like)
  and festvox-us-slt-hts (the voice "slt" of Carnegie Mellon University; free, MIT-like).
- PyPI: pyworld (MIT; the WORLD vocoder itself is modified BSD), mido (MIT), and "setuptools<81"
  (MIT), which pyworld imports.

Nothing random is left to chance: two renderings on one machine are the same bytes. Other versions
of the programs, or another processor's rounding, may change the last bits.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import band
import mix
import numpy as np
import score
import voice

HERE = Path(__file__).parent
FRAMES = round((score.seconds(score.SONG_BEATS) + score.TAIL_SECONDS) * mix.SAMPLE_RATE)

LEAD = voice.Take(seed=1)
DOUBLES = {-0.45: voice.Take(2, detune=0.06, delay=0.014), 0.45: voice.Take(3, -0.06, 0.021)}
HARMONIES = {-0.3: voice.Take(4, detune=0.03, delay=0.008), 0.3: voice.Take(5, -0.04, 0.017)}
DOUBLE_LEVEL, HARMONY_LEVEL = -13.0, -13.0  # dB beside the lead

BAND_LEVELS = {"drums": -1.0, "bass": -1.0, "other": 0.0}  # dB beside each other, as loudness
BAND_WIDTHS = {"drums": 0.4, "bass": 0.0, "other": 1.0}
VOICE_LEVEL = -0.5  # dB beside the whole band in the verse


def sing_all(folder: Path) -> mix.Signal:
    """All voices in stereo: the lead in the centre, doubles and harmonies beside it."""
    lead = np.zeros(FRAMES)
    others = np.zeros((FRAMES, 2))
    for phrase in score.PHRASES:
        speech = voice.speak(phrase.words, folder)
        melody = score.notes(phrase.melody, phrase.start)
        harmony = score.notes(phrase.harmony, phrase.start)
        lead += mix.gain(phrase.level) * voice.sing(speech, melody, LEAD, FRAMES)
        others += _choir(speech, melody, DOUBLES, DOUBLE_LEVEL)
        if harmony:
            others += _choir(speech, harmony, HARMONIES, HARMONY_LEVEL)
    lead = mix.compress(mix.highpass(lead, 110), above=-4, ratio=3.5)
    dry = mix.pan(lead, 0) + mix.highpass(others, 160)
    return dry + mix.room(dry)


def _choir(
    speech: voice.Speech, notes: list[score.Note], takes: dict[float, voice.Take], level: float
) -> mix.Signal:
    voices = [mix.pan(voice.sing(speech, notes, take, FRAMES), at) for at, take in takes.items()]
    return mix.gain(level) * np.sum(voices, axis=0)


def play_all(folder: Path) -> dict[str, mix.Signal]:
    """The stems of the band, each at its level."""
    stems = {}
    for name, instruments in band.stems().items():
        sound = mix.narrow(band.render(instruments, folder, FRAMES), BAND_WIDTHS[name])
        stems[name] = sound * mix.gain(BAND_LEVELS[name] - 20 - mix.loudness(sound))
    return stems


def mix_song() -> dict[str, mix.Samples]:
    """The stems vocals, drums, bass and other as 16-bit integers of shape (frames, 2)."""
    with tempfile.TemporaryDirectory() as folder:
        stems = {"vocals": sing_all(Path(folder)), **play_all(Path(folder))}
    verse = slice(
        *(round(score.seconds(beat) * mix.SAMPLE_RATE) for beat in score.SECTIONS["verse"])
    )
    backing = stems["drums"] + stems["bass"] + stems["other"]
    difference = mix.loudness(backing[verse]) - mix.loudness(stems["vocals"][verse])
    stems["vocals"] *= mix.gain(VOICE_LEVEL + difference)
    finished = {name: mix.finish(stem, score.TAIL_SECONDS) for name, stem in stems.items()}
    return {name: mix.quantize(stem) for name, stem in mix.master(finished).items()}


def main() -> None:
    """Write the song, its vocals and its instrumental; with --all also the stems of the band."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--all", action="store_true", help="also write drums, bass and other")
    parser.add_argument("--output", type=Path, default=HERE, help="folder to write to")
    options = parser.parse_args()
    stems = mix_song()
    instrumental = stems["drums"] + stems["bass"] + stems["other"]
    mix.write(options.output / "song.flac", stems["vocals"] + instrumental)
    mix.write(options.output / "stems/instrumental.flac", instrumental)
    for name in stems if options.all else ["vocals"]:
        mix.write(options.output / f"stems/{name}.flac", stems[name])


if __name__ == "__main__":
    main()
