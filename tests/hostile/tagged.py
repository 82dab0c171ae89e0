"""Songs with tags that would fill the memory."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from tests.audio_files import write_audio
from tests.hostile.table import Row

HUGE = 256 * 2**20
"""Size in bytes of a run of zeros, mostly sparse."""

TITLE = b"TIT2"


def syncsafe(size: int) -> bytes:
    return bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))


def frame(name: bytes, content: bytes, flags: bytes = b"\0\0") -> bytes:
    """A frame of ID3v2.4 (id3.org, "id3v2.4.0-structure", section 4)."""
    return name + syncsafe(len(content)) + flags + content


def id3(frames: bytes, zeros: int = 0) -> bytes:
    return b"ID3\4\0\0" + syncsafe(len(frames) + zeros) + frames


def wave(folder: Path, suffix: str, **options: str) -> Path:
    path = folder / f"song{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (4410, 2))
    soundfile.write(path, noise, 44_100, **options)
    return path


def spread(path: Path, head: bytes, zeros: int, tail: bytes) -> None:
    """Write bytes with a hole between them."""
    with path.open("wb") as file:
        file.write(head)
        file.seek(zeros, 1)
        file.write(tail)


def mp3(folder: Path, frames: bytes, zeros: int = 0) -> None:
    path = wave(folder, ".mp3", format="MP3")
    spread(path, id3(frames, zeros), zeros, path.read_bytes())


def flac_blocks(folder: Path, *blocks: tuple[int, bytes]) -> None:
    """Insert metadata blocks after the first block of a FLAC file (RFC 9639, section 8)."""
    path = wave(folder, ".flac")
    data = path.read_bytes()
    new = b"".join(bytes([kind]) + len(block).to_bytes(3, "big") + block for kind, block in blocks)
    path.write_bytes(data[:4] + bytes([data[4] & 0x7F]) + data[5:42] + new + data[42:])


def last_is_set(folder: Path) -> None:
    """Eight picture blocks of 16 MiB of zeros each."""
    block = struct.pack(">IIIIIIII", 3, 0, 0, 0, 0, 0, 0, 2**24 - 33).ljust(2**24 - 1, b"\0")
    flac_blocks(folder, *[(6, block)] * 8)


def comments(count: int) -> bytes:
    """A Vorbis comment of only empty texts (xiph.org, "Ogg Vorbis I format", section 5)."""
    return struct.pack("<I", 0) + struct.pack("<I", count) + b"\0\0\0\0" * count


def chunk(folder: Path, suffix: str, name: bytes, content: bytes, zeros: int) -> None:
    """Append a chunk to a WAV or AIFF file, and correct the size in its header."""
    path = wave(folder, suffix)
    order = "<I" if suffix == ".wav" else ">I"
    size = len(content) + zeros
    data = bytearray(path.read_bytes() + name + struct.pack(order, size))
    struct.pack_into(order, data, 4, len(data) - 8 + size)
    spread(path, bytes(data) + content, zeros - 1, b"\0")


def ogg_picture(folder: Path) -> None:
    """A cover of 9 MB and a title of 1 MB in an Ogg file, written by mutagen."""
    from mutagen.oggvorbis import OggVorbis

    path = wave(folder, ".ogg")
    file = OggVorbis(path)
    file["metadata_block_picture"] = base64.b64encode(bytes(7_000_000)).decode()
    file["title"] = "x" * 1_000_000
    file.save()


def ape(folder: Path, count: int) -> None:
    """An APEv2 tag of small items at the end (wiki.hydrogenaud.io, "APEv2 specification")."""
    items = (struct.pack("<II", 1, 0) + f"key{number}".encode() + b"\0x" for number in range(count))
    put_ape(folder, b"".join(items), count)


def ape_name(folder: Path) -> None:
    put_ape(folder, struct.pack("<II", 1, 0) + b"k" * 4_000_000 + b"\0x", 1)


def put_ape(folder: Path, items: bytes, count: int) -> None:
    footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, count, 0) + bytes(8)
    plain = wave(folder, ".wav")
    path = write_audio(folder / "song.wv", soundfile.read(plain, dtype="float32")[0])
    plain.unlink()
    path.write_bytes(path.read_bytes() + items + footer)


def atoms(folder: Path) -> None:
    """A million empty atoms and no audio (ISO 14496-12, section 4.2)."""
    inner = struct.pack(">I4s", 8, b"free") * 1_000_000
    head = struct.pack(">I4s4sI4s", 20, b"ftyp", b"M4A ", 0, b"M4A ")
    moov = struct.pack(">I4s", 8 + len(inner), b"moov") + inner
    (folder / "song.m4a").write_bytes(head + moov)


def atom(name: bytes, content: bytes) -> bytes:
    """A box of an MP4 file (ISO 14496-12, section 4.2)."""
    return struct.pack(">I4s", 8 + len(content), name) + content


def film(folder: Path, moov: bytes) -> None:
    head = atom(b"ftyp", b"M4A \0\0\0\0M4A ")
    (folder / "song.m4a").write_bytes(head + moov)


def nested_atoms(levels: int) -> bytes:
    """Nested boxes, each with the size of its content."""
    names = (b"moov", b"udta", *[b"trak"] * levels)
    sizes = range(8 * len(names), 0, -8)
    return b"".join(
        struct.pack(">I4s", size, name) for size, name in zip(sizes, names, strict=True)
    )


def empty_chunks(folder: Path, suffix: str, name: bytes, behind: bool) -> None:
    """A million empty chunks before or after the audio."""
    path = wave(folder, suffix)
    data = path.read_bytes()
    at = len(data) if behind else 12
    many = data[:at] + (name + bytes(4)) * 1_000_000 + data[at:]
    size = struct.pack("<I" if suffix == ".wav" else ">I", len(many) - 8)
    path.write_bytes(many[:4] + size + many[8:])


def comment_of_any_length(folder: Path) -> None:
    """A Vorbis comment whose first text claims to have 4 GB."""
    flac_blocks(folder, (4, struct.pack("<III", 0, 1, 2**32 - 1)))


def nested_id3(folder: Path) -> None:
    """Nested chapters (id3.org, "id3v2-chapters-1.0"), 2000 levels deep."""
    inner = b""
    for _ in range(2_000):
        inner = frame(b"CHAP", b"c\0" + bytes(16) + inner)
    mp3(folder, inner)


CHUNKS: dict[str, tuple[Callable[[Path], object], str]] = {
    f"a million empty chunks {'behind' if behind else 'before'} the sound of a {suffix}": (
        partial(empty_chunks, suffix=suffix, name=name, behind=behind),
        suffix,
    )
    for suffix, name in ((".wav", b"junk"), (".aiff", b"ANNO"))
    for behind in (False, True)
}
NO_SOUND = r"No sound can be read from song\.m4a\. Use a wav, flac, "
HALF_AN_INDEX = r"song\.m4a, which seems to be cut off \(its index is incomplete, "
FILMS: dict[str, tuple[bytes, str]] = {
    "50,000 atoms in each other": (nested_atoms(50_000), NO_SOUND),
    "an atom of size 0": (struct.pack(">I4s", 0, b"moov") * 100_000, HALF_AN_INDEX),
    "an atom of size 1": (struct.pack(">I4s", 1, b"moov") * 100_000, HALF_AN_INDEX),
    "an atom of 2^63 bytes": (
        struct.pack(">I4sQ", 1, b"moov", 2**63) + bytes(1000),
        HALF_AN_INDEX,
    ),
    "an atom of a size below its own header": (
        struct.pack(">I4s", 4, b"moov") * 100_000,
        HALF_AN_INDEX,
    ),
}
BOMB = zlib.compress(bytes(HUGE), 9)
COMPRESSED = frame(TITLE, struct.pack(">I", 2**20) + BOMB, b"\0\x09")
TAGS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "256 MiB of padding": (partial(mp3, frames=b"", zeros=HUGE - 1), ".mp3", "cannot be read"),
    "a cover of 200 MiB of zeros": (
        partial(mp3, frames=frame(b"APIC", b"\0" * 9) + b"APIC\x60\0\0\0\0\0", zeros=200 * 2**20),
        ".mp3",
        "cannot be read",
    ),
    "700,000 titles": (
        partial(mp3, frames=frame(TITLE, b"\3x") * 700_000),
        ".mp3",
        r"they have [\d,]+ fields",
    ),
    "a title that unpacks to 256 MiB": (
        partial(mp3, frames=COMPRESSED),
        ".mp3",
        "a compressed field is too large",
    ),
    "a title of a megabyte": (
        partial(mp3, frames=frame(TITLE, b"\3" + b"x" * 2**20)),
        ".mp3",
        "a text is too long",
    ),
    "eight covers of 16 MiB in FLAC": (last_is_set, ".flac", "cannot be read"),
    "four million comments in FLAC": (
        lambda folder: flac_blocks(folder, (4, comments(4_000_000))),
        ".flac",
        "fields",
    ),
    "100,000 pictures in FLAC": (
        lambda folder: flac_blocks(folder, *[(6, bytes(32))] * 100_000),
        ".flac",
        "fields|too many parts",
    ),
    "a title of a megabyte in Ogg": (ogg_picture, ".ogg", "a text is too long"),
    "a chunk of 256 MiB in WAV": (
        partial(chunk, suffix=".wav", name=b"id3 ", content=id3(b"", HUGE - 11), zeros=HUGE),
        ".wav",
        "cannot be read",
    ),
    "a chunk of 256 MiB in AIFF": (
        partial(chunk, suffix=".aiff", name=b"ID3 ", content=id3(b"", HUGE - 11), zeros=HUGE),
        ".aiff",
        "cannot be read",
    ),
    "chapters in chapters": (nested_id3, ".mp3", "fields|cannot be read"),
    "a comment of 4 GB in FLAC": (comment_of_any_length, ".flac", "cannot be read"),
    "a million APEv2 items": (partial(ape, count=1_000_000), ".wv", "they have|cannot be read"),
    "100,000 APEv2 items": (partial(ape, count=100_000), ".wv", "too many parts"),
    "an APEv2 item with a name of 4 MB": (ape_name, ".wv", "too many parts"),
}

HARMLESS = "--model tiny --precision fp32 --segment 1 --output made"
TAGGED = [
    Row(f"a song with {kind}", make, f"separate song{suffix} {HARMLESS}", f"Note: .*{says}", 0)
    for kind, (make, suffix, says) in TAGS.items()
] + [Row("a song of a million atoms", atoms, f"separate song.m4a {HARMLESS}", NO_SOUND)]
TAGGED += [
    Row(
        f"a song with {kind}",
        make,
        f"separate song{suffix} {HARMLESS}",
        rf"song\{suffix} consists of more than 20,000 chunks, .* Export it again as one plain wav",
    )
    for kind, (make, suffix) in CHUNKS.items()
]
TAGGED += [
    Row(f"a film with {kind}", partial(film, moov=moov), f"separate song.m4a {HARMLESS}", says)
    for kind, (moov, says) in FILMS.items()
]
