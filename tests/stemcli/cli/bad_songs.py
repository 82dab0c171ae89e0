"""Songs that cannot be separated, and functions that write them."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.audio_files import ffmpeg

RATE = 16_000
FRAMES = RATE // 4
STEMS = ("vocals", "band")

Sound = NDArray[np.float32]
Make = Callable[[Path], object]


def noise(frames: int = FRAMES, channels: int = 2) -> Sound:
    rng = np.random.default_rng(0)
    return rng.uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def write(path: Path, wave: Sound, rate: int = RATE) -> None:
    """Write a float WAV file under any name."""
    soundfile.write(os.fsencode(path), wave, rate, subtype="FLOAT", format="WAV")


def write_song(path: Path) -> None:
    """Write a quarter of a second of stereo noise."""
    write(path, noise())


def write_song_in_16_bits(path: Path) -> None:
    """Write the same noise in 16 bits, with the plain 44-byte header of RIFF WAVE."""
    soundfile.write(path, noise(), RATE, subtype="PCM_16")


def with_value(value: float) -> Make:
    """A writer of songs with this value in the middle of a channel."""

    def make(path: Path) -> None:
        wave = noise()
        wave[len(wave) // 2, 1] = value
        write(path, wave)

    return make


def wave(frames: int = FRAMES, channels: int = 2, rate: int = RATE) -> Make:
    return lambda path: write(path, noise(frames, channels), rate)


def patched_header(at: int, layout: str, value: int) -> Make:
    """A writer of 16-bit songs with this value in the header."""

    def make(path: Path) -> None:
        write_song_in_16_bits(path)
        data = bytearray(path.read_bytes())
        struct.pack_into(layout, data, at, value)
        path.write_bytes(data)

    return make


def truncated_in_the_header(path: Path) -> None:
    write_song(path)
    os.truncate(path, 30)


def write_text_file(path: Path) -> None:
    path.write_text("This is no music. " * 99)


def film_without_sound(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=size=32x32:duration=0.2:rate=10", "-c:v", "mpeg4", path)


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def folder_in_place_of_a_stem(path: Path) -> None:
    write_song(path)
    Path("separated", path.stem, "vocals.wav").mkdir(parents=True)


def file_in_place_of_the_folder(path: Path) -> None:
    write_song(path)
    Path("separated").mkdir()
    Path("separated", path.stem).touch()


class Bad(NamedTuple):
    """A song that cannot be separated.

    Attributes:
        name: the name of the file.
        make: writes the file.
        sentence: the expected error message, as a regular expression.
        args: further arguments of the command.
    """

    name: str
    make: Make
    sentence: str
    args: tuple[str, ...] = ()


LONGEST = 255
"""Longest file name of the Linux file systems, in bytes."""

LONG = "x" * (LONGEST - len(".wav")) + ".wav"

NOT_SOUND = r"No sound can be read from .*bad\.\w+: it is a text file; use the song itself"
IN_THE_HEADER = r"No sound can be read from .*bad\.wav, which seems to be cut off"

BAD = {
    "empty": Bad("bad.mp3", Path.touch, r"bad\.mp3 is empty \(0 bytes\)\. Copy or download it"),
    "cut in the header": Bad("bad.wav", truncated_in_the_header, IN_THE_HEADER),
    "text named mp3": Bad("bad.mp3", write_text_file, NOT_SOUND),
    "film without sound": Bad(
        "bad.mkv", film_without_sound, r"bad\.mkv contains pictures but no sound\. Use"
    ),
    "NaN": Bad(
        "bad.wav", with_value(np.nan), r"holds NaN or infinity at 0\.12 s\. Export it again"
    ),
    "infinity": Bad("bad.wav", with_value(np.inf), r"bad\.wav holds NaN or infinity at 0\.12 s"),
    "minus infinity": Bad(
        "bad.wav", with_value(-np.inf), r"bad\.wav holds NaN or infinity at 0\.12 s"
    ),
    "no channels": Bad(
        "bad.wav", patched_header(22, "<H", 0), r"bad\.wav is damaged: its header has 0 channels"
    ),
    "4 Hz": Bad("bad.wav", wave(rate=4), r"has a sample rate of 4 Hz\. Export or download it"),
    "0 Hz": Bad(
        "bad.wav", patched_header(24, "<I", 0), r"bad\.wav is damaged: its header has .* 0 Hz"
    ),
    "pipe": Bad("bad.wav", os.mkfifo, r"bad\.wav is a pipe or a device\. Save the sound to a file"),
    "/dev/null": Bad("bad.wav", link_to("/dev/null"), r"bad\.wav is a pipe or a device\. Save"),
    "/dev/zero": Bad("bad.wav", link_to("/dev/zero"), r"bad\.wav is a pipe or a device\. Save"),
    "link to itself": Bad(
        "bad.wav", link_to("bad.wav"), r"is a link that leads back to itself\. Use"
    ),
    "link to nowhere": Bad(
        "bad.wav", link_to("no.wav"), r"a link to no\.wav, which does not exist"
    ),
    "line break in the name": Bad("b\na\nd.mp3", Path.touch, "b\ufffda\ufffdd.mp3 is empty"),
    "line separator in the name": Bad("b\u2028d.mp3", Path.touch, "b\ufffdd.mp3 is empty"),
    "name that is no text": Bad(os.fsdecode(b"b\xe4d.mp3"), Path.touch, "b\ufffdd.mp3 is empty"),
    "name too long for the template": Bad(
        LONG,
        write_song,
        r"File name too long\)\. Shorten it with --filename",
        ("--filename", "{track} {stem}.{ext}"),
    ),
    "folder in the place of a stem": Bad(
        "bad.wav",
        folder_in_place_of_a_stem,
        r"vocals\.wav is a folder, not a file",
        ("--overwrite",),
    ),
    "file in the place of its folder": Bad(
        "bad.wav",
        file_in_place_of_the_folder,
        r"Cannot write to separated/bad .*\. Choose another folder with --output",
        ("--overwrite",),
    ),
    "shorter than --start": Bad(
        "bad.wav", wave(frames=RATE // 20), "Use a smaller --start", ("--start", "0.1")
    ),
    "eight channels in mp3": Bad(
        "bad.wav", wave(channels=8), r"mp3 cannot hold .* 8 channels\. Try --format", ("-f", "mp3")
    ),
    "768 kHz in flac": Bad(
        "bad.wav",
        wave(rate=768_000),
        "flac goes up to 655350 Hz, and the song has 768000. Try --format wav",
        ("-f", "flac"),
    ),
    "768 kHz in ogg": Bad(
        "bad.wav", wave(rate=768_000), "ogg goes up to 200000 Hz.* Try --format", ("-f", "ogg")
    ),
}
