"""Coded sound that is stored as samples of 16 bits.

Music CDs with DTS, AC-3 that was recorded from a digital line, and the bursts of such a line
(IEC 61937) are coded frames in a container that says PCM. Played as samples they are noise.
"""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np

from stemcli.audio.coded_frames import HEADER
from stemcli.audio.crc16 import crc16
from stemcli.audio.frame_headers import AC3_SYNC, ac3

_SYNCS = {
    b"\x7f\xfe\x80\x01": "DTS",  # ETSI TS 102 114, section 5.3: words with the high byte first,
    b"\xfe\x7f\x01\x80": "DTS",  # the low byte first,
    b"\x1f\xff\xe8\x00": "DTS",  # and 14 bits in words of 16 bits (annex D.2)
    b"\xff\x1f\x00\xe8": "DTS",
    b"\xf8\x72\x4e\x1f": "coded sound (IEC 61937)",  # IEC 61937-1, section 6.1.2
    b"\x72\xf8\x1f\x4e": "coded sound (IEC 61937)",
}
_ANY = re.compile(b"|".join(map(re.escape, _SYNCS)))
_SURE = 3  # sync words at equal distances (by chance, 96 bits), or frames with a right checksum
_SHORTEST = 96  # bytes of a frame of DTS; the levels of a square wave repeat at once
_TRIED = 64  # sync words of AC-3 whose frames are looked at; music has some by chance


def bitstream(samples: bytes) -> str:
    """Name the coded sound in samples of 16 bits.

    Args:
        samples: in either byte order.

    Returns:
        The codec; ``""`` where these are ordinary samples.
    """
    return _by_distance(samples) or _by_checksum(samples) or _by_checksum(_swapped(samples))


def _by_distance(samples: bytes) -> str:
    """DTS and IEC 61937, whose sync words are long and come at equal distances."""
    places: dict[bytes, list[int]] = {}
    for match in _ANY.finditer(samples):
        places.setdefault(match[0], []).append(match.start())
    for sync, found in places.items():
        gaps = [after - before for before, after in pairwise(found)]
        is_steady = any(gaps.count(gap) >= _SURE - 1 for gap in gaps)
        if is_steady and min(gaps) >= _SHORTEST:
            return _SYNCS[sync]
    return ""


def _by_checksum(samples: bytes) -> str:
    """AC-3 and E-AC-3, whose sync word of 16 bits is also a common sample.

    Periodic music has it at equal distances. But every frame ends with a checksum of all bytes
    behind the sync word (ETSI TS 102 366, sections 4.4.6 and E.1.3.6).
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
    """The two bytes of each word in the other order."""
    return np.frombuffer(samples[: len(samples) // 2 * 2], "<u2").byteswap().tobytes()
