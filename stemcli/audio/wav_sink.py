"""WAV files of any size, the same bytes for the same sound.

soundfile cannot leave room for the 64-bit sizes that a file beyond 4 GB turns out to need, and
stamps the time of day into floating point files, so the header is written here: RIFF with an unused
chunk, which becomes the ``ds64`` chunk of an RF64 when the sizes need it (EBU Tech 3306).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.quantise import to_integers

LARGEST_RIFF = 2**32 - 1  # bytes
_WIDTHS = {"16": 2, "24": 3, "32f": 4}  # bytes per sample
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# The last 14 bytes of the GUIDs that stand for a format tag.
_GUID = bytes.fromhex("000000001000800000aa00389b71")
# Which speakers there are, as bits: mono, stereo, 3.0, quad, 5.0, 5.1, 6.1, 7.1.
_SPEAKERS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}


class WavSink:
    """A WAV that is being written.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        depth: ``"16"``, ``"24"`` or ``"32f"``.
        largest_riff: bytes beyond which the file becomes an RF64.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        depth: str,
        largest_riff: int = LARGEST_RIFF,
    ) -> None:
        self._rate, self._channels, self._depth = sample_rate, channels, depth
        self._largest = largest_riff
        self._size = 0  # bytes of sound
        self._file = path.open("wb")
        self._file.write(self._header())

    def write(self, block: NDArray[np.float32]) -> None:
        """Append frames, ``(n, channels)``."""
        data = self._encode(block)
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Write the sizes into the header."""
        with self._file as file:
            file.write(bytes(self._size % 2))
            file.seek(0)
            file.write(self._header())

    def abort(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _encode(self, block: NDArray[np.float32]) -> bytes:
        if self._depth == "32f":
            return block.astype("<f4").tobytes()
        integers = to_integers(block, int(self._depth))
        if self._depth == "16":
            return integers.astype("<i2").tobytes()
        return integers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def _header(self) -> bytes:
        described = _chunk(b"fmt ", self._format())
        frames = self._size // (self._channels * _WIDTHS[self._depth])
        if self._depth == "32f":
            described += _chunk(b"fact", struct.pack("<I", min(frames, LARGEST_RIFF)))
        # "WAVE", the reserved chunk, what describes the sound, the name and size of the data
        riff = 4 + 36 + len(described) + 8 + self._size + self._size % 2
        if riff <= self._largest:
            head = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + _chunk(b"JUNK", bytes(28))
            return head + described + struct.pack("<4sI", b"data", self._size)
        sizes = struct.pack("<QQQI", riff, self._size, frames, 0)
        head = struct.pack("<4sI4s", b"RF64", LARGEST_RIFF, b"WAVE") + _chunk(b"ds64", sizes)
        return head + described + struct.pack("<4sI", b"data", LARGEST_RIFF)

    def _format(self) -> bytes:
        tag = _FLOAT if self._depth == "32f" else _PCM
        width = _WIDTHS[self._depth]
        frame = width * self._channels
        rest = struct.pack(
            "<HIIHH", self._channels, self._rate, self._rate * frame, frame, 8 * width
        )
        if self._channels > 2:
            speakers = _SPEAKERS.get(self._channels, 0)
            extension = struct.pack("<HHIH", 22, 8 * width, speakers, tag) + _GUID
            return struct.pack("<H", _EXTENSIBLE) + rest + extension
        return struct.pack("<H", tag) + rest + (bytes(2) if tag == _FLOAT else b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body
