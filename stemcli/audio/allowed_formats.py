"""The file formats that Stem reads: ffmpeg's demuxers and the file name extensions of each.

Most demuxers of ffmpeg read one file. The demuxers of playlists, scripts and devices (HLS, DASH,
concat, SDP, image sequences, lavfi) open everything that a file names: other files, cameras, the
network. Only the demuxers listed here are used, so an untrusted file can only read itself. An older
or newer ffmpeg ignores names that it does not know.

libsndfile reads the formats of the first five lines, and some others, without ffmpeg.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from model_zoo.errors import StorageError
from stemcli.audio.containers.others import transport_packets

READABLE = "wav, flac, aiff, mp3, ogg, opus, m4a, wma, mp4 or mkv"
"""The formats that error messages list."""


class FileKind(NamedTuple):
    """A file format.

    Attributes:
        demuxers: their names in ``ffmpeg -demuxers``, separated by spaces.
        endings: file name extensions, separated by spaces; none if the usual one mostly belongs to
            files of other programs.
    """

    demuxers: str
    endings: str


KINDS = (
    FileKind("wav w64", "bwf rf64 w64 wav wave"),
    FileKind("aiff", "aif aifc aiff"),
    FileKind("flac", "flac"),
    FileKind("mp3", "m2a mp1 mp2 mp3 mpga"),
    FileKind("ogg", "oga ogg ogm ogv ogx opus spx"),
    FileKind("aac loas", "aac adts loas"),
    FileKind("ac3 eac3", "ac3 eac3 ec3"),
    FileKind("ac4", "ac4"),
    FileKind("amr amrnb amrwb", "amr awb"),
    FileKind("ape", "ape"),
    FileKind("aptx aptx_hd sbc", ""),
    FileKind("ast", ""),
    FileKind("au", "au snd"),
    FileKind("avr", "avr"),
    FileKind("bonk", "bonk"),
    FileKind("caf", "caf"),
    FileKind("dsf", "dsf"),
    FileKind("iff", "dff 8svx"),
    FileKind("wsd", "wsd"),
    FileKind("dss", "dss"),
    FileKind("dts dtshd", "dts dtshd"),
    FileKind("gsm", "gsm"),
    FileKind("hcom", "hcom"),
    FileKind("iamf", "iamf"),
    FileKind("ircam", "sf"),
    FileKind("mlp truehd", "thd"),
    FileKind("mmf", "mmf"),
    FileKind("mpc mpc8", "mpc"),
    FileKind("nistsphere", "nist sph"),
    FileKind("oma aea", "aa3 aea oma"),
    FileKind("osq", "osq"),
    FileKind("paf epaf", "paf"),
    FileKind("pvf", "pvf"),
    FileKind("qcp", "qcp"),
    FileKind("qoa", "qoa"),
    FileKind("rka", "rka"),
    FileKind("sds", ""),
    FileKind("shn", "shn"),
    FileKind("sox", "sox"),
    FileKind("spdif s337m", ""),
    FileKind("tak", "tak"),
    FileKind("tta", "tta"),
    FileKind("voc", "voc"),
    FileKind("vqf", "vqf"),
    FileKind("wv", "wv"),
    FileKind("xwma", "xwma"),
    # Films.
    FileKind("asf asf_o", "asf wma wmv"),
    FileKind("avi", "avi divx"),
    FileKind("dv", "dv"),
    FileKind("flv kux", "flv"),
    FileKind("gxf", "gxf"),
    FileKind("matroska webm", "mka mkv weba webm"),
    FileKind(
        "mov mp4 m4a 3gp 3g2 mj2",
        "3g2 3ga 3gp alac f4a f4b f4v m4a m4b m4r m4v mj2 mov mp4 qt",
    ),
    FileKind("mpeg", "mpeg mpg vob"),
    FileKind("mpegts", "m2t m2ts mts ts"),
    FileKind("mxf", "mxf"),
    FileKind("nsv", "nsv"),
    FileKind("nut", "nut"),
    FileKind("rm", "ra rm rmvb"),
    FileKind("wtv", "wtv"),
    # Pictures without sound, so that the error message can say so.
    FileKind("gif h264 hevc ivf m4v mpegvideo", ""),
)

DEMUXERS = ",".join(name for kind in KINDS for name in kind.demuxers.split())
"""For ffmpeg's ``-format_whitelist``."""

EXTENSIONS = frozenset(f".{ending}" for kind in KINDS for ending in kind.endings.split())
"""File name extensions, with a dot, of the songs that a batch takes."""

LOOKED_AT = 8192
"""Bytes read from a file whose extension is also used for other files, to tell them apart."""


def _is_transport_stream(head: bytes) -> bool:
    return transport_packets(head, 0, len(head)) is not None


def _begins_with(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


# Extensions that are shared with other files: source code (TypeScript), fonts, data, programs.
_LOOKS: dict[str, Callable[[bytes], bool]] = {
    **dict.fromkeys((".ts", ".mts", ".m2t", ".m2ts"), _is_transport_stream),
    ".avr": _begins_with(b"2BIT"),
    ".dss": _begins_with(b"\x02dss", b"\x03ds2"),
    ".dv": _begins_with(b"\x1f\x07\x00"),
    ".mmf": _begins_with(b"MMMD"),
    ".mpc": _begins_with(b"MP+", b"MPCK", b"ID3", b"APETAGEX"),
    ".nist": _begins_with(b"NIST_1A"),
    ".nut": _begins_with(b"nut/multimedia container"),
    ".paf": _begins_with(b" paf", b"fap "),
    ".pvf": _begins_with(b"PVF"),
    ".qt": lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"),
    ".ra": _begins_with(b".ra\xfd", b".RMF"),
    ".rm": _begins_with(b".ra\xfd", b".RMF"),
    ".sf": _begins_with(b"\x64\xa3", b"\x00\x01\xa3\x64", b"\x00\x02\xa3\x64", b"\x00\x03\xa3\x64"),
    ".snd": _begins_with(b".snd", b"FORM", b"RIFF", b"dns."),
    ".sox": _begins_with(b".SoX", b"XoS."),
    ".sph": _begins_with(b"NIST_1A"),
    ".voc": _begins_with(b"Creative Voice File"),
    ".vqf": _begins_with(b"TWIN"),
    ".wsd": _begins_with(b"1bit"),
}


def is_song(path: Path, *, is_regular: bool = True) -> bool:
    """Whether a file is a song by its extension and, where other files share that, its content.

    Args:
        path: a local file or a URL. An unreadable file counts as a song, so that opening it
            reports why.
        is_regular: whether reading it cannot block, as a pipe would.
    """
    ending = path.suffix.lower()
    looks = _LOOKS.get(ending)
    if looks is None or not is_regular:
        return ending in EXTENSIONS
    try:
        with path.open("rb") as file:
            return looks(file.read(LOOKED_AT))
    except (OSError, StorageError):
        return True
