"""FLAC and CAF files that end too early, or that begin with bytes that belong to nothing.

Truth: the samples that went into the encoder. Property: what is decoded of a cut file is how they begin,
and it ends with a frame that is whole.
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
from tests.stemcli.audio.hearing import hear

RATE = 44_100
WAVE = tones(4 * RATE)
BLOCK = 4096  # samples in a frame of FLAC and a packet of ALAC, as the encoders have them


def written(path: Path, subtype: str = "PCM_16") -> bytes:
    soundfile.write(path, WAVE, RATE, subtype=subtype)
    return path.read_bytes()


def verdict(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


def require_beginning(path: Path, least: int, most: int) -> NDArray[np.float32]:
    found = hear(path)
    assert least <= len(found) <= most
    assert np.array_equal(found, WAVE[: len(found)])
    return found


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
def test_half_a_file_is_read_as_far_as_it_goes(name: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / name
    whole = written(path, subtype)
    assert verdict(path) == ""
    path.write_bytes(whole[: len(whole) // 2])
    found = require_beginning(path, RATE, 3 * RATE)
    assert verdict(path) == (
        f"its sound ends at {len(found) / RATE:.2f} s of 4.00 s: the file seems to be cut off"
    )


def last_frame(data: bytes) -> int:
    """Where the last of the 44 frames begins: number 43 behind four bytes (RFC 9639, 9.1)."""
    return data.rfind(b"\xff\xf8") if data[data.rfind(b"\xff\xf8") + 4] == 43 else -1


@pytest.mark.parametrize("less", [1, 2, 17, 100])
def test_the_last_frame_of_a_flac_is_left_out_where_it_is_incomplete(
    less: int, tmp_path: Path
) -> None:
    path = tmp_path / "song.flac"
    path.write_bytes(written(path)[:-less])
    require_beginning(path, 43 * BLOCK, 43 * BLOCK)
    assert "ends at 3.99 s, and 272 samples are missing: the file seems" in verdict(path)


@pytest.mark.parametrize("more", range(0, 18, 3))
def test_a_flac_that_ends_in_the_header_of_a_frame(more: int, tmp_path: Path) -> None:
    """Or exactly between two: the frame before is whole."""
    path = tmp_path / "song.flac"
    whole = written(path)
    at = last_frame(whole)
    assert at > 0
    path.write_bytes(whole[: at + more])
    require_beginning(path, 43 * BLOCK, 43 * BLOCK)
    assert "ends at 3.99 s, and 272 samples are missing: the file seems" in verdict(path)


def test_a_part_of_a_cut_flac(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    whole = written(path)
    path.write_bytes(whole[: len(whole) // 2])
    assert np.array_equal(hear(path, start=0.5, end=1.0), WAVE[RATE // 2 : RATE])


def test_a_cut_flac_with_samples_that_libsndfile_does_not_know(tmp_path: Path) -> None:
    """20 bits, which ffmpeg reads; it plays nothing of a frame that is not whole."""
    path = tmp_path / "song.flac"
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-", "-c:a", "flac")
    ffmpeg(*sound, "-sample_fmt", "s32", "-bits_per_raw_sample", 20, path, sound=WAVE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    require_beginning(path, RATE, 3 * RATE)
    assert re.search(r"ends at [12]\.\d\d s of 4\.00 s: .* cut off", verdict(path))


def test_zeros_instead_of_the_second_half_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    whole = written(path)
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) // 2))
    with pytest.raises(DecodeError, match=r"damaged: decoding stops at [12]\.\d\d s of 4\.00 s"):
        hear(path)


def end_of_metadata(data: bytes) -> int:
    """Blocks of metadata: a byte of type, three of size, and so many bytes (RFC 9639, 8.1)."""
    at = 4
    while True:
        header, at = data[at], at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
        if header & 0x80:
            return at


JUNK = {"zeros": bytes(5000), "noise": np.random.default_rng(0).bytes(5000), "text": b"ah\n" * 99}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("place", ["in front of the file", "in front of its first frame"])
def test_junk_in_front_of_a_flac(place: str, junk: str, tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    whole = written(path)
    at = 0 if place == "in front of the file" else end_of_metadata(whole)
    path.write_bytes(whole[:at] + JUNK[junk] + whole[at:])
    assert np.array_equal(hear(path), WAVE)
    assert verdict(path) == ""


@pytest.mark.parametrize("subtype", ["PCM_16", "ALAC_16"])
def test_a_caf_that_lacks_a_byte_is_reported(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    path.write_bytes(written(path, subtype)[:-1])
    require_beginning(path, 43 * BLOCK, len(WAVE) - 1)
    assert re.search(r"ends at [34]\.\d\d s.* missing: the file|ends at 3\.99 s of", verdict(path))


def alac_by_ffmpeg(path: Path) -> bytes:
    """Its table of packets lies behind them, and counts whole packets only."""
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    ffmpeg(*sound, "-c:a", "alac", "-sample_fmt", "s16p", path, sound=WAVE)
    return path.read_bytes()


def test_a_table_of_whole_packets_promises_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    alac_by_ffmpeg(path)
    assert np.array_equal(hear(path), WAVE)
    assert verdict(path) == ""


def test_a_caf_without_its_table_of_packets(tmp_path: Path) -> None:
    path = tmp_path / "song.caf"
    whole = alac_by_ffmpeg(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DecodeError, match=r"cut off \(its table of packets is missing\)\. Download"
    ):
        hear(path)


@pytest.mark.parametrize("suffix", ["wav", "aiff", "caf", "w64"])
def test_a_file_that_ends_in_its_header(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(written(path)[:36])
    with pytest.raises(
        DecodeError, match=r"which seems to be cut off \(it ends before its samples\)\. Download"
    ):
        hear(path)


@pytest.mark.parametrize("size", [7, 20, 60])
@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_file_that_ends_in_front_of_its_first_frame(
    suffix: str, size: int, tmp_path: Path
) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, WAVE, RATE)
    path.write_bytes(path.read_bytes()[:size])
    reason = r"it ends before its first frame|its (first|last) page is incomplete"
    with pytest.raises(DecodeError, match=rf"which seems to be cut off \({reason}\)\. Download"):
        hear(path)
