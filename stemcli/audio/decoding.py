"""Choose what decodes a file: soundfile where it is right, ffmpeg for the rest."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.ffmpeg_decoder import FfmpegDecoder
from stemcli.audio.info import AudioInfo
from stemcli.audio.soundfile_decoder import open_soundfile
from stemcli.audio.source import impossible_rate, require_file
from stemcli.audio.tracks import has_several_tracks
from stemcli.audio.wav_header import hides_sound

Block = NDArray[np.float32]

RATES = range(1000, 4_000_000)
"""Sample rates of sound, in Hz: below the telephone's up to a sound card's and the bytes of DSD.

At 1 Hz, which a damaged header may name, the sound of a minute would be one of weeks.
"""


class Decoder(Protocol):
    """An open sound file that is read from its beginning to its real end."""

    info: AudioInfo
    complaint: str
    """At the end: what the decoder went over and may have lost sound to; ``""`` for nothing."""

    def read(self, frames: int) -> Block:
        """The next frames, ``(n, channels)`` with n <= frames; n = 0 only at the end.

        Raises:
            DecodeError: decoding stops before the end of the stream.
        """
        ...

    def skip(self, frames: int) -> None:
        """Go forward; beyond the end means to the end."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


def open_decoder(
    path: Path, stream: int | None = None, ended: threading.Event | None = None
) -> Decoder:
    """Open a sound file.

    Args:
        path: the file.
        stream: number of the sound track from 0; a film may have several. None for the default one.
        ended: makes reading end at once with a KeyboardInterrupt when it is set.

    Raises:
        DecodeError: it is not there, empty or not sound, or its sample rate is impossible.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    require_file(path)
    decoder = _choose(path, stream, ended)
    rate = decoder.info.sample_rate
    if rate not in RATES:
        decoder.close()
        raise impossible_rate(path, rate)
    return decoder


def _choose(path: Path, stream: int | None, ended: threading.Event | None) -> Decoder:
    if stream or has_several_tracks(path):
        return FfmpegDecoder(path, stream=stream, ended=ended)
    if hides_sound(path):
        return FfmpegDecoder(path, ignore_length=True, ended=ended)
    return open_soundfile(path) or FfmpegDecoder(path, stream=stream, ended=ended)
