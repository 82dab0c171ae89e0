r"""Copies title, artist, album and cover from a song to its stems.

ffmpeg writes tags as text (ffmpeg-formats, "Metadata"): ``title=Song``, with a backslash before
``=``, ``;``, ``#``, ``\`` and line breaks, followed by sections for chapters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from model_zoo.errors import FfmpegMissingError
from model_zoo.parsing import shortened
from stemcli.audio.allowed_formats import DEMUXERS
from stemcli.audio.ffmpeg_binary import find_ffmpeg
from stemcli.audio.ffmpeg_process import FfmpegProcess
from stemcli.fetch import fetch
from stemcli.printable import copy_name, printable
from stemcli.remote_path import UrlPath


@dataclass(frozen=True)
class Picture:
    """A cover: the encoded image, its MIME type and its kind (3: front cover, as ID3 counts)."""

    data: bytes
    mime: str = "image/jpeg"
    kind: int = 3


@dataclass(frozen=True)
class Tags:
    """The tags of a song, independent of its container.

    Attributes:
        texts: field to values; the fields are those of :data:`stemcli.audio.tag_formats.FIELDS`.
        pictures: covers.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)

    def for_stem(self, stem: str) -> Tags:
        """These tags with the name of the stem after the title: ``"Song (vocals)"``."""
        titles = [f"{title} ({printable(stem)})" for title in self.texts.get("title", [])]
        return replace(self, texts={**self.texts, **({"title": titles} if titles else {})})


def copy_tags(source: Path, target: Path, *, stem: str | None = None) -> list[str]:
    """Copy the tags of a song into a finished stem.

    Args:
        source: the song.
        target: a wav, flac, mp3, ogg, opus or m4a file; its extension must say so.
        stem: appended to the title.

    Returns:
        Notices about tags that could not be copied, and why. Malformed tags never raise.
    """
    from stemcli.audio.tag_formats import write_tags

    try:
        tags = song_tags(source)
    except Exception as error:  # damaged tags raise anything: struct.error, KeyError, ...
        return [f"the tags of {source.name} cannot be read ({_reason(error)}): stems have no tags"]
    try:
        return write_tags(target, tags.for_stem(stem) if stem else tags)
    except Exception as error:
        kind = target.suffix.lstrip(".")
        return [f"the tags of {source.name} cannot be written to {kind} ({_reason(error)})"]


def song_tags(song: Path) -> Tags:
    """Read the tags of a song.

    Args:
        song: a local file or a URL. Of a file at a URL, only the parts with tags are downloaded if
            mutagen can find them, else the whole file.

    Raises:
        Exception: the tags are damaged or too large, or the file cannot be read.
    """
    from stemcli.audio.tag_formats import read_tags

    tags = read_tags(song)
    if tags is not None:
        return tags
    if not isinstance(song, UrlPath):
        return ffmpeg_tags(song)
    with TemporaryDirectory(prefix="stem-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / copy_name(song.name)
        fetch(song, copy)
        return song_tags(copy)


def _reason(error: Exception) -> str:
    return shortened(str(error), 200) or type(error).__name__


_NAMES = {"album_artist": "albumartist", "track": "tracknumber", "disc": "discnumber"}
_FIELDS = {"title", "artist", "album", "composer", "genre", "date", "copyright", *_NAMES}
_MOST = 1 << 20  # bytes of all tags
_LONGEST = 1 << 16  # characters of one tag
_LINE = re.compile(r"(?:[^\\\n]|\\.)++", re.DOTALL)  # a line break may be part of a tag
_NAME = re.compile(r"((?:[^\\=]|\\.)++)=", re.DOTALL)


def ffmpeg_tags(path: Path) -> Tags:
    """Read the tags of a file with ffmpeg; empty if it has none or ffmpeg is missing.

    Args:
        path: a song that can be decoded.
    """
    try:
        process = FfmpegProcess(_command(path))
    except FfmpegMissingError:
        return Tags()
    output = bytearray()
    try:
        while len(output) < _MOST and (more := process.read(65536)):
            output += more
    finally:
        process.close()
    return parsed(output.decode("utf-8", "replace"))


def parsed(text: str) -> Tags:
    """Parse tags in ffmpeg's metadata format.

    Args:
        text: output of ffmpeg.
    """
    text = re.split(r"^\[(?:CHAPTER|STREAM)\]$", text, maxsplit=1, flags=re.MULTILINE)[0]
    texts: dict[str, list[str]] = {}
    for line in _LINE.finditer(text):
        if not text.startswith("\n", line.end()):
            break  # truncated, because ffmpeg ends every tag with a line break
        named = _NAME.match(line[0])
        name = _unescaped(named[1]).strip().lower() if named else ""
        value = _unescaped(line[0][named.end() :]) if named else ""
        if name in _FIELDS and value and len(value) <= _LONGEST:
            texts.setdefault(_NAMES.get(name, name), [value])
    return Tags(texts)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _command(path: Path) -> list[str]:
    """The ffmpeg command, which can read this one file only, as in the decoder."""
    only = ("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS)
    quiet = (find_ffmpeg(), "-nostdin", "-loglevel", "error")
    return [*quiet, *only, "-i", f"file:{path}", "-f", "ffmetadata", "-"]
