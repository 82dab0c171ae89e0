"""Sounds that follow each other in one file, read as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model_zoo.errors import DecodeError
from stemcli.audio.decoder import Block, Decoder
from stemcli.audio.info import AudioInfo
from stemcli.audio.part import Part
from stemcli.audio.source import broken, changing

Open = Callable[[Part], Decoder]

_STEP = 65536  # frames


class Chain:
    """Several parts of a file; see :class:`stemcli.audio.decoder.Decoder`.

    Args:
        parts: in their order.
        open_part: opens one.

    Raises:
        DecodeError: the parts differ in rate or channels, or one cannot be read.
        FfmpegMissingError: only ffmpeg could read one, and there is none.
    """

    def __init__(self, parts: Sequence[Part], open_part: Open) -> None:
        self._parts, self._open_part = list(parts), open_part
        self.info = _shared_info(self._parts, open_part)
        self._number = -1
        self._decoder: Decoder | None = None
        self._position = 0  # frames
        self.loss = ""

    def read(self, frames: int) -> Block:
        """The next frames, ``(n, channels)``; n = 0 only at the end."""
        while self._number < len(self._parts):
            block = self._decoder.read(frames) if self._decoder else None
            if block is not None and (len(block) or not frames):
                self._position += len(block)
                return block
            self._open_next()
        return np.empty((0, self.info.channels), np.float32)

    def skip(self, frames: int) -> None:
        """Go forward by decoding."""
        while frames > 0 and (got := len(self.read(min(frames, _STEP)))):
            frames -= got

    def close(self) -> None:
        """Let go of the file."""
        if self._decoder:
            self._decoder.close()

    def _open_next(self) -> None:
        if self._decoder:
            self.loss = self.loss or self._decoder.loss
            self._decoder.close()
            self._decoder = None
            part = self._parts[self._number]
            if part.is_damage:
                seconds = self._position / self.info.sample_rate
                raise broken(part.path, seconds, self.info.seconds, part.flaw)
        self._number += 1
        if self._number < len(self._parts):
            self._decoder = self._open_part(self._parts[self._number])


def _shared_info(parts: Sequence[Part], open_part: Open) -> AudioInfo:
    """The rate and channels of all parts, and the sum of their lengths.

    Raises:
        DecodeError: a part has other ones than the first.
    """
    infos = [_info(part, open_part) for part in parts]
    first, total = infos[0], 0
    for info in infos:
        if (info.sample_rate, info.channels) != (first.sample_rate, first.channels):
            raise _changes(first, info, total)
        total += info.frames or 0
    is_known = all(info.frames is not None for info in infos)
    return replace(first, frames=total if is_known else None)


def _info(part: Part, open_part: Open) -> AudioInfo:
    decoder = open_part(part)
    decoder.close()
    return decoder.info


def _changes(first: AudioInfo, other: AudioInfo, frames: int) -> DecodeError:
    return changing(
        first.path,
        frames / first.sample_rate,
        (first.sample_rate, first.channels),
        (other.sample_rate, other.channels),
    )
