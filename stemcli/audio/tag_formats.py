"""Reads and writes tags in the terms of each container, with mutagen."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import mutagen
import soundfile
from mutagen import id3
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import FLAC
from mutagen.flac import Picture as FlacPicture
from mutagen.mp4 import MP4Cover, MP4Tags
from mutagen.wave import WAVE

from stemcli.audio.soundfile_decoder import StraightFile
from stemcli.audio.tag_limits import (
    BoundedFile,
    TooLargeError,
    bound_mutagen,
    require_few,
)
from stemcli.audio.tags import Picture, Tags

bound_mutagen()


class Names(NamedTuple):
    """Names of a field; Vorbis comments (FLAC, Ogg, Opus) use the keys of :data:`FIELDS`."""

    id3: str
    mp4: str
    asf: str
    ape: str


FIELDS = {
    "title": Names("TIT2", "©nam", "Title", "Title"),
    "artist": Names("TPE1", "©ART", "Author", "Artist"),
    "album": Names("TALB", "©alb", "WM/AlbumTitle", "Album"),
    "albumartist": Names("TPE2", "aART", "WM/AlbumArtist", "Album Artist"),
    "composer": Names("TCOM", "©wrt", "WM/Composer", "Composer"),
    "genre": Names("TCON", "©gen", "WM/Genre", "Genre"),
    "date": Names("TDRC", "©day", "WM/Year", "Year"),
    "tracknumber": Names("TRCK", "trkn", "WM/TrackNumber", "Track"),
    "discnumber": Names("TPOS", "disk", "WM/PartOfSet", "Disc"),
    "copyright": Names("TCOP", "cprt", "Copyright", "Copyright"),
}
LONGEST_TEXT = 2**16
"""Characters of a title or a name."""

_PAIRS = ("trkn", "disk")  # MP4 stores (number, total), in 16 bits each
_PAIR = r"\s*\d{1,4}\s*(/\s*\d{0,4}\s*)?"
_VORBIS_PICTURE = "metadata_block_picture"
_MP4_IMAGES = {"image/jpeg": MP4Cover.FORMAT_JPEG, "image/png": MP4Cover.FORMAT_PNG}


def read_tags(path: Path) -> Tags | None:
    """Read the tags of a song; None if mutagen does not know its container.

    Raises:
        TooLargeError: the tags exceed the limits.
    """
    with BoundedFile(path) as bounded:
        if bounded.read(12)[8:] == b"AVI ":
            return None  # mutagen takes it for a WAV
        bounded.seek(0)
        file = mutagen.File(bounded)
    if file is None:
        return None
    if file.tags is None:
        return _read_chunks(path) if isinstance(file, (WAVE, AIFF)) else Tags()
    read: Callable[[Any], Tags] = _read_vorbis
    for kind, reader in _READERS.items():
        if isinstance(file.tags, kind):
            read = reader
    return _bounded(read(file))


def _bounded(tags: Tags) -> Tags:
    """Return ``tags`` if they are within the limits.

    Raises:
        TooLargeError: the tags exceed the limits.
    """
    require_few(len(tags.pictures) + sum(map(len, tags.texts.values())))
    if any(len(text) > LONGEST_TEXT for texts in tags.texts.values() for text in texts):
        raise TooLargeError("a text is too long")
    return tags


def write_tags(path: Path, tags: Tags) -> list[str]:
    """Write tags to a file; return notices about tags that its container cannot store."""
    if not tags.texts and not tags.pictures:
        return []
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    write: Callable[[Any, Tags], list[str]] = _write_vorbis
    if isinstance(file.tags, id3.ID3):
        write = _write_id3
    elif isinstance(file.tags, MP4Tags):
        write = _write_mp4
    notices = write(file, tags)
    file.save()
    return notices


def _read_chunks(path: Path) -> Tags:
    """Read RIFF's INFO and AIFF's text chunks, with libsndfile because mutagen ignores them."""
    try:
        with StraightFile(path) as file:
            texts = file.copy_metadata()
    except soundfile.LibsndfileError:
        return Tags()
    return Tags({field: [texts[field]] for field in FIELDS if texts.get(field)})


def _read_id3(file: Any) -> Tags:
    frames = {field: file.tags.getall(names.id3) for field, names in FIELDS.items()}
    texts = {
        field: [str(text) for text in found[0].text] for field, found in frames.items() if found
    }
    covers = [
        Picture(frame.data, frame.mime, int(frame.type)) for frame in file.tags.getall("APIC")
    ]
    return Tags(texts, covers)


def _write_id3(file: Any, tags: Tags) -> list[str]:
    for field, values in tags.texts.items():
        frame = id3.Frames[FIELDS[field].id3]
        file.tags.add(frame(encoding=id3.Encoding.UTF8, text=values))
    for number, picture in enumerate(tags.pictures):
        # ID3 requires different descriptions for frames of one kind.
        description = f"cover {number}" if number else "cover"
        file.tags.add(
            id3.APIC(id3.Encoding.UTF8, picture.mime, picture.kind, description, picture.data)
        )
    return []


def _read_mp4(file: Any) -> Tags:
    texts = {
        field: [_pair_to_text(value) if names.mp4 in _PAIRS else str(value) for value in values]
        for field, names in FIELDS.items()
        if (values := file.tags.get(names.mp4))
    }
    mimes = {number: mime for mime, number in _MP4_IMAGES.items()}
    covers = [
        Picture(bytes(cover), mimes.get(cover.imageformat, "image/jpeg"))
        for cover in file.tags.get("covr", [])
    ]
    return Tags(texts, covers)


def _write_mp4(file: Any, tags: Tags) -> list[str]:
    notices = []
    for field, values in tags.texts.items():
        name = FIELDS[field].mp4
        if name not in _PAIRS:
            file.tags[name] = values
        elif re.fullmatch(_PAIR, values[0]):
            file.tags[name] = [_text_to_pair(values[0])]
        else:
            notices.append(f"m4a cannot store the {field} {values[0]!r}: it was left out")
    fitting = [picture for picture in tags.pictures if picture.mime in _MP4_IMAGES]
    if fitting:
        file.tags["covr"] = [MP4Cover(each.data, _MP4_IMAGES[each.mime]) for each in fitting]
    lost = {picture.mime for picture in tags.pictures} - set(_MP4_IMAGES)
    return notices + [f"m4a cannot store an {mime} cover: it was left out" for mime in sorted(lost)]


def _read_vorbis(file: Any) -> Tags:
    texts = {field: list(file.tags[field]) for field in FIELDS if file.tags.get(field)}
    blocks = [FlacPicture(base64.b64decode(text)) for text in file.tags.get(_VORBIS_PICTURE, [])]
    blocks += file.pictures if isinstance(file, FLAC) else []
    return Tags(texts, [Picture(block.data, block.mime, int(block.type)) for block in blocks])


def _write_vorbis(file: Any, tags: Tags) -> list[str]:
    for field, values in tags.texts.items():
        file.tags[field] = values
    blocks = [_flac_picture(picture) for picture in tags.pictures]
    if isinstance(file, FLAC):
        for block in blocks:
            file.add_picture(block)
    elif blocks:
        encoded = [base64.b64encode(block.write()).decode("ascii") for block in blocks]
        file.tags[_VORBIS_PICTURE] = encoded
    return []


def _read_asf(file: Any) -> Tags:
    texts = {
        field: [str(value) for value in values]
        for field, names in FIELDS.items()
        if (values := file.tags.get(names.asf))
    }
    return Tags(texts, [_asf_picture(value.value) for value in file.tags.get("WM/Picture", [])])


def _read_ape(file: Any) -> Tags:
    texts = {
        field: list(file.tags[names.ape])
        for field, names in FIELDS.items()
        if names.ape in file.tags
    }
    cover = file.tags.get("Cover Art (Front)")
    # The item consists of the name of the image, a zero and the image.
    data = bytes(cover.value).partition(b"\0")[2] if cover else b""
    mime = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    return Tags(texts, [Picture(data, mime)] if data else [])


_READERS: dict[type, Callable[[Any], Tags]] = {
    id3.ID3: _read_id3,
    MP4Tags: _read_mp4,
    ASFTags: _read_asf,
    APEv2: _read_ape,
}


def _flac_picture(picture: Picture) -> FlacPicture:
    block = FlacPicture()
    block.data, block.mime, block.type = picture.data, picture.mime, picture.kind
    return block


def _asf_picture(value: bytes) -> Picture:
    """Parse kind, image size, MIME type and description (UTF-16, zero-terminated), and image."""
    kind, size = struct.unpack_from("<BI", value)
    mime = value[5:].decode("utf-16-le", "replace").partition("\0")[0]
    return Picture(value[-size:], mime, kind)


def _pair_to_text(pair: tuple[int, int]) -> str:
    number, total = pair
    return f"{number}/{total}" if total else str(number)


def _text_to_pair(text: str) -> tuple[int, int]:
    number, _, total = text.partition("/")
    return int(number), int(total.strip() or 0)
