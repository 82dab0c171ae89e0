"""Recognises files that are not audio: web pages, playlists, archives.

Decoders find audio in almost any data, so this check runs first.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stemcli.audio.containers.frames import HEADER, mpeg_audio

_LOOKED_AT = 65536  # bytes
_UNFINISHED = "its transfer did not finish, so download or copy it again"
_LISTED = "use the files that it lists"
_UNPACK = "unpack it and use the songs in it"
_EXPORT = "export it as a wav file from the program that made it"


class OtherFile(NamedTuple):
    """A kind of file that is not audio.

    Attributes:
        is_what: name with its article, for "it is ...".
        advice: what to do instead.
    """

    is_what: str
    advice: str


_WEB_PAGE = OtherFile("a web page", "download the song itself, perhaps after logging in")
_PLAYLIST = OtherFile("a playlist", _LISTED)
_CUE_SHEET = OtherFile("a cue sheet, which names the audio file of an album", "use that file")
_ARCHIVE = OtherFile("an archive", _UNPACK)
_PICTURE = OtherFile("a picture", "use the song itself")
_TRACKER = OtherFile("a tracker module", _EXPORT)
_ZEROS = OtherFile("nothing but zeros", _UNFINISHED)
_ZEROS_FIRST = OtherFile(f"a file that begins with {_LOOKED_AT >> 10} KiB of zeros", _UNFINISHED)
_TEXT = OtherFile("a text file", "use the song itself")

# First bytes, as their formats define them.
_MAGICS: tuple[tuple[bytes, OtherFile], ...] = (
    (b"%PDF", OtherFile("a PDF document", "use the song itself")),
    (b"MThd", OtherFile("a MIDI file, which contains notes", _EXPORT)),
    (b"PK\3\4", OtherFile("a zip archive", _UNPACK)),
    (b"Rar!\x1a\7", OtherFile("a rar archive", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", OtherFile("a 7z archive", _UNPACK)),
    (b"\x1f\x8b\x08", _ARCHIVE),
    (b"\xfd7zXZ\0", _ARCHIVE),
    (b"BZh", _ARCHIVE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"\x89PNG", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"Extended Module:", _TRACKER),
    (b"IMPM", _TRACKER),
    (
        b"\0\5\x16\7",
        OtherFile(
            "a macOS resource file (AppleDouble)",
            "use the file of the same name without the leading ._",
        ),
    ),
    (b"bplist", OtherFile("a macOS settings file", "use the song itself")),
    (b"SQLite format 3", OtherFile("a database or an Audacity project", _EXPORT)),
    (b"\x7fELF", OtherFile("a program", "use the song itself")),
    (b"MZ\x90\0", OtherFile("a program", "use the song itself")),
)
# Lower-case beginnings of texts, after byte order mark, white space, XML declaration and comments.
_TEXTS: tuple[tuple[str, OtherFile], ...] = (
    (r"<!doctype html|<html|<head|<body|<script|<meta", _WEB_PAGE),
    (r"#extm3u|#extinf|\[playlist\]|\[reference\]|ffconcat version|<asx|<\?wpl", _PLAYLIST),
    (r"<(playlist|smil|mpd)\b", _PLAYLIST),
    (r"\[internetshortcut\]", OtherFile("a link to a web page", "download the song itself")),
    (r"version https://git-lfs", OtherFile("a Git LFS pointer", "run: git lfs pull")),
    (
        r"d\d+:(announce|info|created by)",
        OtherFile("a torrent", "download its songs with a torrent client"),
    ),
    (r"\{\\rtf", OtherFile("a text document", "use the song itself")),
)
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_COMMENT = re.compile(r"(?:<\?xml[^>]*>|<!--.*?-->)\s*", re.DOTALL | re.IGNORECASE)
_CUE_FILE = re.compile(r"file .*(wave|mp3|aiff|flac|binary)", re.IGNORECASE)
_CUE_TRACK = re.compile(r"track \d+ audio", re.IGNORECASE)
_SURE = 3  # consecutive frames that identify MPEG audio
_MOST_ODD = 0.05  # largest fraction of unprintable characters in a text
_NAMES = re.compile(r"[^\n]+\.(mp3|flac|wav|ogg|opus|m4a|aac|wma|aiff?|mp4)", re.IGNORECASE)


def other_file_kind(path: Path) -> OtherFile | None:
    """The kind of a file that is not audio by its first bytes; None if it may be audio.

    Args:
        path: a file that can be opened.
    """
    head = _head(path)
    magic = next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)
    return magic or _archive_or_module(head) or _text_kind(_as_text(head))


def zeros_alone(path: Path) -> OtherFile | None:
    """The kind of a file that begins with many zeros and that no decoder can read, else None."""
    if _head(path).strip(b"\0"):
        return None
    return _ZEROS if path.stat().st_size <= _LOOKED_AT else _ZEROS_FIRST


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LOOKED_AT)


def _archive_or_module(head: bytes) -> OtherFile | None:
    """Kinds whose magic number is not at the beginning of the file."""
    if head[257:262] == b"ustar":
        return _ARCHIVE
    return _TRACKER if head[44:48] == b"SCRM" or head[1080:1084] == b"M.K." else None


def _as_text(head: bytes) -> str:
    """Decode the beginning of a text; ``""`` if these bytes are not text."""
    name = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")
    if not name and re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", head):
        return ""
    text = head.decode(name or "utf-8", "replace")
    if name == "utf-16" and (_is_mpeg_audio(head) or not _is_readable(text)):
        return ""
    return text.lstrip("\ufeff \t\r\n")


def _is_mpeg_audio(head: bytes) -> bool:
    """Whether consecutive frames follow: MPEG-1 Layer I with checksums begins with FF FE."""
    at = 0
    for _ in range(_SURE):
        frame = mpeg_audio(head[at : at + HEADER])
        if frame is None:
            return False
        at += frame.size
    return True


def _is_readable(text: str) -> bool:
    """Whether this is text: of random 16-bit words, one in eight is not a character."""
    odd = sum(not (each.isprintable() or each.isspace()) for each in text)
    return odd + text.count("\ufffd") <= _MOST_ODD * len(text)


def _text_kind(text: str) -> OtherFile | None:
    if not text:
        return None
    lower = _behind_comments(text).lower()
    for pattern, kind in _TEXTS:
        if re.match(pattern, lower):
            return kind
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if _is_cue_sheet(lines):
        return _CUE_SHEET
    names = [line for line in lines if line[0] != "#"]
    if names and all(_NAMES.fullmatch(line) for line in names):
        return _PLAYLIST
    return _TEXT if text.count("\ufffd") < len(text) * _MOST_ODD else None


def _behind_comments(text: str) -> str:
    """The text after the XML declaration and the comments at its beginning."""
    at = 0
    while found := _COMMENT.match(text, at):
        at = found.end()
    return text[at:]


def _is_cue_sheet(lines: Iterable[str]) -> bool:
    sheet = [line for line in lines if _CUE_FILE.fullmatch(line) or _CUE_TRACK.match(line)]
    return any(map(_CUE_FILE.fullmatch, sheet)) and any(map(_CUE_TRACK.match, sheet))
