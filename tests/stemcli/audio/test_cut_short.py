"""Files that lack some of their sound. Truth: whole files, cut or damaged at a known place."""

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


def verdict(path: Path) -> str:
    with open_audio(path) as reader:
        for _ in reader:
            pass
        return reader.doubt


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff"])
def test_a_whole_file_gives_no_reason_to_speak(tmp_path: Path, name: str) -> None:
    assert verdict(written(tmp_path / name)) == ""


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
def test_half_a_file_is_told(tmp_path: Path, name: str, sentence: str) -> None:
    path = written(tmp_path / name)
    whole = path.read_bytes()
    # An Ogg is cut between two pages: libsndfile itself refuses half a page.
    half = whole.rfind(b"OggS", 0, len(whole) // 2) if name == "a.ogg" else len(whole) // 2
    path.write_bytes(whole[:half])
    assert re.search(sentence, verdict(path))


def test_a_few_bytes_of_a_wave_are_told(tmp_path: Path) -> None:
    """A header of 44 bytes and one frame of 4."""
    path = written(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:48])
    assert verdict(path).startswith("its sound ends at 0.00 s of 4.00 s")


def test_half_a_wma_is_told(tmp_path: Path) -> None:
    """Cut between two packets, which ffmpeg says nothing about (ASF 1.20.03, sections 3.2, 5.1)."""
    path = tmp_path / "a.wma"
    ffmpeg("-i", written(tmp_path / "a.wav"), path)
    assert verdict(path) == ""
    whole = path.read_bytes()
    (header,) = struct.unpack_from("<Q", whole, 16)
    (packet,) = struct.unpack_from("<I", whole, whole.find(bytes.fromhex("A1DCAB8C47A9")) + 92)
    first = header + 50
    path.write_bytes(whole[: first + (len(whole) - first) // packet // 2 * packet])
    assert re.search(
        r"ends at [12]\.\d\d s: the file seems to be cut off \(11 of 22 pack", verdict(path)
    )


def test_an_ogg_without_its_beginning_is_told(tmp_path: Path) -> None:
    """libsndfile leaves out the third page, which is the first with sound, and counts less."""
    path = written(tmp_path / "a.ogg")
    content = bytearray(path.read_bytes())
    third = [page.start() for page in re.finditer(b"OggS", content)][2]
    content[third + 1000] ^= 0xFF
    path.write_bytes(content)
    assert re.search(
        r"ends at [123]\.\d\d s, and some of it may be lost: a page .* 0\.00 s", verdict(path)
    )


def test_a_tag_behind_an_ogg_is_no_damage(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ogg")
    path.write_bytes(path.read_bytes() + b"TAG".ljust(128))
    assert verdict(path) == ""


def test_half_a_film_whose_header_has_no_length_is_told(tmp_path: Path) -> None:
    """Half of a film that was written into a pipe, as by a recorder."""
    streamed = ("-i", written(tmp_path / "a.wav"), "-c:a", "flac", "-f", "matroska", "-")
    film = ffmpeg(*streamed)
    path = tmp_path / "a.mkv"
    path.write_bytes(film)
    assert verdict(path) == ""
    path.write_bytes(film[: len(film) // 2])
    assert re.search(
        r"ends at [12]\.\d\d s: .* cut off \(it ends in the middle of a", verdict(path)
    )


def test_the_placeholder_of_a_program_that_wrote_into_a_pipe_is_no_promise(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav")
    content = bytearray(path.read_bytes())
    at = content.find(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert verdict(path) == ""


def test_the_placeholder_of_an_aiff_that_was_written_into_a_pipe(tmp_path: Path) -> None:
    """As sox writes it: 0x7f000000 bytes, in frames."""
    path = written(tmp_path / "a.aiff")
    content = bytearray(path.read_bytes())
    at = content.find(b"COMM") + 10
    content[at : at + 4] = (0x7F000000 // 4).to_bytes(4, "big")
    path.write_bytes(content)
    assert verdict(path) == ""


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
    """Of a whole file, and of one that was cut out of a stream and begins inside a frame.

    Truth: frames have 376 bytes or more, so a file that lacks 40, 41 or 80 ends inside the last.
    """
    codec, muxer = CODED[name]
    sound = ("-f", "f32le", "-ar", 48_000, "-ac", 2, "-i", "-", "-c:a", *codec.split())
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (48_000, 2)).astype(np.float32)
    whole = ffmpeg(*sound, "-f", muxer, "-", sound=wave)
    path = tmp_path / name
    for less in (40, 41, 80):
        path.write_bytes(whole[start : len(whole) - less])
        assert re.search(
            r"ends at [01]\.\d\d s: .* cut off \(its last frame is incomplete\)", verdict(path)
        )


@pytest.mark.parametrize("kind", ["0", "1"])
@pytest.mark.parametrize("start", [0, 77])
def test_a_transport_stream_that_ends_in_a_packet_is_reported(
    kind: str, start: int, tmp_path: Path
) -> None:
    """Of 188 bytes, or of 192 with a time stamp; also one that begins in the middle of a packet."""
    path = tmp_path / "song.ts"
    whole = ("-i", written(tmp_path / "a.wav"), "-c:a", "mp2", "-mpegts_m2ts_mode", kind, path)
    ffmpeg(*whole)
    data = path.read_bytes()
    path.write_bytes(data[start:])
    assert verdict(path) == ""
    path.write_bytes(data[start:-100])
    assert "cut off (its last packet is incomplete)" in verdict(path)


def test_an_avi_with_bytes_put_into_its_sound_is_reported(tmp_path: Path) -> None:
    """The list of sound ends where it says, no longer where the next chunk begins."""
    path = written(tmp_path / "song.avi")
    data = path.read_bytes()
    path.write_bytes(data[:-10_000] + b"x" * 4000 + data[-10_000:])
    assert "chunks are damaged" in verdict(path)


def test_a_signalling_nan_gives_no_warning(tmp_path: Path) -> None:
    """IEEE 754, 6.2.1: NaN whose first bit of the fraction is 0; warnings are errors here."""
    wave = np.full(20_000, 0x7FA00000, "<u4")
    path = tmp_path / "song.wav"
    header = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", 80_036, b"WAVE", b"fmt ", 16, 3, 1, 44_100, 176_400, 4, 32
    )
    path.write_bytes(header + struct.pack("<4sI", b"data", wave.nbytes) + wave.tobytes())
    with open_audio(path) as audio:
        assert np.isnan(next(iter(audio))).all()
