"""Names what a file is that was given as a song and is not one: a web page, a playlist, ...

Some decoder finds sound in nearly everything, also in web pages, so this comes first.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import NamedTuple

_LOOKED_AT = 65536  # bytes
_UNFINISHED = "its download or copy did not finish: download or copy it again"
_LISTED = "give the files that it lists"
_UNPACK = "unpack it and give the songs in it"
_EXPORT = "export it as a wav file from the program that made it"


class OtherFile(NamedTuple):
    """What a file is.

    Attributes:
        is_what: with its article, for "it is ...".
        advice: what to do.
    """

    is_what: str
    advice: str


_WEB_PAGE = OtherFile("a web page", "download the song itself, perhaps after logging in")
_PLAYLIST = OtherFile("a playlist", _LISTED)
_CUE_SHEET = OtherFile("a cue sheet, which names the sound file of an album", "give that file")
_ARCHIVE = OtherFile("an archive", _UNPACK)
_PICTURE = OtherFile("a picture", "give the song itself")
_TRACKER = OtherFile("a tracker module", _EXPORT)
_ZEROS = OtherFile("nothing but zeros", _UNFINISHED)
_TEXT = OtherFile("a text", "give the song itself")

# First bytes, as their formats define them.
_MAGICS: tuple[tuple[bytes, OtherFile], ...] = (
    (b"%PDF", OtherFile("a PDF document", "give the song itself")),
    (b"MThd", OtherFile("a MIDI file, which holds notes", _EXPORT)),
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
    (b"\0\5\x16\7", OtherFile("what macOS keeps beside a file", "give the file without ._")),
    (b"bplist", OtherFile("a settings file of macOS", "give the song itself")),
    (b"SQLite format 3", OtherFile("a database or an Audacity project", _EXPORT)),
    (b"\x7fELF", OtherFile("a program", "give the song itself")),
    (b"MZ\x90\0", OtherFile("a program", "give the song itself")),
)
# Beginnings of texts without their byte order mark and leading white space, in small letters.
_TEXTS: tuple[tuple[str, OtherFile], ...] = (
    (r"<!doctype html|<html|<head|<body|<script|<meta", _WEB_PAGE),
    (r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*(<!doctype html|<html)", _WEB_PAGE),
    (r"#extm3u|#extinf|\[playlist\]|\[reference\]|ffconcat version|<asx|<\?wpl", _PLAYLIST),
    (r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(playlist|asx|smil|mpd)\b", _PLAYLIST),
    (r"(?=.*^\s*file .*(wave|mp3|aiff|flac|binary)\s*$)(?=.*^\s*track \d+ audio)", _CUE_SHEET),
    (r"\[internetshortcut\]", OtherFile("a link to a web page", "download the song itself")),
    (r"version https://git-lfs", OtherFile("a pointer of Git LFS", "type git lfs pull")),
    (r"d\d+:(announce|info|created by)", OtherFile("a torrent", "download the songs of it")),
    (r"\{\\rtf", OtherFile("a text document", "give the song itself")),
)
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NAMES = re.compile(r"[^\n]+\.(mp3|flac|wav|ogg|opus|m4a|aac|wma|aiff?|mp4)", re.IGNORECASE)


def other_file_kind(path: Path) -> OtherFile | None:
    """What a file is that holds no sound by its first bytes; None for any other.

    Args:
        path: a file that can be opened.
    """
    head = _head(path)
    magic = next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)
    return magic or _archive_or_module(head) or _text_kind(_as_text(head))


def zeros_alone(path: Path) -> OtherFile | None:
    """What a file is that begins with many zeros, after no decoder found sound behind them."""
    return None if _head(path).strip(b"\0") else _ZEROS


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LOOKED_AT)


def _archive_or_module(head: bytes) -> OtherFile | None:
    """Those whose mark does not stand at the beginning."""
    if head[257:262] == b"ustar":
        return _ARCHIVE
    return _TRACKER if head[44:48] == b"SCRM" or head[1080:1084] == b"M.K." else None


def _as_text(head: bytes) -> str:
    """The beginning of a text; ``""`` where these bytes are not one."""
    name = next((name for mark, name in _MARKS.items() if head.startswith(mark)), "")
    if not name and re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", head):
        return ""
    return head.decode(name or "utf-8", "replace").lstrip("\ufeff \t\r\n")


def _text_kind(text: str) -> OtherFile | None:
    if not text:
        return None
    lower = text.lower()
    for pattern, kind in _TEXTS:
        if re.match(pattern, lower, re.DOTALL | re.MULTILINE):
            return kind
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    names = [line for line in lines if line[0] != "#"]
    if names and all(_NAMES.fullmatch(line) for line in names):
        return _PLAYLIST
    return _TEXT if text.count("\ufffd") < len(text) / 20 else None
