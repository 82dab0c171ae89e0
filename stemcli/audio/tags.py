"""Carry title, artist, album and cover from a song to its stems."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from model_zoo.plain import shortened
from stemcli.printable import printable


@dataclass(frozen=True)
class Picture:
    """A cover: the encoded image, its MIME type and its kind (3: front cover, as ID3 counts)."""

    data: bytes
    mime: str = "image/jpeg"
    kind: int = 3


@dataclass(frozen=True)
class Tags:
    """What is known of a song, in no container's terms.

    Attributes:
        texts: field to values; the fields are those of :data:`stemcli.audio.tag_formats.FIELDS`.
        pictures: covers.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)

    def for_stem(self, stem: str) -> Tags:
        """The same with the stem's name behind the title: ``"Song (vocals)"``."""
        titles = [f"{title} ({printable(stem)})" for title in self.texts.get("title", [])]
        return replace(self, texts={**self.texts, **({"title": titles} if titles else {})})


def copy_tags(source: Path, target: Path, *, stem: str | None = None) -> list[str]:
    """Copy the tags of a song into a finished stem.

    Args:
        source: the song.
        target: a wav, flac, mp3, ogg, opus or m4a file; its extension must say so.
        stem: appended to the title.

    Returns:
        Notices: what could not be copied, and why. Odd tags never raise.
    """
    from stemcli.audio.ffmpeg_tags import ffmpeg_tags
    from stemcli.audio.tag_formats import read_tags, write_tags

    try:
        tags = read_tags(source)
        if tags is None:
            tags = ffmpeg_tags(source)
    except Exception as error:  # damaged tags raise anything: struct.error, KeyError, ...
        return [f"the tags of {source.name} cannot be read ({_reason(error)}): stems have none"]
    try:
        return write_tags(target, tags.for_stem(stem) if stem else tags)
    except Exception as error:
        kind = target.suffix.lstrip(".")
        return [f"the tags of {source.name} cannot be written to {kind} ({_reason(error)})"]


def _reason(error: Exception) -> str:
    return shortened(str(error), 200) or type(error).__name__
