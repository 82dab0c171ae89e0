"""What writes each format: our WAV, libsndfile for FLAC and MP3, ffmpeg for Ogg, Opus and M4A.

libsndfile's MP3 notes its own padding exactly, so that players and readers give back the very
number of samples that went in; ffmpeg's does not at every length and sample rate.
"""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import EncodeError
from stemcli.audio.ffmpeg_binary import complaints, find_ffmpeg, read_log
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
        FfmpegMissingError: the format needs ffmpeg, and there is none.
    """
    if format.name in _FFMPEG:
        find_ffmpeg()


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
        self._name, self._rate = format.name, sample_rate
        command = _command(path, sample_rate, channels, format)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        assert self._process.stdin, "it was asked for"
        self._input = self._process.stdin

    def write(self, block: Block) -> None:
        """Append frames.

        Raises:
            EncodeError: ffmpeg gave up.
            OSError: the disk is full, or somebody ended ffmpeg.
        """
        try:
            self._input.write(block.astype("<f4").tobytes())
        except BrokenPipeError:
            self._process.wait()
            raise self._failure() from None

    def close(self) -> None:
        """Finish the file.

        Raises:
            EncodeError: ffmpeg gave up.
            OSError: the disk is full, or somebody ended ffmpeg.
        """
        try:
            self._input.close()
        except BrokenPipeError:
            self._process.wait()
        if self._process.wait():
            raise self._failure()
        self._log.close()

    def abort(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait()
        with suppress(BrokenPipeError):  # what was still in the buffer has nowhere to go
            self._input.close()
        self._log.close()

    def _failure(self) -> Exception:
        errors, code = complaints(read_log(self._log)), self._process.returncode
        reason = errors[0] if errors else f"ffmpeg ended with {code}"
        if code < 0 or os.strerror(errno.ENOSPC) in reason:
            return OSError(reason)
        return EncodeError(
            f"ffmpeg cannot write {self._name} at {self._rate} Hz with these settings ({reason}): "
            "leave out --bitrate, or type --format flac"
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
