"""What is known of a sound file before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AudioInfo:
    """A sound file as its header describes it.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        frames: samples per channel that the file promises, for progress only; None when it promises
            nothing or guesses, as what was written into a pipe as Matroska does.
        depth: what a lossless copy needs: ``"16"`` for integers up to 16 bit and for lossy codecs,
            ``"24"`` for integers of 24 and 32 bit, ``"32f"`` for floating point.
        notices: what the user should know of how it is read, in sentences.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int | None
    depth: str
    notices: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """The length that the header promises."""
        return None if self.frames is None else self.frames / self.sample_rate


def probe(path: Path | str, stream: int | None = None) -> AudioInfo:
    """Read the header of a sound file.

    Args:
        path: the file.
        stream: number of the sound track from 0; None for the default one.

    Raises:
        DecodeError: the file is not there, empty or not sound.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    from stemcli.audio.decoding import open_decoder

    decoder = open_decoder(Path(path), stream)
    decoder.close()
    return decoder.info
