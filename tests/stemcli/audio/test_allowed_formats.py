"""Every file extension that a batch accepts, and every demuxer that is allowed."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemcli.audio.allowed_formats import DEMUXERS, EXTENSIONS, KINDS, is_song
from stemcli.audio.containers.others import transport_packets
from stemcli.audio.containers.part import FilePart
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from stemcli.audio.ffmpeg_decoder import FfmpegDecoder
from tests.audio_files import ffmpeg, tones
from tests.stemcli.audio.decoding import decode

SECONDS = 1.0
RATE = 44100
SLACK = 0.2
"""Seconds that codecs and containers without a length may add or lose at the ends."""


def split(options: str) -> list[str]:
    return options.split()


# ffmpeg's options for each extension; empty if the extension is enough.
MP4 = ("-f", "mp4")
FFMPEG_OPTIONS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(split("bwf wave"), ("-f", "wav")),
    **dict.fromkeys(split("wav w64 aif aiff flac caf au mka mkv webm avi wv tta voc"), ()),
    **dict.fromkeys(split("mp3 ogg oga opus m4a mov wma wmv flv aac ac3 eac3 mp2 mpg mpeg"), ()),
    "adts": ("-f", "adts"),
    **dict.fromkeys(split("m2a mp1 mpga"), ("-c:a", "mp2", "-f", "mp2")),
    **dict.fromkeys(split("ogx ogm ogv"), ("-c:a", "flac", "-f", "ogg")),
    **dict.fromkeys(split("alac f4a f4b f4v m4b m4r m4v mp4"), MP4),
    "qt": ("-f", "mov"),
    "mj2": ("-c:a", "aac", *MP4),
    **dict.fromkeys(split("3g2 3ga 3gp"), ("-c:a", "aac", "-f", "3gp")),
    "asf": ("-c:a", "wmav2", "-f", "asf"),
    **dict.fromkeys(split("ts m2t m2ts mts"), ("-c:a", "aac", "-f", "mpegts")),
    "divx": ("-f", "avi"),
    "ec3": ("-f", "eac3"),
    "weba": ("-f", "webm"),
    "dts": ("-strict", -2, "-c:a", "dca", "-f", "dts"),
    "dtshd": ("-strict", -2, "-c:a", "dca", "-f", "dts"),
    "loas": ("-c:a", "aac", "-f", "latm"),
    "nut": ("-f", "nut"),
    "rm": ("-c:a", "ac3", "-f", "rm"),
    "rmvb": ("-c:a", "ac3", "-f", "rm"),
    "ra": ("-c:a", "ac3", "-f", "rm"),
    "snd": ("-f", "au"),
    "thd": ("-strict", -2, "-f", "truehd"),
    "vob": ("-f", "vob"),
    "wtv": ("-c:a", "mp2", "-f", "wtv"),
    "sox": ("-f", "sox"),
    "sf": ("-f", "ircam"),
}
PICTURE = ("-f", "lavfi", "-i", f"testsrc=size={{size}}:rate=25:duration={SECONDS}")
FILMS: dict[str, tuple[str, tuple[object, ...]]] = {
    "mxf": ("32x32", ("-c:v", "mpeg2video", "-ar", 48000, "-f", "mxf")),
    "gxf": ("720x576", ("-c:v", "mpeg2video", "-ar", 48000, "-ac", 1, "-f", "gxf")),
    "dv": ("720x576", ("-pix_fmt", "yuv420p", "-ar", 48000, "-f", "dv")),
}
SOUNDFILE = {
    "rf64": ("RF64", "PCM_16"),
    "aifc": ("AIFF", "FLOAT"),
    "avr": ("AVR", "PCM_16"),
    "8svx": ("SVX", "PCM_16"),
    "nist": ("NIST", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "paf": ("PAF", "PCM_16"),
    "pvf": ("PVF", "PCM_16"),
}


def by_ffmpeg(path: Path, options: tuple[object, ...]) -> None:
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    ffmpeg(*sound, *options, path, sound=tones(round(SECONDS * RATE)))


def film(path: Path, size: str, options: tuple[object, ...]) -> None:
    picture = [str(option).format(size=size) for option in PICTURE]
    sound = ("-f", "f32le", "-ar", RATE, "-ac", 2, "-i", "-")
    ffmpeg(*picture, *sound, *options, path, sound=tones(round(SECONDS * RATE)))


def by_soundfile(path: Path, format: str, encoding: str) -> None:
    wave = tones(round(SECONDS * RATE), channels=1)
    soundfile.write(path, wave, RATE, format=format, subtype=encoding)


def dsf(path: Path) -> None:
    """Write DSD silence, which is alternating bits, in blocks of 4096 bytes per channel.

    Source: "DSF File Format Specification" 1.01, Sony.
    """
    blocks, block = round(SECONDS * 2_822_400 / 8 / 4096), 4096
    data = 2 * blocks * block * b"\x69"
    form = struct.pack(
        "<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 2, 2, 2_822_400, 1, blocks * block * 8, block, 0
    )
    body = form + b"data" + struct.pack("<Q", 12 + len(data)) + data
    path.write_bytes(b"DSD " + struct.pack("<QQQ", 28, 28 + len(body), 0) + body)


def dff(path: Path) -> None:
    """Write the same as DSDIFF, with the channels' bytes interleaved.

    Source: "Direct Stream Digital Interchange File Format" 1.5, Philips.
    """

    def chunk(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(">Q", len(body)) + body + bytes(len(body) % 2)

    properties = (
        b"SND "
        + chunk(b"FS  ", struct.pack(">I", 2_822_400))
        + chunk(b"CHNL", struct.pack(">H4s4s", 2, b"SLFT", b"SRGT"))
        + chunk(b"CMPR", b"DSD \x0enot compressed")
    )
    data = round(SECONDS * 2_822_400 / 8) * b"\x69\x69"
    parts = chunk(b"FVER", b"\1\5\0\0") + chunk(b"PROP", properties) + chunk(b"DSD ", data)
    path.write_bytes(chunk(b"FRM8", b"DSD " + parts))


def amr(path: Path) -> None:
    """Write frames of 20 ms in the lowest mode: a header and 12 bytes (RFC 4867, section 5.3)."""
    path.write_bytes(b"#!AMR\n" + round(SECONDS * 50) * (b"\x04" + bytes(12)))


def awb(path: Path) -> None:
    """Write the same for AMR-WB, with 17 bytes."""
    path.write_bytes(b"#!AMR-WB\n" + round(SECONDS * 50) * (b"\x04" + bytes(17)))


def gsm(path: Path) -> None:
    """Write frames of 33 bytes and 20 ms, which begin with the bits 1101 (GSM 06.10)."""
    path.write_bytes(round(SECONDS * 50) * (b"\xd0" + bytes(32)))


BY_HAND: dict[str, Callable[[Path], None]] = {
    "dsf": dsf,
    "dff": dff,
    "amr": amr,
    "awb": awb,
    "gsm": gsm,
}

# There is no free encoder for these: Monkey's Audio, Musepack, TAK and so on.
WITHOUT_ENCODER = {
    *split("aa3 ac4 aea ape bonk dss hcom iamf mmf mpc nsv oma osq qcp qoa rka shn spx tak vqf"),
    *split("wsd xwma"),
}


def make(path: Path) -> None:
    extension = path.suffix[1:]
    if extension in FFMPEG_OPTIONS:
        by_ffmpeg(path, FFMPEG_OPTIONS[extension])
    elif extension in FILMS:
        film(path, *FILMS[extension])
    elif extension in SOUNDFILE:
        by_soundfile(path, *SOUNDFILE[extension])
    else:
        BY_HAND[extension](path)


ALL_EXTENSIONS = sorted(extension[1:] for extension in EXTENSIONS)


def test_every_extension_is_tested_or_has_no_encoder() -> None:
    makers = [*FFMPEG_OPTIONS, *FILMS, *SOUNDFILE, *BY_HAND]
    assert sorted([*makers, *WITHOUT_ENCODER]) == ALL_EXTENSIONS


@pytest.mark.parametrize(
    "extension", [item for item in ALL_EXTENSIONS if item not in WITHOUT_ENCODER]
)
def test_files_of_every_extension_are_read(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"song.{extension.upper()}"
    lower_case = tmp_path / f"song.{extension}"
    make(lower_case)
    lower_case.rename(path)
    assert is_song(path)
    wave = decode(path)
    rate = {"amr": 8000, "gsm": 8000, "awb": 16000, "dsf": 352_800, "dff": 352_800}.get(extension)
    rate = rate or (48000 if extension in {*FILMS, "opus", "webm", "weba"} else RATE)
    slack = 0.5 if extension == "gxf" else SLACK  # GXF has units of 65536 samples
    assert abs(len(wave) / rate - SECONDS) < slack


# ffmpeg's muxers for formats that libsndfile reads.
BOTH_READ = {"wav": "wav", "w64": "w64", "aiff": "aiff", "flac": "flac", "mp3": "mp3", "ogg": "ogg"}


@pytest.mark.parametrize(
    "extension", [*BOTH_READ, "opus", "au", "caf", "rf64", "voc", "paf", "sph"]
)
def test_ffmpeg_can_read_formats_of_libsndfile(tmp_path: Path, extension: str) -> None:
    """ffmpeg is the fallback if libsndfile cannot read a file."""
    path = tmp_path / f"song.{extension}"
    make(path)
    with closing(FfmpegDecoder(FilePart(path))) as decoder:
        assert abs(decoder.info.sample_rate - RATE) <= 48000 - RATE
        assert len(decoder.read(1000)) == 1000


@pytest.mark.usefixtures("bundled_ffmpeg")
@pytest.mark.parametrize("extension", ["m4a", "wma", "ts", "mkv", "flv", "mpg", "avi", "dsf", "rm"])
def test_the_bundled_ffmpeg_reads_these_formats(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"song.{extension}"
    make(path)
    assert abs(len(decode(path)) / (352_800 if extension == "dsf" else RATE) - SECONDS) < SLACK


NEVER = split(
    "concat dash hls imf sdp rtp rtsp sap image2 image2pipe lavfi webm_dash_manifest svg_pipe sbg"
    " vobsub avisynth vapoursynth mlv data rawvideo s16le u8 ffmetadata bluray dvdvideo alsa pulse"
    " openal jack fbdev x11grab v4l2 kmsgrab libcdio decklink"
)


def test_demuxers_that_open_other_files_are_not_allowed() -> None:
    assert {*DEMUXERS.split(",")} & {*NEVER} == set()
    names = [name for kind in KINDS for name in kind.demuxers.split()]
    assert len(names) == len(set(names))


def test_demuxer_names_exist_in_ffmpeg() -> None:
    """A typo would refuse songs; some demuxers are too new or missing in this build of ffmpeg."""
    listed = subprocess.run(
        [find_ffmpeg(), "-hide_banner", "-demuxers"], capture_output=True, text=True, check=True
    )
    known = {name for line in listed.stdout.splitlines() for name in line.split()[1:2]}
    known = {name for names in known for name in names.split(",")}
    may_be_missing = {"ac4", "bonk", "iamf", "osq", "qoa", "rka"}
    assert {*DEMUXERS.split(",")} - known <= may_be_missing


TYPESCRIPT = "export const greeting: string = 'GGGG';\nimport { song } from './song';\n" * 200
NOT_SONGS = {
    "index.ts": TYPESCRIPT.encode(),
    "module.mts": b"export {};\n",
    "short.ts": b"G",
    "empty.ts": b"",
    "translation.ts": b'<?xml version="1.0"?><!DOCTYPE TS><TS version="2.1"></TS>',
    "script.sf": b"# a soundfont in words",
    "notes.snd": b"not sound",
    "program.dss": b"MZ\x90\0",
    "letter.rm": b"a text",
    "readme.voc": b"vocabulary",
    "song.m3u8": b"#EXTM3U\n",
    "song.cue": b'FILE "song.wav" WAVE\n',
    "cover.jpg": b"\xff\xd8\xff",
}


@pytest.mark.parametrize("name", NOT_SONGS)
def test_other_files_with_audio_extensions_are_not_songs(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(NOT_SONGS[name])
    assert not is_song(path)


def packets(size: int, before: int, first: int = 0) -> bytes:
    """Fifty packets of MPEG-TS, starting at byte ``first``."""
    one = bytes(before) + b"\x47" + bytes(size - before - 1)
    return (50 * one)[first:]


@pytest.mark.parametrize(("size", "before"), [(188, 0), (192, 4), (204, 0)])
@pytest.mark.parametrize("first", [0, 1, 100, 187])
def test_a_recording_may_begin_inside_a_packet(
    tmp_path: Path, size: int, before: int, first: int
) -> None:
    path = tmp_path / "record.ts"
    path.write_bytes(packets(size, before, first))
    assert is_song(path)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "song.ts")
    assert is_song(tmp_path / "song.ts", is_regular=False)


def test_an_unreadable_file_counts_as_a_song(tmp_path: Path) -> None:
    assert is_song(tmp_path / "gone.ts")


def test_the_dsd_file_is_silent(tmp_path: Path) -> None:
    """By hand: 0x69 has as many ones as zeros, evenly distributed."""
    dsf(tmp_path / "song.dsf")
    assert np.abs(decode(tmp_path / "song.dsf")[4000:-4000]).max() < 0.01


@pytest.mark.parametrize(("size", "sync"), [(188, 0), (192, 4), (204, 0)])
@pytest.mark.parametrize("start", [0, 1, 100])
def test_packets_of_a_transport_stream(size: int, sync: int, start: int) -> None:
    """By hand, from ISO/IEC 13818-1, 2.4.3.2: a sync byte at the same position in every packet."""
    packet = bytes(sync) + b"\x47" + bytes(size - sync - 1)
    data = bytes(start) + 40 * packet
    assert transport_packets(data, 0, len(data)) == (start, size, sync)
    assert transport_packets(data[: start + 2 * size], 0, start + 2 * size) is None
    broken = data[: start + 5 * size] + bytes(size) + data[start + 6 * size :]
    assert transport_packets(broken[: start + 9 * size], 0, start + 9 * size) is None
