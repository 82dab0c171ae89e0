"""Parses frames of MPEG audio, AAC, AC-3 and DTS, in files without a container or hidden in PCM.

Each frame begins with a sync word and stores its length, so a file is read from frame to frame. A
gap between frames is a tag, the end of the audio, or damage.

Sources: ETSI TS 102 366, section 6.1.7 (crc1 and crc2); RFC 9639, section 9.3.

Music CDs with DTS, AC-3 that was recorded from a digital line, and the bursts of such a line
(IEC 61937) are frames in a container labelled as PCM. Played as samples they are noise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from stemcli.audio.containers.part import FileBytes
from stemcli.audio.containers.surrounding_tags import end_of_tags

LONGEST_SYNC = 4  # bytes
HEADER = 48
"""Bytes at the beginning of a frame that are needed to parse its header."""


class Frame(NamedTuple):
    """The header of a frame.

    Attributes:
        size: in bytes, with the header.
        samples: per channel.
        kind: constant within a stream: version, rate and channels of the codec.
        sample_rate: in Hz.
        is_header: whether the frame only counts the following frames and holds no audio.
    """

    size: int
    samples: int
    kind: tuple[int, ...]
    sample_rate: int
    is_header: bool = False


_LONGEST_HEADER = 12  # bytes, without the counts that follow it in an MP3

Parse = Callable[[bytes], Frame | None]


class FrameRun(NamedTuple):
    """Consecutive frames of one kind without a gap.

    Attributes:
        start: first byte.
        end: the byte after the last complete frame.
        samples: per channel, without a frame that only counts the others.
        first: the header of the first frame.
        is_cut: whether another frame begins at ``end`` and is incomplete.
    """

    start: int
    end: int
    samples: int
    first: Frame
    is_cut: bool


def runs(
    data: FileBytes, start: int, end: int, parse: Parse, sync: re.Pattern[bytes]
) -> Iterator[FrameRun]:
    """Iterate over all runs of frames between two positions.

    Args:
        data: the file.
        start: where the first frame, or tags and junk before it, begin.
        end: where to stop.
        parse: parses a header.
        sync: the first bytes of every header.
    """
    at = start
    while True:
        at = end_of_tags(data, at, end)
        at = _next_frame(data, at, end, parse, sync)
        if at < 0:
            return
        run = _run(data, at, end, parse)
        yield run
        at = run.end if not run.is_cut else end


def _run(data: FileBytes, at: int, end: int, parse: Parse) -> FrameRun:
    first = parse(data[at : at + HEADER])
    assert first is not None
    start, samples = at, 0
    frame: Frame | None = first
    while frame and _belongs(frame, first, at > start) and at + frame.size <= end:
        at, samples = at + frame.size, samples + (0 if frame.is_header else frame.samples)
        frame = parse(data[at : min(at + HEADER, end)])
    is_cut = frame is not None and _belongs(frame, first, at > start)
    if frame is None and 2 <= end - at < _LONGEST_HEADER:
        is_cut = data[at : at + 2] == data[start : start + 2]
    return FrameRun(start, at, samples, first, is_cut)


def _belongs(frame: Frame, first: Frame, is_later: bool) -> bool:
    return frame.kind == first.kind and not (is_later and frame.is_header)


def _next_frame(data: FileBytes, at: int, end: int, parse: Parse, sync: re.Pattern[bytes]) -> int:
    """The next frame that is followed by another frame or the end; -1 if there is none."""
    for offset in data.find_all(sync, at, end, LONGEST_SYNC):
        frame = parse(data[offset : min(offset + HEADER, end)])
        if frame and _is_followed(data, offset + frame.size, end, parse, frame):
            return offset
    return -1


def _is_followed(data: FileBytes, at: int, end: int, parse: Parse, frame: Frame) -> bool:
    if at <= end and end_of_tags(data, at, end) == end:
        return True
    following = parse(data[at : min(at + HEADER, end)])
    return following is not None and following.kind == frame.kind


MPEG_SYNC = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
ADTS_SYNC = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
AC3_SYNC = re.compile(rb"\x0b\x77")
DTS_SYNC = re.compile(rb"\x7f\xfe\x80\x01")
"""The first bytes of a frame of each codec."""

# kbit/s by index, for MPEG-1 layers I, II and III, and MPEG-2 layer I, and II and III
# (ISO/IEC 11172-3, 2.4.2.3; ISO/IEC 13818-3, 2.4.2.3).
_MPEG_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_CLOCKS = (44100, 48000, 32000)  # Hz in MPEG-1; a half in MPEG-2, a quarter in MPEG-2.5
_AAC_CLOCKS = (  # Hz (ISO/IEC 14496-3, table 1.18)
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350,
)  # fmt: skip
_AC3_CLOCKS = (48000, 44100, 32000)  # Hz (ETSI TS 102 366, table 4.1)
_AC3_RATES = (  # kbit/s (ETSI TS 102 366, table 4.13)
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
)  # fmt: skip
_AC3_SAMPLES = 1536
_DTS_CLOCKS = {  # Hz (ETSI TS 102 114, table 5-5)
    1: 8000, 2: 16000, 3: 32000, 6: 11025, 7: 22050, 8: 44100, 11: 12000, 12: 24000, 13: 48000,
}  # fmt: skip


def mpeg_audio(head: bytes) -> Frame | None:
    """Parse MPEG-1, 2 and 2.5 audio, layers I to III (ISO/IEC 11172-3, section 2.4.1.3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = (25, 0, 2, 1)[head[1] >> 3 & 3], 4 - (head[1] >> 1 & 3)
    index, clock = head[2] >> 4, head[2] >> 2 & 3
    if not version or layer == 4 or index in (0, 15) or clock == 3:
        return None
    rate = _MPEG_CLOCKS[clock] // {1: 1, 2: 2, 25: 4}[version]
    bits = 1000 * _MPEG_RATES[min(version, 2), layer][index]
    padding, kind = head[2] >> 1 & 1, (version, layer, rate, int(head[3] >> 6 == 3))
    if layer == 1:
        return Frame((12 * bits // rate + padding) * 4, 384, kind, rate)
    samples = 1152 if layer == 2 or version == 1 else 576
    is_header = layer == 3 and counts_at(head) is not None
    return Frame(samples // 8 * bits // rate + padding, samples, kind, rate, is_header)


def counts_at(head: bytes) -> int | None:
    """Offset of a Xing, Info or VBRI header in a frame of an MP3; None if it has none.

    Xing and Info follow the side information, VBRI has a fixed offset (LAME, "Mp3 Info Tag rev 1";
    Fraunhofer's "VBRI header").
    """
    is_mono, is_first_version = head[3] >> 6 == 3, head[1] & 8
    at = 4 + ((17 if is_mono else 32) if is_first_version else (9 if is_mono else 17))
    if head[at : at + 4] in (b"Xing", b"Info"):
        return at
    return 36 if head[36:40] == b"VBRI" else None


def adts(head: bytes) -> Frame | None:
    """Parse AAC in ADTS (ISO/IEC 13818-7, section 6.2)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    index, channels = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if index >= len(_AAC_CLOCKS) or size < 7:
        return None
    rate = _AAC_CLOCKS[index]
    return Frame(size, 1024 * ((head[6] & 3) + 1), (head[1] & 0xF6, rate, channels), rate)


def ac3(head: bytes) -> Frame | None:
    """Parse AC-3 and E-AC-3 (ETSI TS 102 366, sections 4.4.1 and E.1.3.1)."""
    if len(head) < 6 or head[:2] != b"\x0b\x77":
        return None
    clock, version = head[4] >> 6, head[5] >> 3
    if 10 < version <= 16:
        return _enhanced_ac3(head)
    index = head[4] & 63
    if clock == 3 or index >= 2 * len(_AC3_RATES) or version > 10:
        return None
    rate, kbits = _AC3_CLOCKS[clock], _AC3_RATES[index // 2]
    words = kbits * 96000 // rate + (index % 2 if rate == 44100 else 0)
    return Frame(2 * words, _AC3_SAMPLES, (0, rate), rate)


def _enhanced_ac3(head: bytes) -> Frame | None:
    """Parse E-AC-3; dependent substreams add channels but no samples."""
    stream, size = head[2] >> 6, 2 * (((head[2] & 7) << 8 | head[3]) + 1)
    clock, blocks = head[4] >> 6, (1, 2, 3, 6)[head[4] >> 4 & 3]
    if clock == 3:
        half = head[4] >> 4 & 3
        rate, blocks = (_AC3_CLOCKS[half] // 2 if half < 3 else 0), 6
    else:
        rate = _AC3_CLOCKS[clock]
    if not rate or stream == 3:
        return None
    return Frame(size, 0 if stream == 1 else 256 * blocks, (1, rate), rate)


def dts(head: bytes) -> Frame | None:
    """Parse the core of DTS in 16-bit words, high byte first (ETSI TS 102 114, section 5.3)."""
    if len(head) < 12 or head[:4] != b"\x7f\xfe\x80\x01":
        return None
    bits = int.from_bytes(head[4:12], "big")
    blocks, size = (bits >> 50 & 127) + 1, (bits >> 36 & 0x3FFF) + 1
    rate = _DTS_CLOCKS.get(bits >> 26 & 15, 0)
    if blocks < 6 or size < 96 or not rate:
        return None
    return Frame(size, 32 * blocks, (rate,), rate)


def _remainder(byte: int) -> int:
    register = byte << 8
    for _ in range(8):
        register = (register << 1) ^ (0x18005 if register & 0x8000 else 0)
    return register


_TABLE = tuple(_remainder(byte) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC-16, highest bit first; 0 if the last two bytes are the right checksum.

    The register starts at zero and is not inverted at the end.
    """
    register = 0
    for byte in data:
        register = (register << 8 & 0xFFFF) ^ _TABLE[register >> 8 ^ byte]
    return register


_SYNCS = {
    b"\x7f\xfe\x80\x01": "DTS",  # ETSI TS 102 114, section 5.3: words with the high byte first,
    b"\xfe\x7f\x01\x80": "DTS",  # the low byte first,
    b"\x1f\xff\xe8\x00": "DTS",  # and 14 bits in 16-bit words (annex D.2)
    b"\xff\x1f\x00\xe8": "DTS",
    b"\xf8\x72\x4e\x1f": "compressed sound (IEC 61937)",  # IEC 61937-1, section 6.1.2
    b"\x72\xf8\x1f\x4e": "compressed sound (IEC 61937)",
}
_ANY = re.compile(b"|".join(map(re.escape, _SYNCS)))
_SURE = 3  # sync words at equal distances (96 bits by chance), or frames with a valid checksum
_SHORTEST = 96  # bytes of a DTS frame; the levels of a square wave repeat at shorter distances
_TRIED = 64  # AC-3 sync words whose frames are checked; music contains some by chance


def bitstream(samples: bytes) -> str:
    """Detect compressed audio in 16-bit samples.

    Args:
        samples: in either byte order.

    Returns:
        The codec; ``""`` for ordinary samples.
    """
    return _by_distance(samples) or _by_checksum(samples) or _by_checksum(_swapped(samples))


def _by_distance(samples: bytes) -> str:
    """Detect DTS and IEC 61937, whose sync words are long and have equal distances."""
    offsets: dict[bytes, list[int]] = {}
    for match in _ANY.finditer(samples):
        offsets.setdefault(match[0], []).append(match.start())
    for sync, found in offsets.items():
        gaps = [after - before for before, after in pairwise(found)]
        is_steady = any(gaps.count(gap) >= _SURE - 1 for gap in gaps)
        if is_steady and min(gaps) >= _SHORTEST:
            return _SYNCS[sync]
    return ""


def _by_checksum(samples: bytes) -> str:
    """Detect AC-3 and E-AC-3 by checksum, because their 16-bit sync word is also a common sample.

    Periodic music may have it at equal distances, but every frame ends with a checksum of all bytes
    after the sync word (ETSI TS 102 366, sections 4.4.6 and E.1.3.6).
    """
    at = frames = 0
    for _ in range(_TRIED):
        sync = AC3_SYNC.search(samples, at)
        if sync is None:
            break
        at = sync.start()
        frame = ac3(samples[at : at + HEADER])
        body = samples[at + 2 : at + frame.size] if frame else b""
        if frame is None or len(body) < frame.size - 2 or not any(body) or crc16(body):
            at += 1
            continue
        frames, at = frames + 1, at + frame.size
        if frames == _SURE:
            return "E-AC-3" if frame.kind[0] else "AC-3"
    return ""


def _swapped(samples: bytes) -> bytes:
    """Swap the two bytes of each word."""
    import numpy as np

    return np.frombuffer(samples[: len(samples) // 2 * 2], "<u2").byteswap().tobytes()
