"""Tags of containers that mutagen does not know (Matroska, AVI, CAF, ...), read with ffmpeg.

ffmpeg writes them as text (ffmpeg-formats, "Metadata"): ``title=Song``, with a backslash in front
of ``=``, ``;``, ``#``, itself and line breaks, and chapters in sections of their own behind them.
"""

from __future__ import annotations

import re
from pathlib import Path

from model_zoo.errors import FfmpegMissingError
from stemcli.audio.endings import DEMUXERS
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from stemcli.audio.ffmpeg_process import FfmpegProcess
from stemcli.audio.tags import Tags

_NAMES = {"album_artist": "albumartist", "track": "tracknumber", "disc": "discnumber"}
_FIELDS = {"title", "artist", "album", "composer", "genre", "date", "copyright", *_NAMES}
_MOST = 1 << 20  # bytes of all tags
_LONGEST = 1 << 16  # characters of one
_LINE = re.compile(r"(?:[^\\\n]|\\.)++", re.DOTALL)  # a line break may be part of a tag
_NAME = re.compile(r"((?:[^\\=]|\\.)++)=", re.DOTALL)


def ffmpeg_tags(path: Path) -> Tags:
    """The tags of a file; none where it has none, or there is no ffmpeg.

    Args:
        path: a song that can be decoded.
    """
    try:
        process = FfmpegProcess(_command(path))
    except FfmpegMissingError:
        return Tags()
    said = bytearray()
    try:
        while len(said) < _MOST and (more := process.read(65536)):
            said += more
    finally:
        process.close()
    return parsed(said.decode("utf-8", "replace"))


def parsed(text: str) -> Tags:
    """Tags in the words of ffmpeg.

    Args:
        text: as ffmpeg writes them.
    """
    text = re.split(r"^\[(?:CHAPTER|STREAM)\]$", text, maxsplit=1, flags=re.MULTILINE)[0]
    texts: dict[str, list[str]] = {}
    for line in _LINE.finditer(text):
        if not text.startswith("\n", line.end()):
            break  # cut off, as ffmpeg ends every tag with a line break
        named = _NAME.match(line[0])
        name = _unescaped(named[1]).strip().lower() if named else ""
        value = _unescaped(line[0][named.end() :]) if named else ""
        if name in _FIELDS and value and len(value) <= _LONGEST:
            texts.setdefault(_NAMES.get(name, name), [value])
    return Tags(texts)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _command(path: Path) -> list[str]:
    """Opens one file and nothing that it names, as the decoder does."""
    only = ("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS)
    quiet = (find_ffmpeg(), "-nostdin", "-loglevel", "error")
    return [*quiet, *only, "-i", f"file:{path}", "-f", "ffmetadata", "-"]
