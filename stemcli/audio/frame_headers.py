"""The headers of coded frames, each by the specification of its codec."""

from __future__ import annotations

import re

from stemcli.audio.coded_frames import Frame

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
    """MPEG-1, 2 and 2.5 audio, layers I to III (ISO/IEC 11172-3, section 2.4.1.3)."""
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
    """Where in an MP3's frame a Xing, Info or VBRI header begins; None where it has none.

    The first two follow the side information, the third stands at a place of its own (LAME,
    "Mp3 Info Tag rev 1"; Fraunhofer's "VBRI header").
    """
    is_mono, is_first_version = head[3] >> 6 == 3, head[1] & 8
    at = 4 + ((17 if is_mono else 32) if is_first_version else (9 if is_mono else 17))
    if head[at : at + 4] in (b"Xing", b"Info"):
        return at
    return 36 if head[36:40] == b"VBRI" else None


def adts(head: bytes) -> Frame | None:
    """AAC in ADTS (ISO/IEC 13818-7, section 6.2)."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    index, channels = head[2] >> 2 & 15, (head[2] & 1) << 2 | head[3] >> 6
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if index >= len(_AAC_CLOCKS) or size < 7:
        return None
    rate = _AAC_CLOCKS[index]
    return Frame(size, 1024 * ((head[6] & 3) + 1), (head[1] & 0xF6, rate, channels), rate)


def ac3(head: bytes) -> Frame | None:
    """AC-3 and E-AC-3 (ETSI TS 102 366, sections 4.4.1 and E.1.3.1)."""
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
    """Dependent substreams add channels, and no samples."""
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
    """The core of DTS in words of 16 bits, high byte first (ETSI TS 102 114, section 5.3)."""
    if len(head) < 12 or head[:4] != b"\x7f\xfe\x80\x01":
        return None
    bits = int.from_bytes(head[4:12], "big")
    blocks, size = (bits >> 50 & 127) + 1, (bits >> 36 & 0x3FFF) + 1
    rate = _DTS_CLOCKS.get(bits >> 26 & 15, 0)
    if blocks < 6 or size < 96 or not rate:
        return None
    return Frame(size, 32 * blocks, (rate,), rate)
