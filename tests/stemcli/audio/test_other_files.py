"""Files of other kinds given as songs, recognized by their first bytes."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from model_zoo.errors import DecodeError
from stemcli.audio.other_files import other_file_kind
from stemcli.audio.reader import probe
from tests.audio_files import ffmpeg, tones, write_audio

NOISE = np.random.default_rng(0).bytes(5000)
PAGE = "<html><head><title>404</title></head><body>" + "<p>Not found</p>" * 500 + "</body></html>"
XSPF = '<playlist version="1" xmlns="http://xspf.org/ns/0/"><trackList/></playlist>'
CUE = 'REM DATE 2001\r\nFILE "a.flac" WAVE\r\n  TRACK 01 AUDIO\r\n    INDEX 01 00:00:00\r\n'
M3U = "#EXTM3U\n#EXTINF:1,A song\nsong.mp3\n"


def packed(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("song.txt", "la " * 999)
    else:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("song.wav"))
    return file.getvalue()


def picture(kind: str) -> bytes:
    source = ("-f", "lavfi", "-i", "testsrc=s=64x64:d=1", "-frames:v", 1)
    return ffmpeg(*source, "-c:v", kind, "-f", "image2pipe", "-")


OTHERS: dict[str, tuple[bytes, str]] = {
    "a web page": (b"<!DOCTYPE html>\n" + PAGE.encode(), "it is a web page; download the song"),
    "a page in capitals": (b"\n\n <HTML>" + PAGE.encode(), "it is a web page; download"),
    "a page of XHTML": (b'<?xml version="1.0"?>\n<!-- x -->' + PAGE.encode(), "it is a web page"),
    "m3u": (M3U.encode(), "it is a playlist; use the files that it lists"),
    "m3u with a mark": (M3U.encode("utf-8-sig"), "it is a playlist"),
    "m3u in 16 bits": (M3U.encode("utf-16"), "it is a playlist"),
    "names alone": (b"song.mp3\r\nmore/B\xe9la.flac\r\n", "it is a playlist"),
    "pls": (b"[playlist]\nFile1=a.mp3\n", "it is a playlist"),
    "xspf": (b"<?xml version='1.0'?>" + XSPF.encode(), "it is a playlist"),
    "a cue sheet": (CUE.encode(), "it is a cue sheet, .*; use that file"),
    "a cue sheet with a mark": (CUE.encode("utf-8-sig"), "it is a cue sheet"),
    "a text": (b"Le vent nous portera. " * 99, "it is a text file; use"),
    "a pdf": (b"%PDF-1.4\n" + NOISE, "it is a PDF document"),
    "a zip": (packed("zip"), "it is a zip archive; unpack it"),
    "a tar": (packed("tar"), "it is an archive; unpack it"),
    "a gz": (gzip.compress(NOISE), "it is an archive; unpack it"),
    "a jpg": (picture("mjpeg"), "it is a picture"),
    "a png": (picture("png"), "it is a picture"),
    "midi": (
        b"MThd\0\0\0\6\0\1\0\1\0\x60MTrk\0\0\0\4\0\xff\x2f\0",
        "a MIDI file, which contains notes",
    ),
    "zeros": (
        bytes(100_000),
        "a file that begins with 64 KiB of zeros; its transfer did not finish",
    ),
    "few zeros": (bytes(10_000), "it is nothing but zeros; its transfer did not finish"),
    "of macOS": (
        b"\0\5\x16\7\0\2\0\0Mac OS X" + NOISE,
        "a macOS resource file .AppleDouble.; use the file of the same name without the leading",
    ),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
        "it is a Git LFS pointer; run: git lfs pull",
    ),
    "a torrent": (
        b"d8:announce20:http://a.example/ann",
        "; download its songs with a torrent client",
    ),
    "a page behind comments": (b"<!---->\n" * 5_000 + PAGE.encode(), "it is a web page"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "m4a", "m3u"])
def test_a_file_of_another_kind_is_recognized(
    name: str, suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And no decoder prints to the terminal."""
    content, sentence = OTHERS[name]
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(content)
    with pytest.raises(
        DecodeError, match=rf"^No sound can be read from .*: .*{sentence}"
    ) as caught:
        probe(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "suffix", ["wav", "flac", "mp3", "ogg", "opus", "m4a", "wma", "mkv", "aiff"]
)
def test_songs_are_not_of_another_kind(suffix: str, tmp_path: Path) -> None:
    rate = 48_000 if suffix == "opus" else 44_100
    assert other_file_kind(write_audio(tmp_path / f"song.{suffix}", tones(5000), rate)) is None


@pytest.mark.parametrize(
    "text",
    [b"<!---->" * 5_000 + b"la", b"<!--" * 15_000, b"x" + b"\n" * 60_000, b"<?xml " * 10_000],
    ids=["comments", "half a comment", "empty lines", "half a declaration"],
)
def test_no_text_takes_long_to_recognize(text: bytes, tmp_path: Path) -> None:
    """The parser only moves forward; backtracking through comments would never end."""
    path = tmp_path / "song.mp3"
    path.write_bytes(text)
    started = time.process_time()
    kind = other_file_kind(path)
    assert time.process_time() - started < 0.5
    assert kind is not None
    assert kind.is_what == "a text file"


@pytest.mark.parametrize("frames", [3, 100])
def test_mpeg_audio_is_not_text(frames: int, tmp_path: Path) -> None:
    """Layer I with a checksum starts with FF FE, like text in UTF-16.

    By hand, from ISO/IEC 11172-3, 2.4.1.3: 384 kbit/s at 48 kHz are 12 * 384 / 48 * 4 = 384 bytes.
    """
    path = tmp_path / "song.mp1"
    path.write_bytes((b"\xff\xfe\xc4\x00" + b"U" * 380) * frames)
    assert other_file_kind(path) is None


def test_random_16_bit_words_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"\xff\xfe" + NOISE)
    assert other_file_kind(path) is None


def test_noise_is_not_recognized(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"\x07" + NOISE)
    assert other_file_kind(path) is None


@pytest.mark.parametrize("damage", ["cut off in its sound", "not finished", "cut off in its index"])
def test_an_mp4_without_its_index(damage: str, tmp_path: Path) -> None:
    """The index is after the audio, in the box "moov" (ISO/IEC 14496-12, 8.2.1)."""
    path = write_audio(tmp_path / "song.m4a", tones(50_000))
    data = path.read_bytes()
    index, sound = data.find(b"moov") - 4, data.find(b"mdat") - 4
    path.write_bytes(
        {
            "cut off in its sound": data[: index // 2],
            "not finished": data[:sound] + bytes(4) + data[sound + 4 : index],
            "cut off in its index": data[: index + 200],
        }[damage]
    )
    state = "incomplete" if "index" in damage else "missing"
    sentence = (
        rf"cut off \(its index is {state}, as after a recording or download that did not fini"
    )
    with pytest.raises(DecodeError, match=sentence):
        probe(path)
