"""Reads any song as a stream of blocks, with libsndfile if it is exact, else with ffmpeg."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import ConfigError, DecodeError, FfmpegMissingError
from model_zoo.option_names import option
from stemcli.audio.chain import Chain
from stemcli.audio.containers.elementary import coded_parts, with_a_broken_start
from stemcli.audio.containers.flac import flac_behind_junk, flac_parts
from stemcli.audio.containers.frames import bitstream
from stemcli.audio.containers.ogg import ogg_parts
from stemcli.audio.containers.others import container_part
from stemcli.audio.containers.part import FileBytes, FilePart
from stemcli.audio.containers.pcm import pcm_parts
from stemcli.audio.containers.surrounding_tags import end_of_tags, start_of_tags
from stemcli.audio.decoder import Decoder
from stemcli.audio.ffmpeg_decoder import FfmpegDecoder
from stemcli.audio.info import (
    MALFORMED,
    RATES,
    AudioInfo,
    holds_code,
    impossible_rate,
    no_sound,
    other_file,
    require_file,
)
from stemcli.audio.other_files import other_file_kind, zeros_alone
from stemcli.audio.soundfile_decoder import open_soundfile
from stemcli.audio.tracks import no_track, only_track
from stemcli.process import Closing


def open_decoder(
    path: Path, stream: int | None = None, ended: threading.Event | None = None
) -> Decoder:
    """Open an audio file.

    Args:
        path: the file.
        stream: number of the audio track from 0; a film may have several. None for the default one.
        ended: when it is set, reading stops at once with a KeyboardInterrupt.

    Raises:
        DecodeError: the file does not exist, is empty or not audio, has an impossible sample rate,
            or contains consecutive recordings whose channels differ.
        NoTrackError: the file has no such audio track.
        FfmpegMissingError: the file needs ffmpeg, which is missing.
    """
    require_file(path)
    if kind := other_file_kind(path):
        raise other_file(path, kind)
    try:
        decoder = _choose(path, stream, ended)
    except (DecodeError, FfmpegMissingError) as error:
        if kind := zeros_alone(path):
            raise other_file(path, kind) from error
        raise
    rate = decoder.info.sample_rate
    if rate not in RATES:
        decoder.close()
        raise impossible_rate(path, rate)
    return decoder


def _choose(path: Path, stream: int | None, ended: threading.Event | None) -> Decoder:
    open_part = partial(_open_part, stream=stream, ended=ended)
    parts = sound_parts(path, stream or 0)
    if stream and not parts[0].muxer:
        _require_tracks(parts[0], stream)
        return FfmpegDecoder(_container(parts), stream, ended)
    if len(parts) == 1 and not parts[0].is_damage:
        return open_part(parts[0])
    return Chain(parts, open_part)


def _require_tracks(part: FilePart, stream: int) -> None:
    """Refuse a file that libsndfile reads, because it has one audio track; needs no ffmpeg.

    Raises:
        NoTrackError: libsndfile reads the file.
    """
    decoder = open_soundfile(part)
    if decoder:
        decoder.close()
        raise no_track(part.path, stream, [only_track(decoder.info.channels)])


def _container(parts: list[FilePart]) -> FilePart:
    """The part that stands for the whole container, for one of its tracks."""
    return parts[0] if parts[0].is_walked else FilePart(parts[0].path)


def sound_parts(path: Path, track: int = 0) -> list[FilePart]:
    """The parts of a file that hold its audio: one, or several in a row.

    A malformed header is left to the decoders, which report what is wrong.

    Args:
        path: the file.
        track: number of the audio track from 0, if the file has several.
    """
    try:
        return _sound_parts(path, track)
    except MALFORMED:
        return [FilePart(path)]


def _sound_parts(path: Path, track: int) -> list[FilePart]:
    with path.open("rb", buffering=0) as file:
        data = FileBytes(file)
        size = len(data)
        base = end_of_tags(data, 0, size)
        if base == size:
            return [FilePart(path)]
        parts = _find(path, data, base, size, track)
        return parts or [container_part(path, data, base, start_of_tags(data, base, size))]


def _find(path: Path, data: FileBytes, base: int, end: int, track: int) -> list[FilePart]:
    magic = data[base : base + 4]
    if magic == b"fLaC":
        return flac_parts(path, data, base, end)
    if magic == b"OggS":
        return ogg_parts(path, data, base, end, track)
    families = (pcm_parts, coded_parts, with_a_broken_start, flac_behind_junk)
    return next((parts for find in families if (parts := find(path, data, base, end))), [])


def _open_part(part: FilePart, stream: int | None, ended: threading.Event | None) -> Decoder:
    decoder = None if part.muxer else open_soundfile(part)
    return decoder or FfmpegDecoder(part, stream, ended)


Block = NDArray[np.float32]

_LOOKS = 2  # blocks to search for a hidden codec, because half of the first may be silent


class AudioReader(Closing):
    """An iterator over blocks of float32 samples, ``(n, channels)`` with 1 <= n <= ``block``.

    It reads until the real end of the stream, whatever the header says. Integer formats lie in
    [-1, 1); floating-point and lossy formats may exceed that.

    Args:
        decoder: an open file.
        first: frames to skip at the beginning.
        last: where to stop, in frames from the beginning of the file; None for the end.
        block: most frames at once.

    Raises:
        DecodeError: while iterating: the file has no audio or the bytes of another codec, is
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
        """Frames from the beginning of the file to the next block."""
        return self._first if self._position is None else self._position

    @property
    def doubt(self) -> str:
        """A sentence if, at its end, the file seems to lack audio; else empty."""
        return self._decoder.loss

    def close(self) -> None:
        """Close the file."""
        self._decoder.close()

    def _require_samples(self, block: Block) -> None:
        """Refuse the bytes of a codec, which are found in the first blocks that are not silent."""
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
            f"{self.info.path} ends before {start:.2f} s, which is {option('start')}. Use a "
            f"smaller {option('start')}"
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
        path: any file that soundfile or ffmpeg decodes.
        start: seconds, exact to the sample (``round(start * sample_rate)``).
        end: seconds; at most the end of the song.
        block: most frames in one block.
        stream: number of the audio track from 0; a film or a ``stem.mp4`` may have several. None
            for the default one (``info.notices`` then mentions other tracks).
        ended: when it is set, opening and reading stop at once with a KeyboardInterrupt.

    Raises:
        DecodeError: the file does not exist, is empty or not audio.
        ConfigError: the part is empty.
        FfmpegMissingError: the file needs ffmpeg, which is missing.
    """
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise ConfigError("", [_empty_part(start, end)])
    decoder = open_decoder(Path(path), stream, ended)
    rate = decoder.info.sample_rate
    last = None if end is None else round(end * rate)
    return AudioReader(decoder, round((start or 0.0) * rate), last, block)


def _empty_part(start: float | None, end: float | None) -> str:
    if start is None:
        return f"{option('end')} must be above 0, found {end}"
    rule = f"{option('start')} must not be negative and must lie before {option('end')}"
    return f"{rule}, found {start} and {end}"


def probe(path: Path | str, stream: int | None = None) -> AudioInfo:
    """Read the header of an audio file.

    Args:
        path: the file.
        stream: number of the audio track from 0; None for the default one.

    Raises:
        DecodeError: the file does not exist, is empty or not audio.
        FfmpegMissingError: the file needs ffmpeg, which is missing.
    """
    decoder = open_decoder(Path(path), stream)
    decoder.close()
    return decoder.info
