"""Bytes behind the last frame are no damage and no sound.

Truth: what was encoded, or the decode of the file without them. The whole table of formats is in
``containers``; here are the formats that people meet every day.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from stemcli.audio.containers.surrounding_tags import end_of_tags, start_of_tags
from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg, noisy_tones, tones, write_audio
from tests.stemcli.audio.containers.tails import TAILS, id3v2
from tests.stemcli.audio.hearing import hear

tails = pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())


def doubt(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@tails
@pytest.mark.parametrize("suffix", ["flac", "wav", "w64", "aiff", "ogg", "opus", "mp3"])
def test_the_sound_is_the_same(suffix: str, tail: bytes, tmp_path: Path) -> None:
    rate = 48_000 if suffix == "opus" else 44_100
    path = write_audio(tmp_path / f"song.{suffix}", noisy_tones(20_001, rate), rate)
    plain = hear(path)
    path.write_bytes(path.read_bytes() + tail)
    assert np.array_equal(hear(path), plain)
    assert doubt(path) == ""


@tails
def test_an_mp3_that_counts_nothing(tail: bytes, tmp_path: Path) -> None:
    """116 frames of 1152 samples, counted by hand: three seconds and what the encoder adds."""
    path = tmp_path / "song.mp3"
    sound = ("-f", "f32le", "-ar", 44_100, "-ac", 2, "-i", "-", "-b:a", "128k")
    bare = ("-write_xing", 0, "-id3v2_version", 0)
    ffmpeg(*sound, *bare, path, sound=noisy_tones(132_300))
    path.write_bytes(path.read_bytes() + tail)
    assert len(hear(path)) == 116 * 1152
    assert doubt(path) == ""


@pytest.mark.parametrize("pad", [b"", b"\0"])
@pytest.mark.parametrize("place", ["behind", "in front"])
def test_a_chunk_beside_odd_samples(pad: bytes, place: str, tmp_path: Path) -> None:
    """A WAV of 24 bits, mono, with an odd number of samples, and a chunk with a picture."""
    wave = tones(10_001, channels=1)
    path = write_audio(tmp_path / "song.wav", wave, subtype="PCM_24")
    data = path.read_bytes()
    at = data.find(b"data")
    samples = data[at : at + 8 + 3 * len(wave)]
    tag = id3v2()[: 2 * 30_000 + 1]
    extra = b"id3 " + struct.pack("<I", len(tag)) + tag
    both = samples + pad + extra if place == "behind" else extra + pad + samples
    body = data[8:at] + both
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert np.array_equal(hear(path), wave)
    assert doubt(path) == ""


@pytest.mark.parametrize("suffix", ["wav", "aiff", "w64", "caf", "m4a", "wv", "wma"])
def test_another_file_behind_is_told(suffix: str, tmp_path: Path) -> None:
    """These formats are not made for it, and no program plays the second."""
    path = write_audio(tmp_path / f"song.{suffix}", noisy_tones(20_000))
    plain = hear(path)
    path.write_bytes(2 * path.read_bytes())
    assert np.array_equal(hear(path), plain)
    assert "another file follows in it, which is not read" in doubt(path)


def test_a_header_that_a_recorder_did_not_finish_hides_no_sound(tmp_path: Path) -> None:
    """Both sizes are those of the first half, as after the last time that they were written."""
    wave = tones(50_000)
    path = write_audio(tmp_path / "song.wav", wave)
    data = bytearray(path.read_bytes())
    half = 4 * 25_000
    struct.pack_into("<I", data, 4, half + 36)
    struct.pack_into("<I", data, data.find(b"data") + 4, half)
    path.write_bytes(data)
    assert np.array_equal(hear(path), wave)


def test_random_bytes_behind_music_are_not_music(tmp_path: Path) -> None:
    """Without a tag that says what they are."""
    wave = tones(50_000)
    path = write_audio(tmp_path / "song.wav", wave)
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(150_000))
    assert np.array_equal(hear(path), wave)


def test_tags_are_measured_from_both_ends() -> None:
    """Worked by hand, with a byte of sound on each side."""
    for tag in TAILS.values():
        if tag[:3] in (b"TAG", b"APE", b"LYR", b"ID3"):
            assert end_of_tags(tag + b"x", 0, len(tag) + 1) == len(tag)
        if tag[:3] in (b"TAG", b"APE", b"LYR"):
            assert start_of_tags(b"x" + tag, 0, len(tag) + 1) == 1
    assert end_of_tags(bytes(9), 0, 9) == 9
    assert end_of_tags(bytes(9) + b"x", 0, 10) == 0
