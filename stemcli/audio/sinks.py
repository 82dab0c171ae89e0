"""What writes each format: our WAV, libsndfile for FLAC and MP3, ffmpeg for Ogg, Opus and M4A.

libsndfile's MP3 notes its own padding exactly, so that players and readers give back the very
number of samples that went in; ffmpeg's does not at every length and sample rate.
"""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Protocol

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import EncodeError
from stemcli.audio import ffmpeg_process
from stemcli.audio.ffmpeg_binary import (
    complaints,
    fallback_notice,
    find_ffmpeg,
    read_log,
    require_codec,
)
from stemcli.audio.ffmpeg_process import FfmpegProcess
from stemcli.audio.formats import OutputFormat
from stemcli.audio.quantise import to_integers
from stemcli.audio.soundfile_decoder import StraightFile
from stemcli.audio.wav_sink import WavSink

Block = NDArray[np.float32]
_FFMPEG = {"ogg": ("ogg", "libvorbis"), "opus": ("opus", "libopus"), "m4a": ("ipod", "aac")}

# The speakers in WAV's order; left to itself ffmpeg takes three channels for 2.1, four for 4.0.
_LAYOUTS = dict(enumerate(["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"], start=1))


class Sink(Protocol):
    """A file that is being written."""

    def write(self, block: Block) -> None:
        """Append frames, ``(n, channels)``, that lie in [-1, 1] unless the format is float."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def abort(self) -> None:
        """Let go of the file, finished or not."""
        ...


def open_sink(path: Path, sample_rate: int, channels: int, format: OutputFormat) -> Sink:
    """Begin a file of a format whose depth is resolved, at a sample rate that it knows."""
    if format.name == "wav":
        return WavSink(path, sample_rate, channels, format.depth)
    if format.name == "flac":
        return FlacSink(path, sample_rate, channels, format.depth)
    if format.name == "mp3":
        return Mp3Sink(path, sample_rate, channels, format)
    return FfmpegSink(path, sample_rate, channels, format)


def require_encoder(format: OutputFormat) -> None:
    """Check that files of this format can be written here.

    Raises:
        FfmpegMissingError: the format needs ffmpeg, and there is none that works or it lacks the
            encoder.
    """
    if format.name in _FFMPEG:
        _, codec = _FFMPEG[format.name]
        require_codec(find_ffmpeg(), codec, format.name)


def encoder_notice(format: OutputFormat) -> str:
    """A sentence when the bundled ffmpeg replaces a broken one on PATH, else an empty string."""
    return fallback_notice() if format.name in _FFMPEG else ""


class FlacSink:
    """FLAC through libsndfile, fed with whole numbers of our own rounding."""

    def __init__(self, path: Path, sample_rate: int, channels: int, depth: str) -> None:
        self._bits = int(depth)
        self._file = StraightFile(path, "w", sample_rate, channels, f"PCM_{depth}", format="FLAC")

    def write(self, block: Block) -> None:
        """Append frames; libsndfile takes the upper bits of 32."""
        self._file.write(to_integers(block, self._bits) << (32 - self._bits))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    abort = close


class Mp3Sink:
    """MP3 by LAME through libsndfile."""

    def __init__(self, path: Path, sample_rate: int, channels: int, format: OutputFormat) -> None:
        if format.quality is not None:
            mode, level = "VARIABLE", format.quality / 10
        else:
            default = (format.rules.default_bitrate or 0) * channels
            mode, level = "CONSTANT", _mp3_level(format.bitrate or default, sample_rate)
        self._file = StraightFile(
            path,
            "w",
            sample_rate,
            channels,
            "MPEG_LAYER_III",
            format="MP3",
            compression_level=level,
            bitrate_mode=mode,
        )

    def write(self, block: Block) -> None:
        """Append frames."""
        self._file.write(block)

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    abort = close


def _mp3_level(bitrate: int, sample_rate: int) -> float:
    """The compression level of libsndfile, which runs evenly from highest to lowest bit rate.

    The highest are those of MPEG-1, MPEG-2 and MPEG-2.5 (ISO/IEC 11172-3 and 13818-3).
    """
    highest, lowest = (320, 32) if sample_rate >= 32000 else (160, 8)
    if sample_rate < 16000:
        highest = 64
    return (highest - min(bitrate, highest)) / (highest - lowest)


class FfmpegSink:
    """A format that an ffmpeg process encodes from the floats in its pipe."""

    def __init__(self, path: Path, sample_rate: int, channels: int, format: OutputFormat) -> None:
        require_encoder(format)
        self._format, self._rate = format, sample_rate
        command = _command(path, sample_rate, channels, format)
        self._process = FfmpegProcess(command, feeds=True)

    def write(self, block: Block) -> None:
        """Append frames.

        Raises:
            EncodeError: ffmpeg gave up or was ended.
            OSError: the disk is full, or takes nothing any more.
        """
        try:
            self._process.write(block.astype("<f4").tobytes())
        except BrokenPipeError:
            raise self._failure(self._process.finish()) from None

    def close(self) -> None:
        """Finish the file.

        Raises:
            EncodeError: ffmpeg gave up or was ended.
            OSError: the disk is full, or takes nothing any more.
        """
        status = self._process.finish()
        if status:
            raise self._failure(status)
        self._process.close()

    def abort(self) -> None:
        """Stop the process."""
        self._process.close()

    def _failure(self, status: int) -> Exception:
        errors = complaints(read_log(self._process.log))
        reason = errors[0] if errors else f"ffmpeg ended with {status}"
        if self._process.stalled:
            return OSError(f"it took nothing for {ffmpeg_process.PATIENCE:g} seconds")
        if os.strerror(errno.ENOSPC) in reason:
            return OSError(reason)
        return (
            _ended(self._format, -status)
            if status < 0
            else _refused(self._format, self._rate, reason)
        )


def _ended(format: OutputFormat, number: int) -> Exception:
    """Why a signal ended ffmpeg; one of them is the file system's."""
    if number == getattr(signal, "SIGXFSZ", None):
        return OSError("no file may be that large here")
    return EncodeError(
        f"ffmpeg, which was writing {format.name}, was ended from outside "
        f"({signal.strsignal(number)}): type the same command again"
    )


def _refused(format: OutputFormat, sample_rate: int, reason: str) -> EncodeError:
    is_asked = format.bitrate is not None or format.quality is not None
    settings, leave = (" with these settings", "leave out --bitrate, or ") if is_asked else ("", "")
    return EncodeError(
        f"ffmpeg cannot write {format.name} at {sample_rate} Hz{settings} ({reason}): {leave}type "
        "--format flac"
    )


def _command(path: Path, sample_rate: int, channels: int, format: OutputFormat) -> list[str]:
    muxer, codec = _FFMPEG[format.name]
    chosen: dict[str, str | float] = {"format": muxer, "acodec": codec}
    rules = format.rules
    bitrate = format.bitrate or (rules.default_bitrate or 0) * channels
    quality = rules.default_quality if format.quality is None else format.quality
    if quality is None or format.bitrate:
        chosen["b:a"] = f"{bitrate}k"
    else:
        chosen["q:a"] = quality
    speakers = {"channel_layout": _LAYOUTS[channels]}
    stream = ffmpeg.input("pipe:", format="f32le", ar=sample_rate, ac=channels, **speakers)
    # Without the encoder's name and a random serial number, equal sound gives equal bytes.
    stream = ffmpeg.output(
        stream, f"file:{path}", fflags="+bitexact", **{"flags:a": "+bitexact"}, **chosen
    )
    stream = stream.global_args("-nostdin", "-nostats", "-hide_banner", "-loglevel", "level+error")
    return [str(word) for word in ffmpeg.compile(stream, cmd=find_ffmpeg(), overwrite_output=True)]
