"""Formats whose headers count samples, and whose frames say where the file ends."""

from __future__ import annotations

import struct

from stemcli.audio.extent import Extent
from stemcli.audio.file_bytes import FileBytes

# A block's header: magic, size of what follows these 8 bytes, version, upper bytes of the next two
# numbers, samples in the whole file, first sample and samples of the block (WavPack 4 & 5 Binary
# File / Block Format, "Block Header").
_WAVPACK = "<4sIHBBIII"
_WAVPACK_SIZE = struct.calcsize(_WAVPACK)
_UNKNOWN = 0xFFFFFFFF
_INCOMPLETE = "its last block is incomplete"
_TTA_HEADER = 22  # bytes
_TTA = "<4sHHHII"  # magic, format, channels, bits, rate, samples (TTA1 format)


def wavpack_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where a WavPack file ends, and its samples; None where it is another."""
    if data[start : start + 4] != b"wvpk":
        return None
    at, total, reached, flaw = start, None, 0, ""
    while data[at : at + 4] == b"wvpk" and at + _WAVPACK_SIZE <= end:
        _, size, _, high, high_total, samples, first, block = data.unpack(_WAVPACK, at)
        if total and reached >= total and first + (high << 32) == 0 and block:
            break  # another file begins
        if at == start and samples != _UNKNOWN:
            total = samples + (high_total << 32) - high_total
        if at + 8 + size > end:
            flaw = _INCOMPLETE
            break
        reached = max(reached, first + (high << 32) + block)
        at += 8 + size
    counted = total or reached or None
    if not flaw and data.find(b"wvpk", at + 1, end) > at and reached < (total or 0):
        return Extent(end, counted, "a block is damaged", breaks_off=False)
    return Extent(at, counted, flaw)


def tta_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """Where a TTA file ends, and its samples; None where it is another.

    A frame lasts 256/245 s; a table of their sizes follows the header of 22 bytes, and each of the
    two has a checksum of four (TTA1 format, "Seek table").
    """
    if data[start : start + 4] != b"TTA1" or start + _TTA_HEADER > end:
        return None
    _, _, _, _, rate, samples = data.unpack(_TTA, start)
    frames = -(-samples // (256 * rate // 245)) if rate >= 245 else 0
    table = data[start + _TTA_HEADER : start + _TTA_HEADER + 4 * frames]
    if not samples or len(table) < 4 * frames:
        return Extent(end, samples or None)
    sizes = struct.unpack(f"<{frames}I", table)
    last = start + _TTA_HEADER + 4 * frames + 4 + sum(sizes)
    return Extent(min(last, end), samples, _INCOMPLETE if last > end else "")


def ape_extent(data: FileBytes, start: int, end: int) -> Extent | None:
    """The samples of a Monkey's Audio file of version 3.98 or later; None where it is another.

    The descriptor says how long it is; the header behind it holds blocks (samples) per frame, those
    of the last frame, and the number of frames (Monkey's Audio SDK, ``APE_HEADER``).
    """
    if data[start : start + 4] not in (b"MAC ", b"MACF") or start + 80 > end:
        return None
    version, _, descriptor = data.unpack("<HHI", start + 4)
    if version < 3980 or start + descriptor + 16 > end:
        return Extent(end)
    per_frame, last, frames = data.unpack("<III", start + descriptor + 4)
    return Extent(end, (frames - 1) * per_frame + last if frames else None)
