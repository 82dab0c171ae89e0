"""Decode with libsndfile, through the package soundfile."""

from __future__ import annotations

import os
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.flac_frames import goes_on
from stemcli.audio.info import AudioInfo
from stemcli.audio.mp3_header import counted_frames
from stemcli.audio.ogg_pages import frames_before_damage
from stemcli.audio.source import broken

Block = NDArray[np.float32]

_DEPTHS = {
    **dict.fromkeys(("PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32"), "24"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "32f"),
}
_SEEKS_EXACTLY = ("PCM_", "FLOAT", "DOUBLE")
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
# Opus counts in these, whatever the sample rate of the sound (RFC 7845, section 4), in Hz.
_OPUS_CLOCK = 48000
# A decoder's failure is located to this many frames.
_STEP = 8192
# Most frames that an MP3's encoder adds at both ends together, and its header has taken off.
_ADDED = 4096


class StraightFile(soundfile.SoundFile):
    """A SoundFile that reads and writes straight on.

    The package seeks to where it is after every read, and libsndfile's MP3 decoder does not come
    out of a seek with the samples it would have given without one.
    """

    def __init__(self, path: Path, *choices: Any, **named: Any) -> None:
        # Names of files need not be text; the package only encodes those that are.
        name = str(path) if os.name == "nt" else os.fsencode(path)
        super().__init__(name, *choices, **named)

    def seekable(self) -> bool:
        """Say no, so that nothing seeks behind our back; :meth:`seek` still works."""
        return False


class SoundfileDecoder:
    """One open file; see :class:`stemcli.audio.decoding.Decoder`."""

    def __init__(self, path: Path, file: StraightFile) -> None:
        self.info = AudioInfo(
            path=path,
            sample_rate=file.samplerate,
            channels=file.channels,
            frames=file.frames,
            depth=_DEPTHS.get(file.subtype, "16"),
        )
        self._file = file
        self._order = _SURROUND_OGG.get(file.channels) if file.format == "OGG" else None
        self._position = 0  # frames
        self.complaint = ""
        self._failure: DecodeError | None = None

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
            self._seek(min(target, self._file.frames))
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
            self._file, self._position = StraightFile(self.info.path), 0

    def _fill(self, part: Block) -> int:
        """Decode into ``part``; 0 at the end, and at a failure, which is kept for later."""
        if self._failure:
            return 0
        try:
            got = len(self._file.read(out=part))
        except soundfile.LibsndfileError as error:
            seconds = self._position / self.info.sample_rate
            self._failure = broken(self.info.path, seconds, self.info.seconds)
            self._failure.__cause__ = error
            return 0
        self._position += got
        return got

    def _check_end(self) -> None:
        """An MP3 may have been cut by tools that leave its header alone; others end as promised.

        The Ogg decoders go over a damaged page without a word, so what is missing may be missing
        long before the end, or from the beginning, which they count from the first good page.
        """
        if self._failure:
            raise self._failure
        decoded, damage = self._position / self.info.sample_rate, self._damage()
        if self._position < self._file.frames and self._file.format != "MP3":
            raise broken(self.info.path, min(decoded, damage), self.info.seconds)
        self.complaint = f"a page is damaged at {damage:.2f} s" if damage < inf else ""

    def _damage(self) -> float:
        """The seconds at which an Ogg is damaged, infinity where nothing is."""
        if self._file.format != "OGG":
            return inf
        frames = frames_before_damage(self.info.path)
        rate = _OPUS_CLOCK if self._file.subtype == "OPUS" else self.info.sample_rate
        return inf if frames is None else frames / rate


def open_soundfile(path: Path) -> SoundfileDecoder | None:
    """Open with libsndfile; None where it cannot, or would not tell the truth.

    It does not find the sound behind a header that counts none, loses the last block of a FLAC of
    unknown length, and never reads on behind a FLAC's count, even a wrong one. In an MP3 it stops
    where it guesses that the end is: where nothing counts the frames, and where it does not
    believe a damaged header that does.
    """
    try:
        file = StraightFile(path)
    except soundfile.LibsndfileError:
        return None
    guesses = file.format == "MP3" and not _is_counted(path, file)
    if 0 < file.frames < _UNKNOWN and not guesses and not goes_on(path, file.frames):
        return SoundfileDecoder(path, file)
    file.close()
    return None


def _is_counted(path: Path, file: StraightFile) -> bool:
    """Whether libsndfile's length of an MP3 is the one that its header counts.

    A frame holds 1152 samples per channel in MPEG-1, and half as many at the lower sample rates of
    MPEG-2 (ISO/IEC 13818-3, 2.4.2.3).
    """
    counted = counted_frames(path)
    samples = 1152 if file.samplerate >= 32_000 else 576
    return counted is not None and abs(counted * samples - file.frames) <= _ADDED
