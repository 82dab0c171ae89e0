"""The checksum of AC-3 and FLAC frames: CRC-16 with the generator 0x8005.

Sources: ETSI TS 102 366, section 6.1.7 (crc1 and crc2); RFC 9639, section 9.3.
"""

from __future__ import annotations


def _remainder(byte: int) -> int:
    register = byte << 8
    for _ in range(8):
        register = (register << 1) ^ (0x18005 if register & 0x8000 else 0)
    return register


_TABLE = tuple(_remainder(byte) for byte in range(256))


def crc16(data: bytes) -> int:
    """The checksum of some bytes, from the highest bit on; 0 where the last two are the right one.

    The register starts at zero and is not inverted at the end.
    """
    register = 0
    for byte in data:
        register = (register << 8 & 0xFFFF) ^ _TABLE[register >> 8 ^ byte]
    return register
