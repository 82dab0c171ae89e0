"""Reads and writes tags in the terms of each container, with mutagen and within limits.

A file of a few megabytes can make mutagen take gigabytes: it trusts the sizes in a file and creates
an object for every field. It therefore reads through a file that limits the bytes per read, the
number of reads and the possible number of ID3 fields. Comments of Ogg and FLAC and items of APEv2
are counted where mutagen creates them.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import mutagen
import soundfile
from mutagen import _vorbis, apev2, id3
from mutagen.aiff import AIFF
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import FLAC
from mutagen.flac import Picture as FlacPicture
from mutagen.id3 import _frames
from mutagen.mp4 import MP4Cover, MP4Tags
from mutagen.wave import WAVE

from stemcli.audio.soundfile_decoder import StraightFile
from stemcli.audio.tags import Picture, Tags
from stemcli.remote_path import UrlPath

MOST_AT_ONCE = 2**24
"""Bytes per read: no block of a FLAC file is larger, and no cover needs to be."""

MOST_BYTES = 2**26
"""Total bytes that are read from a file for its tags."""

MOST_READS = 200_000
"""Reads per file; three hours of a film in fragments of two seconds take thirty thousand."""

MOST_FIELDS = 5_000
"""Fields and pictures of one song, of all kinds."""

WORTH_COUNTING = 2**15
"""Bytes; shorter data cannot contain too many fields, which have at least ten bytes each."""

MOST_APE_READS = 100_000
"""Reads of an APEv2 tag: two for each item, and one for each character of its name."""

_FRAME_NAMES = frozenset(name.encode() for name in {**id3.Frames, **id3.Frames_2_2})
# A short pattern, because an alternation of all names takes 30 ms per megabyte of a cover.
_MAYBE_FRAME = re.compile(b"[A-Z](?=[A-Z0-9]{2})")


class TooLargeError(Exception):
    """Tags exceed a limit in size or number of fields; they are not copied."""


class BoundedFile:
    """A file that limits how much can be read for its tags.

    Args:
        path: of the song.

    Raises:
        TooLargeError: while reading: the tags exceed a limit.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file: BinaryIO = path.open("rb")
        self._left, self._reads = MOST_BYTES, MOST_READS

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes; all remaining ones if negative."""
        data = self._file.read(MOST_AT_ONCE + 1 if size < 0 else min(size, MOST_AT_ONCE + 1))
        self._left -= len(data)
        self._reads -= 1
        for is_over, most in (
            (len(data) > MOST_AT_ONCE, MOST_AT_ONCE),
            (self._left < 0, MOST_BYTES),
        ):
            if is_over:
                raise TooLargeError(f"they have more than {most // 2**20} MiB")
        if self._reads < 0:
            raise TooLargeError("they have too many parts")
        if len(data) > WORTH_COUNTING:
            require_few(_count_frames(data))
        return data

    def seek(self, *position: int) -> int:
        """Set the position, like :meth:`io.IOBase.seek`."""
        return self._file.seek(*position)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> BoundedFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def require_few(fields: int) -> None:
    """Refuse tags with too many fields.

    Raises:
        TooLargeError: there are more than :data:`MOST_FIELDS`.
    """
    if fields > MOST_FIELDS:
        raise TooLargeError(f"they have {fields:,} fields")


def _count_frames(data: bytes) -> int:
    """How many names of ID3 frames occur in ``data``."""
    starts = (found.start() for found in _MAYBE_FRAME.finditer(data))
    return sum(
        data[at : at + 4] in _FRAME_NAMES or data[at : at + 3] in _FRAME_NAMES for at in starts
    )


class _BoundedZlib:
    """The part of zlib that mutagen uses, with a limit for frames that expand enormously."""

    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        inflater = zlib.decompressobj()
        content = inflater.decompress(data, MOST_AT_ONCE)
        if inflater.unconsumed_tail:
            raise TooLargeError("a compressed field is too large")
        return content


class _CountedBytes(BytesIO):
    """A file in memory with a limited number of reads; mutagen reads APEv2 keys byte by byte."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._reads = MOST_APE_READS

    def read(self, size: int | None = -1) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise TooLargeError("they have too many parts")
        return super().read(size)


def _append(comments: Any, pair: tuple[str, str]) -> None:
    """Append a Vorbis comment within the limit."""
    require_few(len(comments) + 1)
    list.append(comments, pair)


def bound_mutagen() -> None:
    """Patch mutagen (tested with 1.47) to apply the limits; it has no option for them."""
    frames, ape, vorbis = (cast(Any, module) for module in (_frames, apev2, _vorbis))
    frames.zlib = _BoundedZlib
    ape.BytesIO = _CountedBytes
    vorbis.VComment.append = _append


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

    Also None for text chunks of WAV and AIFF at a URL, because libsndfile reads local files only.

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
    if file.tags is None and isinstance(file, (WAVE, AIFF)):
        return None if isinstance(path, UrlPath) else _read_chunks(path)
    if file.tags is None:
        return Tags()
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
