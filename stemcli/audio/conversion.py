"""A decoder whose sound is brought to another sample rate and number of channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stemcli.audio.decoder import Block, Decoder, skip_by_decoding
from stemcli.audio.info import AudioInfo
from stemcli.audio.resample import Resampler


def can_convert(source: int, target: int) -> bool:
    """Whether channels can be brought to another number: equal, or one of the two is one."""
    return source == target or 1 in (source, target)


class Converted:
    """See :class:`stemcli.audio.decoder.Decoder`.

    Args:
        decoder: what is converted.
        target: has the rate and the channels that come out.
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
        """What the decoder says is missing."""
        return self._decoder.loss

    def read(self, frames: int) -> Block:
        """The next frames, ``(n, channels)``; n = 0 only at the end."""
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
        """Go forward by decoding."""
        skip_by_decoding(self, frames)

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def _with_channels(self, block: Block) -> Block:
        if block.shape[1] == self._channels:
            return block
        if self._channels == 1:
            return block.mean(axis=1, keepdims=True)
        return np.repeat(block, self._channels, axis=1)
