"""Oddities of files: each writes an odd file in a row's format, with the expected result.

An oddity that does not apply to a format gives None, a blank in the table. In formats without
counts (MPEG streams, FLV and raw frames), a cut between two packets is a blank too.
"""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stemcli.audio.ffmpeg_binary import find_ffmpeg
from tests.audio_files import ffmpeg
from tests.stemcli.audio.containers.rows import FRAMES, Row, Wave, sound
from tests.stemcli.audio.containers.tails import NOISE, TAILS, id3v2


class Part(NamedTuple):
    """A regular file, and the samples encoded in it."""

    data: bytes
    wave: Wave


class Odd(NamedTuple):
    """An odd file and what is expected of it.

    Attributes:
        data: its bytes.
        parts: the complete files whose audio must be decoded, one after the other.
        is_cut: whether audio may be missing, which then must be reported.
        may_be_refused: whether an error is acceptable too.
        padding: largest number of samples at the end that only some decoders treat as padding.
        must_be_reported: whether the file claims more audio than it ever had.
    """

    data: bytes
    parts: tuple[Part, ...]
    is_cut: bool = False
    may_be_refused: bool = False
    must_be_reported: bool = False
    padding: int = 0


Oddity = Callable[[Row], Odd | None]


@cache
def decode_with_ffmpeg(row: Row, data: bytes) -> Wave:
    """ffmpeg's decode of a file; empty if it cannot decode it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file.{row.suffix}")
        path.write_bytes(data)
        command = (find_ffmpeg(), "-v", "quiet", "-i", path, "-map", "0:a:0", "-f", "f32le", "-")
        raw = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout
    return np.frombuffer(raw, "<f4").reshape(-1, row.channels)


@cache
def plain_part(row: Row, seed: int = 0, frames: int = FRAMES) -> Part:
    """A regular file of the format."""
    wave = sound(row.rate, row.channels, frames, seed)
    return Part(row.encode(wave), wave)


def plain(row: Row) -> bytes:
    """The bytes of a regular file of the format."""
    return plain_part(row).data


def tail(extra: bytes) -> Oddity:
    def with_tail(row: Row) -> Odd | None:
        data = plain(row)
        return Odd(data + extra, (plain_part(row),))

    return with_tail


def id3v2_in_front(row: Row) -> Odd | None:
    return Odd(id3v2(b"picture" * 50) + plain(row), (plain_part(row),), may_be_refused=True)


def of_length(frames: int) -> Oddity:
    def other(row: Row) -> Odd | None:
        part = plain_part(row, frames=frames)
        return Odd(part.data, (part,), may_be_refused=frames == 1 and row.step is None)

    return other


def silent_from(share: float) -> Oddity:
    """Digital silence from a fraction of the song on, whose frames may be the smallest possible."""

    def silent(row: Row) -> Odd | None:
        wave = sound(row.rate, row.channels).copy()
        wave[int(len(wave) * share) :] = 0
        part = Part(row.encode(wave), wave)
        # ffmpeg does not recognize an MPEG stream of a few packets.
        return Odd(part.data, (part,), may_be_refused=not share and row.family == "ts")

    return silent


def cut(share: float, less: int = 0) -> Oddity:
    def broken_off(row: Row) -> Odd | None:
        data = plain(row)
        return Odd(
            data[: int(len(data) * share) - less],
            (plain_part(row),),
            is_cut=True,
            may_be_refused=True,
        )

    return broken_off


def piped(row: Row) -> Odd | None:
    if row.by_libsndfile or row.family in ("mp4",) or "faststart" in str(row.extra):
        return None
    wave = sound(row.rate, row.channels)
    data = row.encode(wave, piped=True)
    return Odd(data, (Part(data, wave),))


def appended(row: Row) -> Odd | None:
    both = plain_part(row), plain_part(row, 1, FRAMES + 1000)
    data = both[0].data + both[1].data
    if row.family in ("mpeg audio", "elementary", "matroska", "avi", "ts"):
        return Odd(data, (Part(data, np.concatenate([part.wave for part in both])),))
    if row.family in ALL_READ:
        return Odd(data, both)
    return Odd(data, both[:1], must_be_reported=True)


ALL_READ = ("ogg", "mp3", "speex", "flac")


@cache
def _packets(row: Row) -> list[int]:
    with tempfile.NamedTemporaryFile(suffix=f".{row.suffix}") as file:
        file.write(plain(row))
        file.flush()
        show = ["ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-of", "json"]
        output = subprocess.run([*show, file.name], stdout=subprocess.PIPE, check=True).stdout
    return [int(packet["pos"]) for packet in json.loads(output)["packets"] if "pos" in packet]


def cut_by_one_packet(row: Row) -> Odd | None:
    positions = _packets(row)
    if len(set(positions)) < 3 or row.family in ("ts", "elementary", "mpeg audio", "flv"):
        return None
    data = plain(row)
    return Odd(data[: max(positions)], (plain_part(row),), is_cut=True, may_be_refused=True)


def cut_in_the_last_packet(row: Row) -> Odd | None:
    positions = _packets(row)
    if len(set(positions)) < 3 or row.family == "ts":
        return None
    data = plain(row)
    return Odd(data[: max(positions) + 9], (plain_part(row),), is_cut=True, may_be_refused=True)


def remuxed(*options: str) -> Oddity:
    """The same packets, copied by ffmpeg into a new file with other timestamps."""

    def copied(row: Row) -> Odd | None:
        if row.by_libsndfile or row.family in ("riff", "adpcm", "rf64", "w64", "aiff", "au", "caf"):
            return None
        if row.suffix == "ogg" and "-0.5" in options:
            return None  # libvorbis drops samples before zero, and ffmpeg plays them
        if row.family == "avi" and "3600" in options:
            return None  # AVI has no timestamps
        data = _copy(row, options)
        return Odd(
            data, (Part(data, decode_with_ffmpeg(row, data)),), padding=PADDING.get(row.family, 0)
        )

    return copied


PADDING = {"mp4": 1024}
"""Samples of one frame: ffmpeg before version 7 plays the padding of the last frame."""


def _copy(row: Row, options: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, f"1.{row.suffix}"), Path(folder, f"2.{row.suffix}")
        one.write_bytes(plain(row))
        before = [option for option in options if options[0] == "-itsoffset"]
        after = [] if before else list(options)
        ffmpeg(*before, "-i", one, "-c", "copy", *after, "-f", row.muxer, *row.extra, two)
        return two.read_bytes()


FILMS = ("matroska", "mp4", "avi", "flv", "fragments", "asf", "ts")


def with_a_longer_picture(row: Row) -> Odd | None:
    if row.family not in FILMS or row.suffix in ("m4a", "mka", "wma"):
        return None
    codec = {"flv": "flv", "webm": "libvpx", "ts": "mpeg1video", "mpg": "mpeg1video"}
    picture = ("-f", "lavfi", "-i", "color=c=red:s=64x64:r=25:d=3")
    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, f"1.{row.suffix}"), Path(folder, f"2.{row.suffix}")
        one.write_bytes(plain(row))
        video = (
            "-c:v",
            codec.get(row.suffix, "mpeg4"),
            "-c:a",
            "copy",
            "-map",
            "0:v",
            "-map",
            "1:a",
        )
        ffmpeg(*picture, "-i", one, *video, "-f", row.muxer, *row.extra, two)
        return Odd(two.read_bytes(), (plain_part(row),), padding=PADDING.get(row.family, 0))


def chunk_at_the_end(pad: bool) -> Oddity:
    """A chunk with a picture after the audio, with or without the padding byte in between."""

    def with_chunk(row: Row) -> Odd | None:
        chunk = _chunk(row.family)
        data, odd = _unpadded(row) if chunk else (b"", False)
        if not chunk or not (pad or odd):
            return None
        new = bytearray(data + (b"\0" if pad and odd and row.family != "caf" else b"") + chunk)
        if row.family in ("riff", "adpcm", "aiff"):
            form = ">I" if row.family == "aiff" else "<I"
            struct.pack_into(form, new, 4, len(new) - 8)
        return Odd(bytes(new), (plain_part(row),))

    return with_chunk


SOUND_CHUNKS = {
    "riff": b"data",
    "rf64": b"data",
    "w64": b"data\xf3\xac",
    "aiff": b"SSND",
    "caf": b"data",
}


def audio_in_two_chunks(row: Row) -> Odd | None:
    """The chunk of samples twice, of which libsndfile and ffmpeg read only one."""
    if row.family not in SOUND_CHUNKS:
        return None
    data, is_odd = _unpadded(row)
    chunk = bytearray(data[data.find(SOUND_CHUNKS[row.family]) :])
    if row.family == "rf64":
        struct.pack_into("<I", chunk, 4, len(chunk) - 8)
    padding = bytes(-len(data) % (8 if row.family == "w64" else 2)) if is_odd else b""
    new = bytearray(data + padding + chunk)
    if row.family in ("riff", "aiff"):
        struct.pack_into(">I" if row.family == "aiff" else "<I", new, 4, len(new) - 8)
    return Odd(bytes(new), (plain_part(row), plain_part(row)))


def junk_in_front(row: Row) -> Odd | None:
    if row.family != "flac":
        return None
    return Odd(NOISE[:5000] + plain(row), (plain_part(row),))


def _chunk(family: str) -> bytes:
    """A tag with a picture as a chunk of this container family."""
    body = id3v2()
    if family in ("riff", "rf64", "adpcm"):
        return b"id3 " + struct.pack("<I", len(body)) + body
    if family == "aiff":
        return b"ID3 " + struct.pack(">I", len(body)) + body
    if family == "caf":
        return b"info" + struct.pack(">Q", len(body)) + body
    if family == "w64":
        guid = b"LIST" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")
        return guid + struct.pack("<Q", len(body) + 24) + body
    return b""


def _unpadded(row: Row) -> tuple[bytes, bool]:
    """The file up to the end of its audio, and whether padding is needed there."""
    data = plain(row)
    if row.family == "caf":
        return data, False
    if row.family == "w64":
        at = data.find(b"data\xf3\xac")
        end = at + struct.unpack_from("<Q", data, at + 16)[0]
        return (data[:end], True) if end % 8 else (data[:end], False)
    name, form = (b"SSND", ">I") if row.family == "aiff" else (b"data", "<I")
    at = data.find(name)
    (size,) = struct.unpack_from(form, data, at + 4)
    size = len(data) - at - 8 if size == 0xFFFFFFFF else size
    return data[: at + 8 + size], bool((at + size) % 2)


def header_counts(change: Callable[[int], int]) -> Oddity:
    """A wrong length in the header, which the actual audio contradicts."""

    def wrong(row: Row) -> Odd | None:
        data = bytearray(plain(row))
        position = _count(row.family, data)
        if position is None or (row.family == "adpcm" and change(1000) == 1024):
            return None  # the difference is less than a block
        if row.name == "wav 8" and change(1000) < 1000:
            return None  # the padding byte would be one more sample
        at, form = position
        struct.pack_into(form, data, at, change(*struct.unpack_from(form, data, at)))
        more = change(1000) > 1000 and row.family != "aiff"  # in AIFF another chunk has a count too
        return Odd(bytes(data), (plain_part(row),), may_be_refused=more, must_be_reported=more)

    return wrong


def _count(family: str, data: bytearray) -> tuple[int, str] | None:
    """Position and format of the count in a header."""
    if family in ("riff", "adpcm"):
        return data.find(b"data") + 4, "<I"
    if family == "w64":
        return data.find(b"data\xf3\xac") + 16, "<Q"
    if family == "aiff":
        return data.find(b"SSND") + 4, ">I"
    if family == "mp3":
        return max(data.find(b"Xing"), data.find(b"Info")) + 8, ">I"
    return {"au": (8, ">I"), "flac": (22, ">I")}.get(family)


ODDITIES: dict[str, Oddity] = {
    **{name: tail(extra) for name, extra in TAILS.items()},
    "id3v2 in front": id3v2_in_front,
    "junk in front": junk_in_front,
    "samples in two chunks": audio_in_two_chunks,
    "even length": of_length(FRAMES + 1),
    "one sample": of_length(1),
    "silence at the end": silent_from(0.5),
    "silence": silent_from(0.0),
    "cut in the middle": cut(0.56),
    "cut by a byte": cut(1.0, 1),
    "cut by a few bytes": cut(1.0, 40),
    "cut by a packet": cut_by_one_packet,
    "cut in the last packet": cut_in_the_last_packet,
    "written into a pipe": piped,
    "another file behind": appended,
    "starts late": remuxed("-itsoffset", "5"),
    "starts before zero": remuxed("-output_ts_offset", "-0.5"),
    "starts at an hour": remuxed("-output_ts_offset", "3600"),
    "longer picture": with_a_longer_picture,
    "trailing chunk": chunk_at_the_end(pad=True),
    "trailing chunk, no pad byte": chunk_at_the_end(pad=False),
    "header counts none": header_counts(lambda old: 0),
    "header counts half": header_counts(lambda old: old // 2),
    "header counts more": header_counts(lambda old: old * 2),
    "header counts a few more": header_counts(lambda old: old + 24),
}
