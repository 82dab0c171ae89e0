"""Decode with libsndfile, through the package soundfile."""

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
# Formats whose files end without a word where a copy broke off; in others a decoder has failed.
_ENDS_EARLY = ("MP3", "WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "RAW")
# For each channel of WAV's order its place in Vorbis' (Vorbis I, 4.3.9), which Opus shares.
_SURROUND_OGG = {
    3: [0, 2, 1],
    5: [0, 2, 1, 3, 4],
    6: [0, 2, 1, 5, 3, 4],
    7: [0, 2, 1, 6, 5, 3, 4],
    8: [0, 2, 1, 7, 5, 6, 3, 4],
}
# libsndfile's frame count where a header has none.
_UNKNOWN = 2**62
# libsndfile takes files of this name, or with this first byte, for MPEG audio, whose decoder writes
# complaints to the terminal.
_MPEG_NAME, _MPEG_BYTE = ".mp3", b"\xff"
# A decoder's failure is located to this many frames.
_STEP = 8192


class StraightFile(soundfile.SoundFile):
    """A SoundFile that reads and writes straight on.

    The package seeks to where it is after every read, and libsndfile's MP3 decoder does not come
    out of a seek with the samples it would have given without one.
    """

    def __init__(self, path: Path | PartFile, *choices: Any, **named: Any) -> None:
        self._part_file = path if isinstance(path, PartFile) else None
        # Names of files need not be text; the package only encodes those that are.
        name = path if self._part_file or os.name == "nt" else os.fsencode(str(path))
        try:
            super().__init__(name, *choices, **named)
        except soundfile.LibsndfileError:
            self._close_part()
            raise

    def close(self) -> None:
        """Let go of the file."""
        super().close()
        self._close_part()

    def _close_part(self) -> None:
        if self._part_file:
            self._part_file.close()

    def seekable(self) -> bool:
        """Say no, so that nothing seeks behind our back; :meth:`seek` still works."""
        return False


def open_part(part: FilePart) -> StraightFile:
    """Open a stretch of a file.

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
    """One open part of a file; see :class:`stemcli.audio.decoder.Decoder`."""

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
        """The next frames, ``(n, channels)``; n = 0 only at the end."""
        block = np.empty((frames, self.info.channels), np.float32)
        filled = 0
        while filled < frames and (got := self._fill(block[filled : filled + _STEP])):
            filled += got
        if filled == 0 and frames:
            self._check_end()
        return block[:filled] if self._order is None else block[:filled, self._order]

    def skip(self, frames: int) -> None:
        """Go forward by seeking where that is exact to the sample, else by decoding."""
        target = self._position + frames
        if frames and self._file.subtype.startswith(_SEEKS_EXACTLY):
            self._seek(min(target, self._counted))
        while self._position < target and len(self.read(min(target - self._position, _STEP))):
            pass

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _seek(self, frame: int) -> None:
        """Go there, or to the beginning where libFLAC finds no way past damage."""
        try:
            self._position = self._file.seek(frame)
        except soundfile.LibsndfileError:
            self._file.close()
            self._file, self._position = open_part(self._part), 0

    def _fill(self, part: Block) -> int:
        """Decode into ``part``; 0 at the end, and at a failure, which is kept for later.

        Never more is asked for than the header counts: libFLAC and libopus look for another frame
        first, and fail where a tag or rubbish follows the last.
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
        """Fail where a decoder stopped early; tell where the file itself ends too early.

        The Ogg decoders go over a damaged page without a word, so what is missing may be missing
        long before the end, or from the beginning, which they count from the first good page.
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
        """The failure at a time of this part, told by that of the file."""
        part = self._part
        return broken(part.path, part.before + seconds, part.total or self.info.seconds)


def open_soundfile(part: FilePart) -> SoundfileDecoder | None:
    """Open with libsndfile; None where it cannot, or does not know how long the sound is.

    In an MP3 it stops where it guesses that the end is, unless a header counts the frames.
    """
    if part.is_whole and _begins_as_mpeg(part.path):
        return None
    try:
        file = open_part(part)
    except (soundfile.LibsndfileError, OverflowError):  # a rate may be beyond all numbers
        return None
    guesses = file.format == "MP3" and not part.head
    if 0 < file.frames < _UNKNOWN and not guesses:
        return SoundfileDecoder(part, file)
    file.close()
    return None


def _begins_as_mpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == _MPEG_BYTE
