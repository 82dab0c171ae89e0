"""Resamples a stream."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

Block = NDArray[np.float32]


class Resampler:
    """Resamples a stream with the SoX resampler in its high quality, without delay.

    The output does not depend on the sizes of the blocks. Sample ``n`` of the output lies at
    ``n / target_rate`` seconds of the input. With equal rates, blocks pass through unchanged.

    Args:
        source_rate: of the input, in Hz.
        target_rate: of the output, in Hz.
        channels: of both.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int) -> None:
        self._source_rate, self._target_rate, self._channels = source_rate, target_rate, channels
        self._stream: soxr.ResampleStream | None = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(
                source_rate, target_rate, channels, dtype="float32", quality="HQ"
            )
        self._pushed = 0  # frames at the source rate
        self._given = 0  # frames at the target rate

    def push(self, block: Block) -> Block:
        """Take the next frames, ``(n, channels)``; return those that are ready, maybe none."""
        self._pushed += len(block)
        return self._give(block, last=False)

    def finish(self, expected_frames: int | None = None) -> Block:
        """End the stream and return the remaining frames.

        Args:
            expected_frames: total number of output frames; the end is cut or padded with silence
                to fit. None for the length of the input at the target rate.
        """
        rest = self._give(np.empty((0, self._channels), np.float32), last=True)
        if expected_frames is None:
            expected_frames = self.resampled_frames(self._pushed)
        missing = expected_frames - self._given
        assert missing >= -len(rest), "more frames were returned than expected in total"
        if missing <= 0:
            return rest[: len(rest) + missing]
        return np.concatenate([rest, np.zeros((missing, self._channels), np.float32)])

    def resampled_frames(self, frames: int) -> int:
        """Number of frames at the target rate for ``frames`` of the source; 0 only for 0.

        Rounded to the nearest, halves up; in integers, so that hours stay exact.
        """
        nearest = (2 * frames * self._target_rate + self._source_rate) // (2 * self._source_rate)
        return max(nearest, 1) if frames else 0

    def _give(self, block: Block, *, last: bool) -> Block:
        if self._stream is None:
            ready: Block = block
        else:
            ready = self._stream.resample_chunk(np.ascontiguousarray(block, np.float32), last=last)
            ready = ready.reshape(-1, self._channels)
        self._given += len(ready)
        return ready
