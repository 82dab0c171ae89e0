"""Bytes that other programs leave before or after the audio of a file."""

from __future__ import annotations

import struct

import numpy as np

NOISE = np.random.default_rng(3).integers(0, 256, 70_000, dtype=np.uint8).tobytes()
"""Random bytes like those of a compressed picture."""

ID3V1 = b"TAG" + b"Title".ljust(30, b"\0") * 3 + b"2001" + b"".ljust(30) + b"\x0c"


def id3v2(picture: bytes = NOISE) -> bytes:
    """An ID3v2.3 tag with a title and a picture (id3.org, ID3v2.3.0, sections 3.1 and 4.15)."""

    def frame(name: bytes, body: bytes) -> bytes:
        return name + struct.pack(">IH", len(body), 0) + body

    body = frame(b"TIT2", b"\0A song") + frame(b"APIC", b"\0image/jpeg\0\3\0" + picture)
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + body


def ape(picture: bytes = NOISE) -> bytes:
    """An APEv2 tag with header and footer (APEv2 specification, "APE Tags Header")."""
    value = b"cover.jpg\0" + picture
    item = struct.pack("<II", len(value), 2) + b"Cover Art (Front)\0" + value

    def edge(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)

    return edge(0xA0000000) + item + edge(0x80000000)


def lyrics3() -> bytes:
    """A Lyrics3v2 tag and the ID3v1 tag that must follow it (id3.org, Lyrics3v2)."""
    lyrics = (b"la la la love\r\n" * 140)[:2000]
    block = b"LYRICSBEGININD0000211LYR02000" + lyrics
    return block + b"%06dLYRICS200" % len(block) + ID3V1


TEXT = b"<html><body>404 Not Found</body></html>\n" * 1000

TAILS = {
    "id3v1 behind": ID3V1,
    "apev2 behind": ape(),
    "apev2 and id3v1 behind": ape() + ID3V1,
    "lyrics3 behind": lyrics3(),
    "zeros behind": bytes(20_000),
    "many zeros behind": bytes(100_000),
    "text behind": TEXT,
    "much text behind": TEXT * 3,
    "id3v2 behind": id3v2(),
    "few bytes behind": NOISE[:7],
}
