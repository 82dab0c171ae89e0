"""Oddities of files: each makes an odd file of a row's format, and says what has to come out.

An oddity that cannot apply to a format gives None: a blank of the table. ``WHY_BLANK`` has the
reasons that are not plain.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from tests.stemcli.audio.containers.rows import FRAMES, Row, Wave, sound
from tests.stemcli.audio.containers.tails import TAILS, id3v2


class Part(NamedTuple):
    """A file with nothing odd, and the sound that was encoded into it."""

    data: bytes
    wave: Wave


class Odd(NamedTuple):
    """An odd file.

    Attributes:
        data: its bytes.
        parts: the whole files whose sounds have to follow each other.
        is_cut: whether sound may be missing, which then has to be said.
        may_be_refused: whether one sentence is right as well.
        has_to_be_told: whether the file counts more than was ever in it.
    """

    data: bytes
    parts: tuple[Part, ...]
    is_cut: bool = False
    may_be_refused: bool = False
    has_to_be_told: bool = False


Oddity = Callable[[Row], Odd | None]


@cache
def plain_part(row: Row, seed: int = 0, frames: int = FRAMES) -> Part:
    """A file of the format with nothing odd."""
    wave = sound(row.rate, row.channels, frames, seed)
    return Part(row.encode(wave), wave)


def plain(row: Row) -> bytes:
    """The bytes of a file of the format with nothing odd."""
    return plain_part(row).data


def tail(extra: bytes) -> Oddity:
    def behind(row: Row) -> Odd | None:
        data = plain(row)
        return Odd(data + extra, (plain_part(row),))

    return behind


def id3v2_in_front(row: Row) -> Odd | None:
    return Odd(id3v2(b"picture" * 50) + plain(row), (plain_part(row),), may_be_refused=True)


def of_length(frames: int) -> Oddity:
    def other(row: Row) -> Odd | None:
        part = plain_part(row, frames=frames)
        return Odd(part.data, (part,))

    return other


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
    if row.family in ("mpeg audio", "elementary"):
        return Odd(data, (Part(data, np.concatenate([part.wave for part in both])),))
    if row.family in ALL_READ:
        return Odd(data, both)
    return Odd(data, both[:1], has_to_be_told=True)


ALL_READ = ("ogg", "mp3", "speex", "flac", "matroska", "avi", "ts")


@cache
def _packets(row: Row) -> list[int]:
    import json
    import subprocess
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=f".{row.suffix}") as file:
        file.write(plain(row))
        file.flush()
        show = ["ffprobe", "-v", "error", "-select_streams", "a", "-show_packets", "-of", "json"]
        told = subprocess.run([*show, file.name], stdout=subprocess.PIPE, check=True).stdout
    return [int(packet["pos"]) for packet in json.loads(told)["packets"] if "pos" in packet]


def cut_by_one_packet(row: Row) -> Odd | None:
    positions = _packets(row)
    if len(set(positions)) < 3 or row.family in ("ts", "elementary", "mpeg audio"):
        return None
    data = plain(row)
    return Odd(data[: max(positions)], (plain_part(row),), is_cut=True, may_be_refused=True)


def cut_in_the_last_packet(row: Row) -> Odd | None:
    positions = _packets(row)
    if len(set(positions)) < 3 or row.family == "ts":
        return None
    data = plain(row)
    return Odd(data[: max(positions) + 9], (plain_part(row),), is_cut=True, may_be_refused=True)


def remuxed(*words: str) -> Oddity:
    """The same packets, copied by ffmpeg into a new file with other time stamps."""

    def copied(row: Row) -> Odd | None:
        if row.by_libsndfile or row.family in ("riff", "adpcm", "rf64", "w64", "aiff", "au", "caf"):
            return None
        data = _copy(row, words)
        return Odd(data, (Part(data, plain_part(row).wave),))

    return copied


def _copy(row: Row, words: tuple[str, ...]) -> bytes:
    import tempfile
    from pathlib import Path

    from tests.audio_files import ffmpeg

    with tempfile.TemporaryDirectory() as folder:
        one, two = Path(folder, f"1.{row.suffix}"), Path(folder, f"2.{row.suffix}")
        one.write_bytes(plain(row))
        before = [word for word in words if words[0] == "-itsoffset"]
        after = [] if before else list(words)
        ffmpeg(*before, "-i", one, "-c", "copy", *after, "-f", row.muxer, *row.extra, two)
        return two.read_bytes()


FILMS = ("matroska", "mp4", "avi", "flv", "fragments", "asf", "ts")


def with_a_longer_picture(row: Row) -> Odd | None:
    if row.family not in FILMS or row.suffix in ("m4a", "mka", "wma"):
        return None
    import tempfile
    from pathlib import Path

    from tests.audio_files import ffmpeg

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
        return Odd(two.read_bytes(), (plain_part(row),))


def chunk_behind(pad: bool) -> Oddity:
    """A chunk with a picture behind the sound, whose padding byte is there or is missing."""

    def behind(row: Row) -> Odd | None:
        data = plain(row)
        if row.family in ("riff", "rf64", "adpcm"):
            body = id3v2()
            chunk = b"id3 " + struct.pack("<I", len(body)) + body
        elif row.family == "aiff":
            body = id3v2()
            chunk = b"ID3 " + struct.pack(">I", len(body)) + body
        elif row.family == "caf":
            body = id3v2()
            chunk = b"info" + struct.pack(">Q", len(body)) + body
        elif row.family == "w64":
            body = id3v2()
            guid = b"LIST" + bytes.fromhex("F3ACD3118CD100C04F8EDB8A")
            chunk = guid + struct.pack("<Q", len(body) + 24) + body
        else:
            return None
        if row.family in ("riff", "aiff", "rf64", "adpcm"):
            data, odd = _unpadded(row, data)
            if not pad and not odd:
                return None
            data += b"\0" if pad and odd else b""
        if row.family == "w64" and not pad:
            data = data[: _w64_end(data)]
        new = bytearray(data + chunk)
        if row.family in ("riff", "adpcm"):
            struct.pack_into("<I", new, 4, len(new) - 8)
        if row.family == "aiff":
            struct.pack_into(">I", new, 4, len(new) - 8)
        return Odd(bytes(new), (plain_part(row),))

    return behind


def _w64_end(data: bytes) -> int:
    at = data.find(b"data\xf3\xac")
    (size,) = struct.unpack_from("<Q", data, at + 16)
    return int(at + size)


def _unpadded(row: Row, data: bytes) -> tuple[bytes, bool]:
    """The file up to the end of its sound, and whether that is at an odd place."""
    name, form = (b"SSND", ">I") if row.family == "aiff" else (b"data", "<I")
    at = data.find(name)
    (size,) = struct.unpack_from(form, data, at + 4)
    size = len(data) - at - 8 if size == 0xFFFFFFFF else size
    return data[: at + 8 + size], bool((at + size) % 2)


def header_counts(change: Callable[[int], int]) -> Oddity:
    """A length in the header that is wrong, where there is sound that shows it."""

    def wrong(row: Row) -> Odd | None:
        data = bytearray(plain(row))
        if row.family in ("riff", "adpcm"):
            at, form = data.find(b"data") + 4, "<I"
        elif row.family == "aiff":
            at, form = data.find(b"SSND") + 4, ">I"
        elif row.family == "au":
            at, form = 8, ">I"
        elif row.family == "w64":
            at, form = data.find(b"data\xf3\xac") + 16, "<Q"
        elif row.family == "flac":
            at, form = 22, ">I"
        elif row.family == "mp3":
            at, form = max(data.find(b"Xing"), data.find(b"Info")) + 8, ">I"
        else:
            return None
        (old,) = struct.unpack_from(form, data, at)
        struct.pack_into(form, data, at, change(old))
        more = change(1000) > 1000 and row.family != "aiff"  # another chunk counts as well
        if change(1000) == 1024 and row.family == "adpcm":
            return None  # less than a block
        return Odd(bytes(data), (plain_part(row),), may_be_refused=more, has_to_be_told=more)

    return wrong


ODDITIES: dict[str, Oddity] = {
    **{name: tail(extra) for name, extra in TAILS.items()},
    "id3v2 in front": id3v2_in_front,
    "even length": of_length(FRAMES + 1),
    "one sample": of_length(1),
    "cut in the middle": cut(0.55),
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
    "chunk behind": chunk_behind(pad=True),
    "chunk behind, no pad byte": chunk_behind(pad=False),
    "header counts none": header_counts(lambda old: 0),
    "header counts half": header_counts(lambda old: old // 2),
    "header counts more": header_counts(lambda old: old * 2),
    "header counts a few more": header_counts(lambda old: old + 24),
}
