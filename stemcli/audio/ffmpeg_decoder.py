"""Decode with an ffmpeg process that writes 32-bit floats into a pipe.

The pipe speaks Sun AU: its 24-byte header names the sample rate and the channels, so only the bit
depth and the length are read from ffmpeg's prose.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import DecodeError
from stemcli.audio.cut_short import cut_short
from stemcli.audio.ffmpeg_binary import complaints, find_ffmpeg, read_log
from stemcli.audio.info import AudioInfo
from stemcli.audio.mp4_header import movie_tick, real_frames
from stemcli.audio.part import Part
from stemcli.audio.source import broken, no_sound, no_stream, not_sound, silent_film

Block = NDArray[np.float32]

# Most samples of padding at the end of an MP4: one frame of HE-AAC.
_PADDING = 2048
_STEP = 65536
_LOSSLESS = ("alac", "ape", "flac", "pcm_", "tak", "truehd", "tta", "wavpack", "wmalossless")


class FfmpegDecoder:
    """One running process; see :class:`stemcli.audio.decoder.Decoder`.

    Args:
        part: the file, or the stretch of it that is decoded.
        stream: number of the audio stream that is decoded.

    Raises:
        DecodeError: the file has no such stream, or it cannot be decoded.
        FfmpegMissingError: there is no ffmpeg.
    """

    def __init__(self, part: Part, stream: int = 0) -> None:
        path = part.path
        command = _command(part, stream)
        self._part, self._stream = part, stream
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        try:
            self.info = self._read_header(path)
        except DecodeError:
            self.close()
            raise
        base = part.pieces[0][0] if part.pieces else 0
        self._counted = part.frames or real_frames(path, self.info.sample_rate, stream, base)
        if self._counted is not None:
            self.info = replace(self.info, frames=self._counted)
        self._slack = 0 if part.frames else movie_tick(path, self.info.sample_rate, base)
        self._length = self._counted  # without padding
        self._position = 0  # frames
        self.loss = ""
        self._held = np.empty((0, self.info.channels), np.float32)

    def read(self, frames: int) -> Block:
        """The next frames, ``(n, channels)``; n = 0 only at the end."""
        block = self._without_padding(self._pull(frames))
        if len(block) == 0 and frames:
            self._check_end()
        return block

    def skip(self, frames: int) -> None:
        """Go forward by decoding: ffmpeg's own seeking is not exact for every container."""
        while frames > 0 and (got := len(self.read(min(frames, _STEP)))):
            frames -= got

    def close(self) -> None:
        """Stop the process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._log.close()

    def _read_header(self, path: Path) -> AudioInfo:
        """The AU header (magic, offset of data, size, encoding, rate, channels) and the log."""
        header = self._bytes(24)
        if len(header) < 24:
            self._process.wait()
            raise _nothing(path, read_log(self._log), self._stream)
        _, offset, _, _, rate, channels = struct.unpack(">6I", header)
        self._bytes(offset - 24)
        log = read_log(self._log)
        seconds = _duration(log)
        frames = round(seconds * rate) if seconds else None
        return AudioInfo(path, rate, channels, frames, _depth(log, self._stream))

    def _pull(self, frames: int) -> Block:
        if len(self._held):
            block, self._held = self._held[:frames], self._held[frames:]
            return block
        width = 4 * self.info.channels
        data = self._bytes(frames * width)
        samples = np.frombuffer(data[: len(data) // width * width], ">f4").astype(np.float32)
        self._position += len(samples) // self.info.channels
        return samples.reshape(-1, self.info.channels)

    def _without_padding(self, block: Block) -> Block:
        """Cut at the container's length, if no more than an encoder's padding follows."""
        if self._length is None or self._position <= self._length:
            return block
        excess = self._position - self._length
        self._length = None
        rest = self._pull(_PADDING)
        if excess + len(rest) <= _PADDING:
            return block[: len(block) - excess]
        self._held = rest
        return block

    def _bytes(self, count: int) -> bytes:
        return self._process.stdout.read(count) if self._process.stdout else b""

    def _check_end(self) -> None:
        """Fail where ffmpeg did, unless it had found all samples that the format counts."""
        status = self._process.wait()
        errors = complaints(read_log(self._log))
        counted, rate = self._counted, self.info.sample_rate
        reason = errors[-1] if errors else f"ffmpeg ended with {status}"
        if counted is not None and 0 < counted - self._position <= self._slack:
            counted = self._position
        is_all_there = counted is not None and self._position >= counted
        if status and not is_all_there:
            raise broken(self.info.path, self._position / rate, self.info.seconds, reason)
        part = self._part
        trusts_ffmpeg = counted is None and not part.is_walked
        flaw = part.flaw or (errors[-1] if errors and trusts_ffmpeg else "")
        self.loss = cut_short(rate, self._position, counted, flaw, breaks_off=part.breaks_off)


def _command(part: Part, number: int) -> list[str]:
    """``file:`` keeps ffmpeg from taking a name with a colon for an address."""
    address = f"file:{part.path}"
    if part.pieces:
        start, end = part.pieces[0][0], part.pieces[-1][1]
        address = f"subfile,,start,{start},end,{end},,:{address}"
    forced = {"format": part.muxer} if part.muxer else {}
    stream = ffmpeg.input(address, **forced)
    stream = ffmpeg.output(stream, "pipe:", map=f"0:a:{number}", format="au", acodec="pcm_f32be")
    strict = () if part.breaks_off else ("-xerror",)  # else an incomplete end takes all with it
    stream = stream.global_args("-nostdin", "-nostats", "-hide_banner", *strict)
    stream = stream.global_args("-loglevel", "level+info")
    return [str(word) for word in ffmpeg.compile(stream, cmd=find_ffmpeg())]


def _nothing(path: Path, log: str, stream: int) -> DecodeError:
    """A stream of no samples, too few streams, pictures without sound, or no stream at all."""
    streams, errors = log.count("Audio:"), complaints(log)
    if stream < streams and errors:
        return broken(path, 0.0, None, errors[-1])
    if streams:
        return no_sound(path) if stream < streams else no_stream(path, stream, streams)
    has_pictures = re.search(r"Video: (?!ansi)", log)  # ffmpeg takes a text for a film of letters
    return silent_film(path) if has_pictures else not_sound(path)


def _duration(log: str) -> float | None:
    """Seconds, from ``Duration: 00:03:48.18``; None when ffmpeg guessed them from the bit rate."""
    match = re.search(r"Duration: (\d+):(\d+):(\d+\.\d+)", log)
    if not match or "Estimating duration" in log:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _depth(log: str, stream: int) -> str:
    """From the stream's line, as in ``Audio: alac (alac / 0x63616C61), ..., s32p (24 bit)``."""
    found = re.findall(r"Audio: (\w+)(.*)", log)[stream : stream + 1]
    codec, rest = found[0] if found else ("", "")
    if not codec.startswith(_LOSSLESS):
        return "16"
    if re.search(r", (flt|dbl)p?\b", rest):
        return "32f"
    return "24" if re.search(r", s(24|32|64)p?\b", rest) else "16"
