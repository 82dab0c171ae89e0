"""One encoder for each output format, from libsndfile or ffmpeg, and quantization.

soundfile cannot reserve space for the 64-bit sizes that a file beyond 4 GB needs, and writes a
timestamp into floating-point files. The WAV header is therefore written here: RIFF with an unused
chunk, which becomes the ``ds64`` chunk of an RF64 if the sizes need it (EBU Tech 3306).

libsndfile's MP3 encoder stores its padding exactly, so that decoders return the original number of
samples; ffmpeg's does not at every length and sample rate.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from pathlib import Path
from typing import Protocol

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import EncodeError
from model_zoo.option_names import option, setting
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
from stemcli.audio.soundfile_decoder import StraightFile


def to_integers(block: NDArray[np.float32], bits: int) -> NDArray[np.int32]:
    """Round to the nearest of ``2 ** bits`` steps over [-1, 1), and clip beyond.

    This is the exact inverse of reading: integer samples stay unchanged. libsndfile's own
    conversion multiplies by one step less and rounds down.
    """
    full = float(2 ** (bits - 1))
    scaled = np.rint(block * np.float32(full))
    return np.clip(scaled, -full, full - 1).astype(np.int32)


LARGEST_RIFF = 2**32 - 1  # bytes
_WIDTHS = {"16": 2, "24": 3, "32f": 4}  # bytes per sample
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# The last 14 bytes of the GUIDs that stand for a format tag.
_GUID = bytes.fromhex("000000001000800000aa00389b71")
# Speaker masks of mono, stereo, 3.0, quad, 5.0, 5.1, 6.1, 7.1.
_SPEAKERS = {1: 0x4, 2: 0x3, 3: 0x7, 4: 0x33, 5: 0x37, 6: 0x3F, 7: 0x70F, 8: 0x63F}


class WavSink:
    """Writes a WAV file.

    Args:
        path: the file.
        sample_rate: in Hz.
        channels: number of channels.
        depth: ``"16"``, ``"24"`` or ``"32f"``.
        largest_riff: bytes beyond which the file becomes an RF64.
    """

    def __init__(
        self,
        path: Path,
        sample_rate: int,
        channels: int,
        depth: str,
        largest_riff: int = LARGEST_RIFF,
    ) -> None:
        self._rate, self._channels, self._depth = sample_rate, channels, depth
        self._largest = largest_riff
        self._size = 0  # bytes of audio data
        self._file = path.open("wb")
        self._file.write(self._header())

    def write(self, block: NDArray[np.float32]) -> None:
        """Append frames, ``(n, channels)``."""
        data = self._encode(block)
        self._file.write(data)
        self._size += len(data)

    def close(self) -> None:
        """Write the sizes into the header."""
        with self._file as file:
            file.write(bytes(self._size % 2))
            file.seek(0)
            file.write(self._header())

    def abort(self) -> None:
        """Close the file without finishing it."""
        self._file.close()

    def _encode(self, block: NDArray[np.float32]) -> bytes:
        if self._depth == "32f":
            return block.astype("<f4").tobytes()
        integers = to_integers(block, int(self._depth))
        if self._depth == "16":
            return integers.astype("<i2").tobytes()
        return integers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def _header(self) -> bytes:
        described = _chunk(b"fmt ", self._format())
        frames = self._size // (self._channels * _WIDTHS[self._depth])
        if self._depth == "32f":
            described += _chunk(b"fact", struct.pack("<I", min(frames, LARGEST_RIFF)))
        # "WAVE", the reserved chunk, the chunks above, the name and size of the data
        riff = 4 + 36 + len(described) + 8 + self._size + self._size % 2
        if riff <= self._largest:
            head = struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + _chunk(b"JUNK", bytes(28))
            return head + described + struct.pack("<4sI", b"data", self._size)
        sizes = struct.pack("<QQQI", riff, self._size, frames, 0)
        head = struct.pack("<4sI4s", b"RF64", LARGEST_RIFF, b"WAVE") + _chunk(b"ds64", sizes)
        return head + described + struct.pack("<4sI", b"data", LARGEST_RIFF)

    def _format(self) -> bytes:
        tag = _FLOAT if self._depth == "32f" else _PCM
        width = _WIDTHS[self._depth]
        frame = width * self._channels
        rest = struct.pack(
            "<HIIHH", self._channels, self._rate, self._rate * frame, frame, 8 * width
        )
        if self._channels > 2:
            speakers = _SPEAKERS.get(self._channels, 0)
            extension = struct.pack("<HHIH", 22, 8 * width, speakers, tag) + _GUID
            return struct.pack("<H", _EXTENSIBLE) + rest + extension
        return struct.pack("<H", tag) + rest + (bytes(2) if tag == _FLOAT else b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


Block = NDArray[np.float32]
_FFMPEG = {"ogg": ("ogg", "libvorbis"), "opus": ("opus", "libopus"), "m4a": ("ipod", "aac")}

# Layouts in WAV's channel order; by default ffmpeg takes three channels for 2.1, four for 4.0.
_LAYOUTS = dict(enumerate(["mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1"], start=1))


class Sink(Protocol):
    """The protocol of all encoders: a file that is written block by block."""

    def write(self, block: Block) -> None:
        """Append frames, ``(n, channels)``, in [-1, 1] unless the format is float."""
        ...

    def close(self) -> None:
        """Finish the file."""
        ...

    def abort(self) -> None:
        """Close the file, finished or not."""
        ...


def open_sink(path: Path, sample_rate: int, channels: int, format: OutputFormat) -> Sink:
    """Create a file; the bit depth must be resolved and the sample rate supported."""
    if format.name == "wav":
        return WavSink(path, sample_rate, channels, format.depth)
    if format.name == "flac":
        return FlacSink(path, sample_rate, channels, format.depth)
    if format.name == "mp3":
        return Mp3Sink(path, sample_rate, channels, format)
    return FfmpegSink(path, sample_rate, channels, format)


def require_encoder(format: OutputFormat) -> None:
    """Check that files of this format can be written on this machine.

    Raises:
        FfmpegMissingError: the format needs ffmpeg, which is missing, broken or lacks the encoder.
    """
    if format.name in _FFMPEG:
        _, codec = _FFMPEG[format.name]
        require_codec(find_ffmpeg(), codec, format.name)


def encoder_notice(format: OutputFormat) -> str:
    """A sentence if the bundled ffmpeg replaces a broken one on PATH, else an empty string."""
    return fallback_notice() if format.name in _FFMPEG else ""


class FlacSink:
    """Writes FLAC with libsndfile, from integers that :func:`to_integers` rounds."""

    def __init__(self, path: Path, sample_rate: int, channels: int, depth: str) -> None:
        self._bits = int(depth)
        self._file = StraightFile(path, "w", sample_rate, channels, f"PCM_{depth}", format="FLAC")

    def write(self, block: Block) -> None:
        """Append frames; libsndfile uses the upper bits of 32."""
        self._file.write(to_integers(block, self._bits) << (32 - self._bits))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    abort = close


class Mp3Sink:
    """Writes MP3 with libsndfile and LAME."""

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
    """The compression level of libsndfile, which is linear from the highest to the lowest bit rate.

    The highest bit rates are those of MPEG-1, MPEG-2 and MPEG-2.5 (ISO/IEC 11172-3 and 13818-3).
    """
    highest, lowest = (320, 32) if sample_rate >= 32000 else (160, 8)
    if sample_rate < 16000:
        highest = 64
    return (highest - min(bitrate, highest)) / (highest - lowest)


class FfmpegSink:
    """Writes a file with an ffmpeg process, which reads float samples from a pipe."""

    def __init__(self, path: Path, sample_rate: int, channels: int, format: OutputFormat) -> None:
        require_encoder(format)
        self._format, self._rate = format, sample_rate
        command = _command(path, sample_rate, channels, format)
        self._process = FfmpegProcess(command, feeds=True)

    def write(self, block: Block) -> None:
        """Append frames.

        Raises:
            EncodeError: ffmpeg failed or was killed.
            OSError: the disk is full or does not respond.
        """
        try:
            self._process.write(block.astype("<f4").tobytes())
        except BrokenPipeError:
            raise self._failure(self._process.finish()) from None

    def close(self) -> None:
        """Finish the file.

        Raises:
            EncodeError: ffmpeg failed or was killed.
            OSError: the disk is full or does not respond.
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
            return OSError(
                f"nothing could be written for {ffmpeg_process.STALL_TIMEOUT_S:g} seconds"
            )
        if any(text in reason for text in _disk_errors()):
            return OSError(reason)
        return (
            _ended(self._format, -status)
            if status < 0
            else _refused(self._format, self._rate, reason)
        )


def _disk_errors() -> list[str]:
    """The texts by which ffmpeg reports a disk that is full, broken or read-only."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
    texts = map(os.strerror, numbers)
    return [text for text in texts if not text.startswith("Unknown error")]


def _ended(format: OutputFormat, number: int) -> Exception:
    """Return the error for an ffmpeg that was killed; SIGXFSZ comes from the file system."""
    if number == getattr(signal, "SIGXFSZ", None):
        return OSError("the file exceeds the largest size allowed here")
    return EncodeError(
        f"ffmpeg, which was writing {format.name}, was killed by another program "
        f"({signal.strsignal(number)}). Run the same command again"
    )


def _refused(format: OutputFormat, sample_rate: int, reason: str) -> EncodeError:
    is_set = format.bitrate is not None or format.quality is not None
    settings = " with these settings" if is_set else ""
    leave = f" leaving out {option('bitrate')}, or" if is_set else ""
    return EncodeError(
        f"ffmpeg cannot write {format.name} at {sample_rate} Hz{settings} ({reason}). Try{leave} "
        f"{setting(format='flac')}"
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
    # Without the encoder's name and a random serial number, equal audio gives equal bytes.
    stream = ffmpeg.output(
        stream, f"file:{path}", fflags="+bitexact", **{"flags:a": "+bitexact"}, **chosen
    )
    # Without -xerror, ffmpeg before 6 succeeds even if the disk is full when it closes the file.
    options = ("-xerror", "-nostdin", "-nostats", "-hide_banner", "-loglevel", "level+error")
    stream = stream.global_args(*options)
    return [str(word) for word in ffmpeg.compile(stream, cmd=find_ffmpeg(), overwrite_output=True)]
