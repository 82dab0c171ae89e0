"""Read any song as a stream of blocks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ConfigError, DecodeError
from stemcli.audio.bitstream import bitstream
from stemcli.audio.decoder import Decoder
from stemcli.audio.decoding import open_decoder
from stemcli.audio.info import AudioInfo
from stemcli.audio.source import holds_code, no_sound
from stemcli.closing import Closing

Block = NDArray[np.float32]

_LOOKS = 2  # blocks in which a hidden codec is looked for: of the first one, half may be silent


class AudioReader(Closing):
    """An iterator over blocks of float32 samples, ``(n, channels)`` with 1 <= n <= ``block``.

    It goes on until the real end of the stream, whatever the header promises. Integer formats lie
    in [-1, 1); floating point and lossy ones may go beyond.

    Args:
        decoder: an open file.
        first: frames to leave out at the beginning.
        last: where to stop, in frames from the beginning of the file; None for the end.
        block: most frames at once.

    Raises:
        DecodeError: while iterating, when the file holds no sound or that of another codec, is
            damaged or ends before ``first``.
    """

    def __init__(self, decoder: Decoder, first: int, last: int | None, block: int) -> None:
        self.info: AudioInfo = decoder.info
        self._decoder = decoder
        self._first, self._last, self._block = first, last, block
        self._position: int | None = None  # frames from the beginning of the file
        self._looks = _LOOKS

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Block:
        starting = self._position is None
        if self._position is None:
            self._decoder.skip(self._first)
            self._position = self._first
        left = self._block if self._last is None else self._last - self._position
        if left <= 0:
            raise StopIteration
        block = self._decoder.read(min(self._block, left))
        if len(block) == 0:
            if starting:
                raise self._nothing_there()
            raise StopIteration
        self._position += len(block)
        self._require_samples(block)
        return block

    @property
    def position(self) -> int:
        """Frames from the beginning of the file to what is read next."""
        return self._first if self._position is None else self._position

    @property
    def doubt(self) -> str:
        """A sentence when, at its end, the file seems to lack sound, else an empty one."""
        return self._decoder.loss

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()

    def _require_samples(self, block: Block) -> None:
        """Refuse the bytes of a codec, which show in the first blocks that are not silent."""
        with np.errstate(invalid="ignore"):  # a damaged file may hold signalling NaN
            is_silent = not block.any()
        if not self._looks or is_silent:
            return
        self._looks -= 1
        words = np.rint(np.clip(np.nan_to_num(block), -1, 1 - 2**-15) * 32768).astype("<i2")
        if codec := bitstream(words.tobytes()):
            raise holds_code(self.info.path, codec)

    def _nothing_there(self) -> DecodeError:
        if self._first == 0:
            return no_sound(self.info.path, self._decoder.loss)
        start = self._first / self.info.sample_rate
        return DecodeError(
            f"{self.info.path} ends before {start:.2f} s, where --start would begin: "
            "type a smaller --start."
        )


def open_audio(
    path: Path | str,
    *,
    start: float | None = None,
    end: float | None = None,
    block: int = 65536,
    stream: int | None = None,
    ended: threading.Event | None = None,
) -> AudioReader:
    """Open a song, or the part of it from ``start`` to ``end``.

    Args:
        path: anything that soundfile or ffmpeg decodes.
        start: seconds, exact to the sample (``round(start * sample_rate)``).
        end: seconds; beyond the end of the song means its end.
        block: most frames in one block.
        stream: number of the sound track from 0; a film or a ``stem.mp4`` may have several. None
            for the default one, of which ``info.notices`` tells where there are others.
        ended: makes opening and reading end at once with a KeyboardInterrupt when it is set.

    Raises:
        DecodeError: the file is not there, empty or not sound.
        ConfigError: the part is empty.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ConfigError("open_audio", [_empty_part(start, end)])
    decoder = open_decoder(Path(path), stream, ended)
    rate = decoder.info.sample_rate
    last = None if end is None else round(end * rate)
    return AudioReader(decoder, round((start or 0.0) * rate), last, block)


def _empty_part(start: float | None, end: float | None) -> str:
    if start is None:
        return f"--end must be above 0, found {end}"
    return f"--start must not be negative and lie before --end, found {start} and {end}"
