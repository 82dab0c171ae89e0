"""Files with missing audio: complete files, cut or damaged at a known position."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from stemcli.audio.reader import open_audio
from tests.audio_files import ffmpeg, write_audio

RATE, SECONDS = 22_050, 4


def written(path: Path) -> Path:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE * SECONDS, 2)).astype(np.float32)
    return write_audio(path, wave, RATE)


def doubt_of(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff"])
def test_a_complete_file_has_no_doubt(tmp_path: Path, name: str) -> None:
    assert doubt_of(written(tmp_path / name)) == ""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.wav", r"ends at 2\.00 s of 4\.00 s: the file seems to be cut off"),
        ("a.aiff", r"ends at 2\.00 s of 4\.00 s: the file seems to be cut off"),
        ("a.wv", r"ends at [12]\.\d\d s of 4\.00 s: the file seems to be cut off"),
        ("a.mkv", r"ends at [12]\.\d\d s: .* cut off \(it ends in the middle of a cluster"),
        ("a.tta", r"ends at [12]\.\d\d s of 4\.00 s: the file seems to be cut off"),
        ("a.mp3", r"ends at [12]\.\d\d s of 4\.\d\d s: the file seems to be cut off"),
        ("a.ogg", r"ends at [12]\.\d\d s: the file seems to be cut off \(the mark of its end"),
    ],
)
def test_half_a_file_is_reported(tmp_path: Path, name: str, sentence: str) -> None:
    path = written(tmp_path / name)
    intact = path.read_bytes()
    # An Ogg file is cut between two pages, because libsndfile refuses half a page.
    half = intact.rfind(b"OggS", 0, len(intact) // 2) if name == "a.ogg" else len(intact) // 2
    path.write_bytes(intact[:half])
    assert re.search(sentence, doubt_of(path))


def test_a_wav_of_a_few_bytes_is_reported(tmp_path: Path) -> None:
    """A header of 44 bytes and one frame of 4."""
    path = written(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:48])
    assert doubt_of(path).startswith("its sound ends at 0.00 s of 4.00 s")


def test_half_a_wma_is_reported(tmp_path: Path) -> None:
    """Cut between two packets, which ffmpeg does not report (ASF 1.20.03, sections 3.2, 5.1)."""
    path = tmp_path / "a.wma"
    ffmpeg("-i", written(tmp_path / "a.wav"), path)
    assert doubt_of(path) == ""
    intact = path.read_bytes()
    (header,) = struct.unpack_from("<Q", intact, 16)
    (packet,) = struct.unpack_from("<I", intact, intact.find(bytes.fromhex("A1DCAB8C47A9")) + 92)
    first = header + 50
    path.write_bytes(intact[: first + (len(intact) - first) // packet // 2 * packet])
    assert re.search(
        r"ends at [12]\.\d\d s: the file seems to be cut off \(11 of 22 pack", doubt_of(path)
    )


def test_a_damaged_first_page_of_an_ogg_is_reported(tmp_path: Path) -> None:
    """libsndfile skips the third page, which is the first with audio, and counts less."""
    path = written(tmp_path / "a.ogg")
    content = bytearray(path.read_bytes())
    third = [page.start() for page in re.finditer(b"OggS", content)][2]
    content[third + 1000] ^= 0xFF
    path.write_bytes(content)
    assert re.search(
        r"ends at [123]\.\d\d s, and some of it may be lost: a page .* 0\.00 s", doubt_of(path)
    )


def test_a_tag_after_an_ogg_is_not_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    path.write_bytes(path.read_bytes() + b"TAG".ljust(128))
    assert doubt_of(path) == ""


def test_half_a_film_without_a_length_is_reported(tmp_path: Path) -> None:
    """Half of a film written into a pipe, as by a recorder."""
    streamed = ("-i", written(tmp_path / "a.wav"), "-c:a", "flac", "-f", "matroska", "-")
    film = ffmpeg(*streamed)
    path = tmp_path / "a.mkv"
    path.write_bytes(film)
    assert doubt_of(path) == ""
    path.write_bytes(film[: len(film) // 2])
    assert re.search(
        r"ends at [12]\.\d\d s: .* cut off \(it ends in the middle of a", doubt_of(path)
    )


def test_the_placeholder_length_of_a_piped_wav_is_ignored(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    at = content.find(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert doubt_of(path) == ""


def test_the_placeholder_length_of_a_piped_aiff_is_ignored(tmp_path: Path) -> None:
    """sox writes 0x7f000000 bytes, converted to frames."""
    path = written(tmp_path / "a.aiff")
    content = bytearray(path.read_bytes())
    at = content.find(b"COMM") + 10
    content[at : at + 4] = (0x7F000000 // 4).to_bytes(4, "big")
    path.write_bytes(content)
    assert doubt_of(path) == ""


CODED = {
    "song.ac3": ("ac3", "ac3"),
    "song.eac3": ("eac3", "eac3"),
    "song.dts": ("dca -strict -2 -b:a 768k", "dts"),
    "song.aac": ("aac", "adts"),
    "song.mp2": ("mp2", "mp2"),
    "song.mp3": ("libmp3lame -write_xing 0 -id3v2_version 0", "mp3"),
}


@pytest.mark.parametrize("name", CODED)
@pytest.mark.parametrize("start", [0, 201])
def test_an_incomplete_last_frame_is_reported(name: str, start: int, tmp_path: Path) -> None:
    """Complete streams, and streams that begin inside a frame, are cut inside their last frame.

    By hand: frames have at least 376 bytes, so a file without its last 80 ends inside a frame.
    """
    codec, muxer = CODED[name]
    sound = ("-f", "f32le", "-ar", 48_000, "-ac", 2, "-i", "-", "-c:a", *codec.split())
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    intact = ffmpeg(*sound, "-f", muxer, "-", sound=wave)
    path = tmp_path / name
    for missing in (40, 41, 80):
        path.write_bytes(intact[start : len(intact) - missing])
        assert re.search(
            r"ends at [01]\.\d\d s: .* cut off \(its last frame is incomplete\)", doubt_of(path)
        )


@pytest.mark.parametrize("kind", ["0", "1"])
@pytest.mark.parametrize("start", [0, 77])
def test_a_transport_stream_that_ends_inside_a_packet_is_reported(
    kind: str, start: int, tmp_path: Path
) -> None:
    """With packets of 188 bytes, or of 192 with a timestamp; also starting inside a packet."""
    path = tmp_path / "song.ts"
    intact = ("-i", written(tmp_path / "a.wav"), "-c:a", "mp2", "-mpegts_m2ts_mode", kind, path)
    ffmpeg(*intact)
    data = path.read_bytes()
    path.write_bytes(data[start:])
    assert doubt_of(path) == ""
    path.write_bytes(data[start:-100])
    assert "cut off (its last packet is incomplete)" in doubt_of(path)


def test_an_avi_with_inserted_bytes_is_reported(tmp_path: Path) -> None:
    """Its list of chunks no longer ends where the next chunk begins."""
    path = written(tmp_path / "song.avi")
    data = path.read_bytes()
    path.write_bytes(data[:-10_000] + b"x" * 4000 + data[-10_000:])
    assert "chunks are damaged" in doubt_of(path)


def test_a_signaling_nan_gives_no_warning(tmp_path: Path) -> None:
    """A NaN with 0 as the first bit of its fraction (IEEE 754, 6.2.1); warnings are errors here."""
    wave = np.full(20_000, 0x7FA00000, "<u4")
    path = tmp_path / "song.wav"
    header = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 80_036, b"WAVE", b"fmt ", 16, 3, 1, 44_100, 176_400, 4, 32
    )
    path.write_bytes(header + struct.pack("<4sI", b"data", wave.nbytes) + wave.tobytes())
    with open_audio(path) as audio:
        assert np.isnan(next(iter(audio))).all()
