"""Invalid numbers in headers give an error message or audio, never a traceback."""

from __future__ import annotations

import struct
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from model_zoo.errors import DecodeError, StemError
from stemcli.audio.containers.mp4 import movie_tick, real_frames
from stemcli.audio.reader import probe, sound_parts
from stemcli.audio.soundfile_decoder import open_soundfile
from tests.audio_files import tones, write_audio
from tests.stemcli.audio.decoding import decode


@pytest.mark.parametrize("suffix", ["wav", "w64", "aiff", "caf", "flac", "m4a", "wma"])
@pytest.mark.parametrize("wrong", [b"\xff" * 8, bytes(4), b"\x7f\xff"], ids=bytes.hex)
def test_an_invalid_header_gives_no_traceback(suffix: str, wrong: bytes, tmp_path: Path) -> None:
    """ffmpeg is run only for a few positions, because starting it is slow."""
    path = write_audio(tmp_path / f"song.{suffix}", tones(5000))
    data = path.read_bytes()
    for at in range(0, 200, 2):
        path.write_bytes(data[:at] + wrong + data[at + len(wrong) :])
        with suppress(StemError):
            for part in sound_parts(path):
                if decoder := open_soundfile(part):
                    decoder.close()
        if at % 80 == 24:
            with suppress(StemError):
                probe(path)


@pytest.mark.parametrize("name", [b"\xa9day", b"ab  ", b"\0\1\2\3"])
def test_unknown_boxes_before_the_index_are_skipped(name: bytes, tmp_path: Path) -> None:
    """The boxes after it are found (ISO/IEC 14496-12, 4.2: unknown boxes are ignored)."""
    path = write_audio(tmp_path / "song.m4a", tones(50_000))
    data = path.read_bytes()
    index, expected = data.find(b"moov") - 4, decode(path)
    path.write_bytes(data[:index] + struct.pack(">I4s", 16, name) + bytes(8) + data[index:])
    (part,) = sound_parts(path)
    assert (part.flaw, part.breaks_off, part.pieces) == ("", False, ())
    assert np.array_equal(decode(path), expected)


@pytest.mark.parametrize("trailing", [b"", b"TAG" + bytes(125)])
def test_a_flac_without_samples(trailing: bytes, tmp_path: Path) -> None:
    """By hand: its only metadata block is the last one, and no frame follows (RFC 9639, 8.1)."""
    path = write_audio(tmp_path / "song.flac", tones(900))
    data = bytearray(path.read_bytes()[:42])
    data[4] |= 0x80  # marks the last metadata block
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # 0 samples
    path.write_bytes(data + trailing)
    with pytest.raises(DecodeError, match=r"contains no sound \(0 samples\)\. Export or record it"):
        probe(path)
    data[4] &= 0x7F
    path.write_bytes(data)
    with pytest.raises(DecodeError, match=r"cut off \(it ends before its first frame\)"):
        probe(path)


def test_a_wma_that_ends_at_its_audio(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.wma", tones(5000))
    data = path.read_bytes()
    (body,) = struct.unpack_from("<Q", data, 16)
    for length in (16, 24, 49):
        path.write_bytes(data[: body + length])
        assert sound_parts(path)
    path.write_bytes(data[: body + 16] + b"\xff" * 8 + data[body + 24 :])
    assert sound_parts(path)


@pytest.mark.parametrize(
    "trailing",
    [
        b"\0\0\0\1free",
        b"\0\0\0\1free" + b"\xff" * 8,
        b"\0\0\0\0mvhd" + bytes(20),
        b"\0\0\0\0mdhd",
        b"\0\0\0\1mvhd" + b"\0\0\0\0\0\0\0\4",
    ],
    ids=bytes.hex,
)
def test_invalid_boxes_after_an_mp4_are_ignored(trailing: bytes, tmp_path: Path) -> None:
    path = write_audio(tmp_path / "song.m4a", tones(5000))
    counted = real_frames(path, 44_100), movie_tick(path, 44_100)
    path.write_bytes(path.read_bytes() + trailing)
    assert (real_frames(path, 44_100), movie_tick(path, 44_100)) == counted
    path.write_bytes(b"\0\0\0\x0cftypM4A " + trailing)
    assert real_frames(path, 44_100) is None
    assert movie_tick(path, 44_100) == 0


@pytest.mark.parametrize(
    ("suffix", "name", "offset", "wrong"),
    [
        ("aiff", b"COMM", 16, b"\x7f\xff"),
        ("aiff", b"COMM", 16, b"\x41\x00"),
        ("caf", b"desc", 12, b"\x7f\xf8" + bytes(6)),
        ("caf", b"desc", 12, b"\x7f\xf0" + bytes(6)),
        ("caf", b"desc", 12, b"\x44\x00" + bytes(6)),
    ],
)
def test_non_finite_and_huge_sample_rates(
    suffix: str, name: bytes, offset: int, wrong: bytes, tmp_path: Path
) -> None:
    path = write_audio(tmp_path / f"song.{suffix}", tones(5000))
    data = bytearray(path.read_bytes())
    at = data.find(name) + offset
    data[at : at + len(wrong)] = wrong
    path.write_bytes(data)
    with suppress(StemError):
        probe(path)
    if suffix == "aiff":  # as written into a pipe
        size = data.find(b"SSND") + 4
        data[size : size + 4] = bytes(4)
        path.write_bytes(data)
        with suppress(StemError):
            probe(path)


def test_many_empty_chunks_are_fast(tmp_path: Path) -> None:
    """Each of 131072 empty chunks starts a walk over all later ones."""
    path = write_audio(tmp_path / "song.wav", tones(5000))
    head = bytearray(path.read_bytes()[:44])
    head[40:44] = struct.pack("<I", 1 << 24)
    path.write_bytes(head + b"JUNK\0\0\0\0" * (1 << 17) + b"?" * 9)
    started = time.perf_counter()
    assert sound_parts(path)
    assert time.perf_counter() - started < 2


BODIES = {"wav": (b"fmt ", 8), "aiff": (b"COMM", 8), "w64": (b"fmt ", 24), "caf": (b"desc", 12)}
BODIES |= {"au": (b".snd", 0), "flac": (b"fLaC", 8)}
"""The chunk with the format, and the offset from its name to its body."""


@pytest.mark.parametrize(
    ("suffix", "offset", "wrong", "problem"),
    [
        ("wav", 2, b"\0\0", "0 channels"),
        ("wav", 2, b"\xff\xff", "65535 channels"),
        ("wav", 4, bytes(4), "a sample rate of 0 Hz"),
        ("wav", 4, b"\xff" * 4, "a sample rate of 4294967295 Hz"),
        ("wav", 14, b"\0\0", "samples of 0 bits"),
        ("wav", 14, b"\x63\0", "samples of 99 bits"),
        ("aiff", 0, b"\0\0", "0 channels"),
        ("aiff", 6, b"\0\0", "samples of 0 bits"),
        ("aiff", 8, bytes(10), "a sample rate of 0 Hz"),
        ("w64", 2, b"\0\0", "0 channels"),
        ("w64", 4, bytes(4), "a sample rate of 0 Hz"),
        ("caf", 0, bytes(8), "a sample rate of 0 Hz"),
        ("caf", 24, bytes(4), "0 channels"),
        ("caf", 28, bytes(4), "samples of 0 bits"),
        ("au", 16, bytes(4), "a sample rate of 0 Hz"),
        ("au", 20, bytes(4), "0 channels"),
        ("flac", 10, b"\0\0\2", "a sample rate of 0 Hz"),
    ],
)
def test_invalid_numbers_are_reported(
    suffix: str, offset: int, wrong: bytes, problem: str, tmp_path: Path
) -> None:
    """The message states the number in the header, not a decoder's message."""
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, tones(5000), 44_100, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    name, body = BODIES[suffix]
    at = data.find(name) + body + offset
    data[at : at + len(wrong)] = wrong
    path.write_bytes(data)
    sentence = rf"is damaged: its header has {problem}\. Export or download it again$"
    with pytest.raises(DecodeError, match=sentence):
        probe(path)
