"""Decodes with libsndfile, through the package soundfile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.containers.part import FilePart, PartFile
from stemcli.audio.decoder import missing_sound
from stemcli.audio.info import AudioInfo, broken

Block = NDArray[np.float32]

_DEPTHS = {
    **dict.fromkeys(("PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32"), "24"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "32f"),
}
_SEEKS_EXACTLY = ("PCM_", "FLOAT", "DOUBLE")
# Formats in which a truncated file ends without an error; in others a decoder error is reported.
_ENDS_EARLY = ("MP3", "WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "RAW")
# Index in Vorbis order (Vorbis I, 4.3.9, also used by Opus) for each channel in WAV order.
_SURROUND_OGG = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}
# libsndfile's frame count if a header has none.
_UNKNOWN = 2**62
# libsndfile takes files of this name, or with this first byte, for MPEG audio, whose decoder prints
# notes on the terminal.
_MPEG_NAME, _MPEG_BYTE = ".mp3", b"\xff"
# The position of a decoding error is known to this many frames.
_STEP = 8192


class StraightFile(soundfile.SoundFile):
    """A SoundFile that reads and writes without seeking.

    The package seeks to the current position after every read, and after a seek libsndfile's MP3
    decoder returns different samples.
    """

    def __init__(self, path: Path | PartFile, *choices: Any, **named: Any) -> None:
        self._part_file = path if isinstance(path, PartFile) else None
        # File names may not be valid text; the package can only encode valid text.
        name = path if self._part_file or os.name == "nt" else os.fsencode(str(path))
        try:
            super().__init__(name, *choices, **named)
        except soundfile.LibsndfileError:
            self._close_part()
            raise

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._close_part()

    def _close_part(self) -> None:
        if self._part_file:
            self._part_file.close()

    def seekable(self) -> bool:
        """Return False, so that the package never seeks; :meth:`seek` still works."""
        return False


def open_part(part: FilePart) -> StraightFile:
    """Open a part of a file.

    Raises:
        soundfile.LibsndfileError: libsndfile cannot read it.
    """
    if part.is_whole and part.path.suffix.lower() != _MPEG_NAME:
        return StraightFile(part.path)
    raw = part.raw
    if raw is None:
        return StraightFile(part.open())
    return StraightFile(
        part.open(),
        samplerate=raw.sample_rate,
        channels=raw.channels,
        format="RAW",
        subtype=raw.subtype,
        endian="FILE" if raw.subtype.endswith(("8", "LAW")) else raw.endian,
    )


class SoundfileDecoder:
    """Decodes a part of a file with libsndfile; see :class:`stemcli.audio.decoder.Decoder`."""

    def __init__(self, part: FilePart, file: StraightFile) -> None:
        self.info = AudioInfo(
            path=part.path,
            sample_rate=file.samplerate,
            channels=file.channels,
            frames=file.frames - part.surplus,
            depth=_DEPTHS.get(file.subtype, "16"),
        )
        self._part, self._file = part, file
        self._order = _SURROUND_OGG.get(file.channels) if file.format == "OGG" else None
        self._counted = file.frames - part.surplus
        self._position = -part.surplus  # frames
        self.loss = ""
        self._failure: DecodeError | None = None
        if part.surplus:
            self._fill(np.empty((part.surplus, file.channels), np.float32))

    def read(self, frames: int) -> Block:
        """Return the next frames, ``(n, channels)``; n = 0 only at the end."""
        block = np.empty((frames, self.info.channels), np.float32)
        filled = 0
        while filled < frames and (got := self._fill(block[filled : filled + _STEP])):
            filled += got
        if filled == 0 and frames:
            self._check_end()
        return block[:filled] if self._order is None else block[:filled, self._order]

    def skip(self, frames: int) -> None:
        """Skip frames by seeking if that is sample-exact, else by decoding."""
        target = self._position + frames
        if frames and self._file.subtype.startswith(_SEEKS_EXACTLY):
            self._seek(min(target, self._counted))
        while self._position < target and len(self.read(min(target - self._position, _STEP))):
            pass

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _seek(self, frame: int) -> None:
        """Seek to a frame, or to the beginning if libFLAC fails on damaged data."""
        try:
            self._position = self._file.seek(frame)
        except soundfile.LibsndfileError:
            self._file.close()
            self._file, self._position = open_part(self._part), 0

    def _fill(self, part: Block) -> int:
        """Decode into ``part``; return 0 at the end, and at an error, which is kept for later.

        Never requests more frames than the header counts: libFLAC and libopus would search for
        another frame and fail if a tag or garbage follows the last one.
        """
        part = part[: max(0, self._counted - self._position)]
        if self._failure or not len(part):
            return 0
        try:
            got = len(self._file.read(out=part))
        except soundfile.LibsndfileError as error:
            self._failure = self._broken(self._position / self.info.sample_rate)
            self._failure.__cause__ = error
            return 0
        self._position += got
        return got

    def _check_end(self) -> None:
        """Raise an error if the decoder stopped early; set ``loss`` if the file ends too early.

        The Ogg decoders skip a damaged page silently, so samples may be missing long before the
        end, or at the beginning, because they count from the first valid page.
        """
        if self._failure:
            raise self._failure
        part, rate = self._part, self.info.sample_rate
        decoded = self._position / rate
        if self._position < self._counted and self._file.format not in _ENDS_EARLY:
            at = decoded if part.flaw_at is None else min(decoded, part.flaw_at)
            raise self._broken(at)
        counted = max(part.frames or 0, self._counted)
        self.loss = missing_sound(part, rate, self._position, counted, part.flaw_with_time)

    def _broken(self, seconds: float) -> DecodeError:
        """Return the error for a time in this part, converted to the time in the file."""
        part = self._part
        return broken(part.path, part.before + seconds, part.total or self.info.seconds)


def open_soundfile(part: FilePart) -> SoundfileDecoder | None:
    """Open with libsndfile; None if it cannot read the part or does not know its length.

    In an MP3 without a frame count in its header, libsndfile stops at an estimated end.
    """
    if part.is_whole and _begins_as_mpeg(part.path):
        return None
    try:
        file = open_part(part)
    except (soundfile.LibsndfileError, OverflowError):  # a damaged rate may overflow
        return None
    guesses = file.format == "MP3" and not part.head
    if 0 < file.frames < _UNKNOWN and not guesses:
        return SoundfileDecoder(part, file)
    file.close()
    return None


def _begins_as_mpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == _MPEG_BYTE
