"""Choose what decodes a file: soundfile where it is right, ffmpeg for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemcli.audio.ffmpeg_decoder import FfmpegDecoder
from stemcli.audio.info import AudioInfo
from stemcli.audio.soundfile_decoder import open_soundfile
from stemcli.audio.source import require_file
from stemcli.audio.wav_header import hides_sound

Block = NDArray[np.float32]


class Decoder(Protocol):
    """An open sound file that is read from its beginning to its real end."""

    info: AudioInfo

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


def open_decoder(path: Path) -> Decoder:
    """Open a sound file.

    Raises:
        DecodeError: it is not there, empty or not sound.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    require_file(path)
    if hides_sound(path):
        return FfmpegDecoder(path, ignore_length=True)
    return open_soundfile(path) or FfmpegDecoder(path)
