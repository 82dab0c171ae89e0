"""Reads several recordings in one file as one, at the sample rate and channels of the first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from model_zoo.errors import DecodeError
from stemcli.audio.containers.part import FilePart
from stemcli.audio.decoder import Block, Decoder, skip_by_decoding
from stemcli.audio.info import AudioInfo, broken, changing
from stemcli.audio.resample import Resampler


def can_convert(source: int, target: int) -> bool:
    """Whether a number of channels can be converted: both are equal, or one of them is 1."""
    return source == target or 1 in (source, target)


class Converted:
    """A decoder converted to another sample rate and number of channels.

    See :class:`stemcli.audio.decoder.Decoder`.

    Args:
        decoder: the source.
        target: gives the sample rate and channels of the output.
    """

    def __init__(self, decoder: Decoder, target: AudioInfo) -> None:
        source = decoder.info
        rates = source.sample_rate, target.sample_rate
        self._decoder, self._channels = decoder, target.channels
        self._resampler = Resampler(*rates, target.channels)
        self._held = np.empty((0, target.channels), np.float32)
        self._is_finished = False
        frames = source.frames
        if frames is not None:
            frames = self._resampler.resampled_frames(frames)
        self.info = replace(
            source, sample_rate=target.sample_rate, channels=target.channels, frames=frames
        )

    @property
    def loss(self) -> str:
        """The loss that the source reports."""
        return self._decoder.loss

    def read(self, frames: int) -> Block:
        """Return the next frames, ``(n, channels)``; n = 0 only at the end."""
        while frames and not len(self._held) and not self._is_finished:
            block = self._decoder.read(frames)
            self._is_finished = not len(block)
            self._held = (
                self._resampler.push(self._with_channels(block))
                if len(block)
                else self._resampler.finish()
            )
        block, self._held = self._held[:frames], self._held[frames:]
        return block

    def skip(self, frames: int) -> None:
        """Skip frames by decoding them."""
        skip_by_decoding(self, frames)

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def _with_channels(self, block: Block) -> Block:
        if block.shape[1] == self._channels:
            return block
        if self._channels == 1:
            return block.mean(axis=1, keepdims=True)
        return np.repeat(block, self._channels, axis=1)


Open = Callable[[FilePart], Decoder]


class Chain:
    """Several parts of a file, converted to the sample rate and channels of the first.

    See :class:`stemcli.audio.decoder.Decoder`.

    Args:
        parts: in their order.
        open_part: opens one part.

    Raises:
        DecodeError: a part cannot be read, or its channels cannot be converted to those of the
            first.
        FfmpegMissingError: a part needs ffmpeg, which is missing.
    """

    def __init__(self, parts: Sequence[FilePart], open_part: Open) -> None:
        self._parts, self._open_part = list(parts), open_part
        self.info = _shared_info(self._parts, open_part)
        self._number = -1
        self._decoder: Decoder | None = None
        self._position = 0  # frames
        self.loss = ""

    def read(self, frames: int) -> Block:
        """Return the next frames, ``(n, channels)``; n = 0 only at the end."""
        while self._number < len(self._parts):
            block = self._decoder.read(frames) if self._decoder else None
            if block is not None and (len(block) or not frames):
                self._position += len(block)
                return block
            self._open_next()
        return np.empty((0, self.info.channels), np.float32)

    def skip(self, frames: int) -> None:
        """Skip frames by decoding them."""
        skip_by_decoding(self, frames)

    def close(self) -> None:
        """Close the file."""
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
            self._decoder = self._open_link(self._parts[self._number])

    def _open_link(self, part: FilePart) -> Decoder:
        """Open a part, converted to the sample rate and channels of the first."""
        before = self._position / self.info.sample_rate
        decoder = self._open_part(replace(part, before=before, total=self.info.seconds))
        target = self.info.sample_rate, self.info.channels
        if (decoder.info.sample_rate, decoder.info.channels) == target:
            return decoder
        return Converted(decoder, self.info)


def _shared_info(parts: Sequence[FilePart], open_part: Open) -> AudioInfo:
    """Sample rate and channels of the first part, and the sum of all lengths.

    Raises:
        DecodeError: a part cannot be read, or its channels cannot be converted to those of the
            first.
    """
    first = _info(parts[0], open_part, None, 0)
    frames = first.frames or 0
    infos = [first]
    for part in parts[1:]:
        infos.append(_info(part, open_part, first, frames))
        frames += infos[-1].frames or 0
    is_known = all(info.frames is not None for info in infos)
    return replace(first, frames=frames if is_known else None)


def _info(part: FilePart, open_part: Open, first: AudioInfo | None, frames: int) -> AudioInfo:
    """The properties of a part after its conversion."""
    try:
        decoder = open_part(part)
    except DecodeError as error:
        if first is None:
            raise
        seconds = frames / first.sample_rate
        flaw = replace(part, before=seconds).flaw_with_time
        raise broken(part.path, seconds, None, flaw) from error
    decoder.close()
    if first is None:
        return decoder.info
    if not can_convert(decoder.info.channels, first.channels):
        raise changing(part.path, frames / first.sample_rate, first.channels, decoder.info.channels)
    return Converted(decoder, first).info
