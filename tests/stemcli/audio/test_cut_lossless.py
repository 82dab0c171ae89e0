"""FLAC and CAF files that are cut off, or that start with junk.

Reference: the encoded samples. Property: a cut file decodes to the beginning of these, up to the
last complete frame.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg, tones
from tests.stemcli.audio.decoding import decode

RATE = 44_100
WAVE = tones(4 * RATE)
BLOCK = 4096  # samples per frame of FLAC and per packet of ALAC in these encoders


def written(path: Path, subtype: str = "PCM_16") -> bytes:
    soundfile.write(path, WAVE, RATE, subtype=subtype)
    return path.read_bytes()


def doubt_of(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


def require_beginning(path: Path, least: int, most: int) -> NDArray[np.float32]:
    wave = decode(path)
    assert least <= len(wave) <= most
    assert np.array_equal(wave, WAVE[: len(wave)])
    return wave


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("song.flac", "PCM_16"),
        ("song.flac", "PCM_24"),
        ("song.caf", "PCM_16"),
        ("song.caf", "PCM_24"),
        ("song.caf", "FLOAT"),
        ("song.caf", "ALAC_16"),
    ],
)
def test_half_a_file_is_read_to_its_end(name: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / name
    intact = written(path, subtype)
    assert doubt_of(path) == ""
    path.write_bytes(intact[: len(intact) // 2])
    wave = require_beginning(path, RATE, 3 * RATE)
    assert doubt_of(path) == (
        f"its sound ends at {len(wave) / RATE:.2f} s of 4.00 s: the file seems to be cut off"
    )


def last_frame(data: bytes) -> int:
    """Position of the last of 44 frames: its fifth byte is the number 43 (RFC 9639, 9.1)."""
    return data.rfind(b"\xff\xf8") if data[data.rfind(b"\xff\xf8") + 4] == 43 else -1


@pytest.mark.parametrize("less", [1, 2, 17, 100])
def test_an_incomplete_last_frame_of_a_flac_is_dropped(less: int, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(written(path)[:-less])
    require_beginning(path, 43 * BLOCK, 43 * BLOCK)
    assert "ends at 3.99 s, and 272 samples are missing: the file seems" in doubt_of(path)


@pytest.mark.parametrize("more", range(0, 18, 3))
def test_a_flac_that_ends_in_a_frame_header(more: int, tmp_path: Path) -> None:
    """Or exactly between two frames; the frame before is complete."""
    path = tmp_path / "song.flac"
    intact = written(path)
    at = last_frame(intact)
    assert at > 0
    path.write_bytes(intact[: at + more])
    require_beginning(path, 43 * BLOCK, 43 * BLOCK)
    assert "ends at 3.99 s, and 272 samples are missing: the file seems" in doubt_of(path)


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("last", [1, 100, 600])
def test_a_flac_that_ends_in_silence_is_complete(
    subtype: str, channels: int, last: int, tmp_path: Path
) -> None:
    """The last frame, ``last`` samples of silence, is a value per channel: 10 to 20 bytes."""
    path, frames = tmp_path / "song.flac", 3 * BLOCK + last
    wave = np.zeros((frames, channels), np.float32)
    wave[:BLOCK] = 0.25
    soundfile.write(path, wave, RATE, subtype=subtype)
    assert np.array_equal(decode(path), wave)
    assert doubt_of(path) == ""


def test_an_excerpt_of_a_cut_flac(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    intact = written(path)
    path.write_bytes(intact[: len(intact) // 2])
    assert np.array_equal(decode(path, start=0.5, end=1.0), WAVE[RATE // 2 : RATE])


def test_a_cut_flac_of_20_bits(tmp_path: Path) -> None:
    """libsndfile cannot read it; ffmpeg does, and drops incomplete frames."""
    path = tmp_path / "song.flac"
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", "flac")
    ffmpeg(*sound, "-sample_fmt", "s32", "-bits_per_raw_sample", 20, path, sound=WAVE)
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2])
    require_beginning(path, RATE, 3 * RATE)
    assert re.search(r"ends at [12]\.\d\d s of 4\.00 s: .* cut off", doubt_of(path))


def test_a_second_half_of_zeros_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    intact = written(path)
    path.write_bytes(intact[: len(intact) // 2] + bytes(len(intact) // 2))
    with pytest.raises(DecodeError, match=r"damaged: decoding stops at [12]\.\d\d s of 4\.00 s"):
        decode(path)


def end_of_metadata(data: bytes) -> int:
    """Metadata blocks have one byte of type, three of size, and their data (RFC 9639, 8.1)."""
    at = 4
    while True:
        header, at = data[at], at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        if header & 0x80:
            return at


JUNK = {"zeros": bytes(5000), "noise": np.random.default_rng(0).bytes(5000), "text": b"ah\n" * 99}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("position", ["in front of the file", "in front of its first frame"])
def test_junk_in_front_of_a_flac(position: str, junk: str, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    intact = written(path)
    at = 0 if position == "in front of the file" else end_of_metadata(intact)
    path.write_bytes(intact[:at] + JUNK[junk] + intact[at:])
    assert np.array_equal(decode(path), WAVE)
    assert doubt_of(path) == ""


@pytest.mark.parametrize("subtype", ["PCM_16", "ALAC_16"])
def test_a_caf_that_lacks_a_byte_is_reported(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    path.write_bytes(written(path, subtype)[:-1])
    require_beginning(path, 43 * BLOCK, len(WAVE) - 1)
    assert re.search(r"ends at [34]\.\d\d s.* missing: the file|ends at 3\.99 s of", doubt_of(path))


def alac_by_ffmpeg(path: Path) -> bytes:
    """Write a CAF whose packet table is at the end and counts only complete packets."""
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    ffmpeg(*sound, "-c:a", "alac", "-sample_fmt", "s16p", path, sound=WAVE)
    return path.read_bytes()


def test_a_packet_table_does_not_claim_missing_samples(tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    alac_by_ffmpeg(path)
    assert np.array_equal(decode(path), WAVE)
    assert doubt_of(path) == ""


def test_a_caf_without_its_packet_table(tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    intact = alac_by_ffmpeg(path)
    path.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(
        DecodeError, match=r"cut off \(its table of packets is missing\)\. Download"
    ):
        decode(path)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "w64"])
def test_a_file_that_ends_in_its_header(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(written(path)[:36])
    with pytest.raises(
        DecodeError, match=r"which seems to be cut off \(it ends before its samples\)\. Download"
    ):
        decode(path)


@pytest.mark.parametrize("size", [7, 20, 60])
@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_file_that_ends_before_its_first_frame(suffix: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, WAVE, RATE)
    path.write_bytes(path.read_bytes()[:size])
    reason = r"it ends before its first frame|its (first|last) page is incomplete"
    with pytest.raises(DecodeError, match=rf"which seems to be cut off \({reason}\)\. Download"):
        decode(path)
