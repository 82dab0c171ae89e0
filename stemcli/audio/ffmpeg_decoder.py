"""Decodes with an ffmpeg process that writes 32-bit floats into a pipe.

The data in the pipe is Sun AU, whose 24-byte header holds the sample rate and the channels; only
the bit depth and the length are parsed from ffmpeg's log.
"""

from __future__ import annotations

import re
import struct
import threading
from dataclasses import replace
from pathlib import Path

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from model_zoo.errors import DecodeError, FfmpegMissingError, StemError
from stemcli.audio import ffmpeg_process
from stemcli.audio.allowed_formats import DEMUXERS
from stemcli.audio.containers.mp4 import movie_tick, real_frames
from stemcli.audio.containers.part import FilePart
from stemcli.audio.decoder import missing_sound, skip_by_decoding
from stemcli.audio.ffmpeg_binary import (
    complaints,
    fallback_notice,
    find_ffmpeg,
    missing_decoder,
    read_log,
)
from stemcli.audio.ffmpeg_process import FfmpegProcess
from stemcli.audio.info import (
    MALFORMED,
    AudioInfo,
    broken,
    cut_off,
    no_sound,
    not_sound,
    other_file,
    silent_film,
    stalled,
)
from stemcli.audio.tracks import AudioTrack, choice_notice, default_track, no_track, read_tracks

Block = NDArray[np.float32]

# Largest padding at the end of an MP4, in samples: one frame of HE-AAC.
_PADDING = 2048
_LOSSLESS = ("alac", "ape", "flac", "pcm_", "tak", "truehd", "tta", "wavpack", "wmalossless")


class FfmpegDecoder:
    """Decodes a file, or a part of it, with ffmpeg; see :class:`stemcli.audio.decoder.Decoder`.

    Args:
        part: the part of the file to decode.
        stream: number of the audio track from 0; None for the default one (``info.notices`` then
            mentions other tracks).
        ended: when it is set, reading stops at once with a KeyboardInterrupt.

    Raises:
        DecodeError: the file has no such track, or it cannot be decoded.
        FfmpegMissingError: ffmpeg is missing, broken or lacks the decoder.
    """

    def __init__(
        self,
        part: FilePart,
        stream: int | None = None,
        ended: threading.Event | None = None,
    ) -> None:
        self._part, self._path, self._ended = part, part.path, ended
        self._stream = stream or 0
        self._begin(_command(part, self._stream))
        try:
            header, tracks = self._on_track(stream)
            self.info = self._read_header(header, tracks)
        except BaseException:
            self.close()
            raise
        notices = (choice_notice(tracks, self._stream) if stream is None else "", fallback_notice())
        self.info = replace(self.info, notices=tuple(filter(None, notices)))
        self._counted, self._slack = self._count()
        if self._counted is not None:
            self.info = replace(self.info, frames=self._counted)
        self._length = self._counted  # without padding
        self._position = 0  # frames
        self.loss = ""
        self._held = np.empty((0, self.info.channels), np.float32)

    def read(self, frames: int) -> Block:
        """Return the next frames, ``(n, channels)``; n = 0 only at the end."""
        block = self._without_padding(self._pull(frames))
        if len(block) == 0 and frames:
            self._check_end()
        return block

    def skip(self, frames: int) -> None:
        """Skip frames by decoding them: ffmpeg's seeking is not exact in every container."""
        skip_by_decoding(self, frames)

    def close(self) -> None:
        """Stop the process."""
        self._process.close()

    def _begin(self, command: list[str]) -> None:
        self._process = FfmpegProcess(command, ended=self._ended)
        self._log = self._process.log

    def _count(self) -> tuple[int | None, int]:
        """Frames of the track by the format's own count, and how many fewer there may be.

        The count is None if the format has none.
        """
        if self._part.frames and self._stream == 0:
            return self._part.frames, 0
        base = self._part.pieces[0][0] if self._part.pieces else 0
        rate = self.info.sample_rate
        try:
            counted = real_frames(self._path, rate, self._stream, base)
            return counted, movie_tick(self._path, rate, base)
        except MALFORMED:
            return None, 0

    def _on_track(self, requested: int | None) -> tuple[bytes, list[AudioTrack]]:
        """First bytes of the track, and all tracks; restarts ffmpeg if the default is not first."""
        header, tracks = self._bytes(24), read_tracks(read_log(self._log))
        default = default_track(tracks)
        if requested is None and default:
            self._process.close()
            self._stream = default
            self._begin(_command(self._part, default))
            header = self._bytes(24)
        return header, tracks

    def _read_header(self, header: bytes, tracks: list[AudioTrack]) -> AudioInfo:
        """Parse the AU header (magic, data offset, size, encoding, rate, channels) and the log."""
        if len(header) < 24:
            self._process.finish()
            raise _nothing(self._part, read_log(self._log), self._stream, tracks)
        _, offset, _, _, rate, channels = struct.unpack(">6I", header)
        self._bytes(offset - 24)
        log = read_log(self._log)
        seconds = _duration(log)
        frames = round(seconds * rate) if seconds else None
        return AudioInfo(self._path, rate, channels, frames, _depth(log, self._stream))

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
        """Cut at the length in the container, if only an encoder's padding follows."""
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
        """The next ``count`` bytes, fewer only at the end."""
        read = bytearray()
        while len(read) < count and (part := self._process.read(count - len(read))):
            read += part
        if self._process.stalled:
            raise stalled(self._path, ffmpeg_process.STALL_TIMEOUT_S)
        return bytes(read)

    def _check_end(self) -> None:
        """Raise an error if ffmpeg failed before it decoded all samples that the format counts."""
        part, status = self._part, self._process.finish()
        errors = complaints(read_log(self._log))
        counted, rate = self._counted, self.info.sample_rate
        reason = errors[-1] if errors else f"ffmpeg ended with {status}"
        if counted is not None and 0 < counted - self._position <= self._slack:
            counted = self._position
        is_all_there = counted is not None and self._position >= counted
        if status and not is_all_there:
            seconds = part.before + self._position / rate
            raise broken(part.path, seconds, part.total or self.info.seconds, reason)
        trusts_ffmpeg = counted is None and not part.is_walked
        flaw = part.flaw_with_time or (errors[-1] if errors and trusts_ffmpeg else "")
        if is_all_there and part.breaks_off and not part.frames:
            flaw = ""  # the index of an MP4 is complete, and only data after it is missing
        self.loss = missing_sound(part, rate, self._position, counted, flaw)


def _command(part: FilePart, number: int) -> list[str]:
    """The ffmpeg command, which can read this one file only.

    ``file:`` prevents ffmpeg from taking a name with a colon for a URL; the whitelists prevent it
    from following a playlist or a script to other files, devices or the network.
    """
    address = f"file:{part.path}"
    if part.pieces:
        start, end = part.pieces[0][0], part.pieces[-1][1]
        address = f"subfile,,start,{start},end,{end},,:{address}"
    only = {"protocol_whitelist": "file,subfile", "format_whitelist": DEMUXERS}
    forced = {"format": part.muxer} if part.muxer else {}
    stream = ffmpeg.input(address, **only, **forced)
    stream = ffmpeg.output(stream, "pipe:", map=f"0:a:{number}", format="au", acodec="pcm_f32be")
    strict = () if part.breaks_off else ("-xerror",)  # it fails on an incomplete last packet
    stream = stream.global_args("-nostdin", "-nostats", "-hide_banner", *strict)
    stream = stream.global_args("-loglevel", "level+info")
    return [str(word) for word in ffmpeg.compile(stream, cmd=find_ffmpeg())]


def _nothing(part: FilePart, log: str, stream: int, tracks: list[AudioTrack]) -> StemError:
    """Return the error for a file from which ffmpeg decoded nothing."""
    path, codec = part.path, missing_decoder(log)
    if tracks and stream >= len(tracks):
        return no_track(path, stream, tracks)
    if codec:
        return _no_decoder(path, codec)
    errors = complaints(log)
    if part.breaks_off:
        return cut_off(path, part.flaw)
    if tracks:
        return broken(path, 0.0, None, errors[-1]) if errors else no_sound(path)
    if "not on whitelist" in log:
        return other_file(path)
    has_pictures = re.search(r"Video: (?!ansi)", log)  # ffmpeg decodes plain text as ANSI art
    return silent_film(path) if has_pictures else not_sound(path)


def _no_decoder(path: Path, codec: str) -> StemError:
    if codec in ("none", "unknown"):
        return DecodeError(
            f"{path} uses an audio codec that ffmpeg does not know. Convert it to wav or flac"
        )
    return FfmpegMissingError(
        f"{find_ffmpeg()} cannot read {path}, because it was built without a decoder for {codec}. "
        "Install a complete ffmpeg"
    )


def _duration(log: str) -> float | None:
    """Seconds, from ``Duration: 00:03:48.18``; None if ffmpeg guessed them from the bit rate."""
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
