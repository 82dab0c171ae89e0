"""Bytes after the last frame are neither damage nor audio.

Reference: the encoded samples, or the decode of the file without these bytes. The complete table of
formats is in ``containers``; these are the common formats.
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
from tests.stemcli.audio.decoding import decode

tails = pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())


def doubt_of(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@tails
@pytest.mark.parametrize("suffix", ["flac", "wav", "w64", "aiff", "ogg", "opus", "mp3"])
def test_trailing_bytes_do_not_change_the_audio(suffix: str, tail: bytes, tmp_path: Path) -> None:
    rate = 48_000 if suffix == "opus" else 44_100
    path = write_audio(tmp_path / f"song.{suffix}", noisy_tones(20_001, rate), rate)
    expected = decode(path)
    path.write_bytes(path.read_bytes() + tail)
    assert np.array_equal(decode(path), expected)
    assert doubt_of(path) == ""


@tails
def test_trailing_bytes_of_an_mp3_without_a_count(tail: bytes, tmp_path: Path) -> None:
    """By hand: 116 frames of 1152 samples, for three seconds and the encoder's padding."""
    path = tmp_path / "song.mp3"
    sound = ("-f", "f32le", "-ar", 44_100, "-ac", 2, "-i", "-", "-b:a", "128k")
    without_header = ("-write_xing", 0, "-id3v2_version", 0)
    ffmpeg(*sound, *without_header, path, sound=noisy_tones(132_300))
    path.write_bytes(path.read_bytes() + tail)
    assert len(decode(path)) == 116 * 1152
    assert doubt_of(path) == ""


@pytest.mark.parametrize("pad", [b"", b"\0"])
@pytest.mark.parametrize("position", ["behind", "in front"])
def test_a_chunk_beside_an_odd_number_of_samples(pad: bytes, position: str, tmp_path: Path) -> None:
    """A mono 24-bit WAV with an odd number of samples, and a chunk with a picture."""
    wave = tones(10_001, channels=1)
    path = write_audio(tmp_path / "song.wav", wave, subtype="PCM_24")
    data = path.read_bytes()
    at = data.find(b"data")
    samples = data[at : at + 8 + 3 * len(wave)]
    tag = id3v2()[: 2 * 30_000 + 1]
    extra = b"id3 " + struct.pack("<I", len(tag)) + tag
    both = samples + pad + extra if position == "behind" else extra + pad + samples
    body = data[8:at] + both
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert np.array_equal(decode(path), wave)
    assert doubt_of(path) == ""


@pytest.mark.parametrize("suffix", ["wav", "aiff", "w64", "caf", "m4a", "wv", "wma"])
def test_an_appended_file_is_reported(suffix: str, tmp_path: Path) -> None:
    """These formats do not allow it, and no program plays the second."""
    path = write_audio(tmp_path / f"song.{suffix}", noisy_tones(20_000))
    expected = decode(path)
    path.write_bytes(2 * path.read_bytes())
    assert np.array_equal(decode(path), expected)
    assert "another file follows in it, which is not read" in doubt_of(path)


def test_an_unfinished_header_hides_no_audio(tmp_path: Path) -> None:
    """Both sizes cover only the first half, as if a recorder had not updated them since."""
    wave = tones(50_000)
    path = write_audio(tmp_path / "song.wav", wave)
    data = bytearray(path.read_bytes())
    half = 4 * 25_000
    struct.pack_into("<I", data, 4, half + 36)
    struct.pack_into("<I", data, data.find(b"data") + 4, half)
    path.write_bytes(data)
    assert np.array_equal(decode(path), wave)


def test_trailing_random_bytes_are_not_audio(tmp_path: Path) -> None:
    """Even without a tag around them."""
    wave = tones(50_000)
    path = write_audio(tmp_path / "song.wav", wave)
    path.write_bytes(path.read_bytes() + np.random.default_rng(0).bytes(150_000))
    assert np.array_equal(decode(path), wave)


def test_the_length_of_tags_is_found_from_both_ends() -> None:
    """By hand, with a byte of audio on either side."""
    for tag in TAILS.values():
        if tag[:3] in (b"TAG", b"APE", b"LYR", b"ID3"):
            assert end_of_tags(tag + b"x", 0, len(tag) + 1) == len(tag)
        if tag[:3] in (b"TAG", b"APE", b"LYR"):
            assert start_of_tags(b"x" + tag, 0, len(tag) + 1) == 1
    assert end_of_tags(bytes(9), 0, 9) == 9
    assert end_of_tags(bytes(9) + b"x", 0, 10) == 0
