"""Decode with an ffmpeg process that writes 32-bit floats into a pipe.

The pipe speaks Sun AU: its 24-byte header names the sample rate and the channels, so only the bit
depth and the length are read from ffmpeg's prose.
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

# Most samples of padding at the end of an MP4: one frame of HE-AAC.
_PADDING = 2048
_LOSSLESS = ("alac", "ape", "flac", "pcm_", "tak", "truehd", "tta", "wavpack", "wmalossless")


class FfmpegDecoder:
    """One running process; see :class:`stemcli.audio.decoder.Decoder`.

    Args:
        part: the file, or the stretch of it that is decoded.
        stream: number of the sound track from 0; None for the default one, of which
            ``info.notices`` tells where there are others.
        ended: makes reading end at once with a KeyboardInterrupt when it is set.

    Raises:
        DecodeError: the file has no such track, or it cannot be decoded.
        FfmpegMissingError: there is no ffmpeg that works, or it lacks the decoder.
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
        """The next frames, ``(n, channels)``; n = 0 only at the end."""
        block = self._without_padding(self._pull(frames))
        if len(block) == 0 and frames:
            self._check_end()
        return block

    def skip(self, frames: int) -> None:
        """Go forward by decoding: ffmpeg's own seeking is not exact for every container."""
        skip_by_decoding(self, frames)

    def close(self) -> None:
        """Stop the process."""
        self._process.close()

    def _begin(self, command: list[str]) -> None:
        self._process = FfmpegProcess(command, ended=self._ended)
        self._log = self._process.log

    def _count(self) -> tuple[int | None, int]:
        """Frames of the track by the format's own count, and how many fewer there may be.

        None where it counts none.
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

    def _on_track(self, asked: int | None) -> tuple[bytes, list[AudioTrack]]:
        """The first bytes of the track, and all tracks; starts again where it is not the first."""
        header, tracks = self._bytes(24), read_tracks(read_log(self._log))
        default = default_track(tracks)
        if asked is None and default:
            self._process.close()
            self._stream = default
            self._begin(_command(self._part, default))
            header = self._bytes(24)
        return header, tracks

    def _read_header(self, header: bytes, tracks: list[AudioTrack]) -> AudioInfo:
        """The AU header (magic, offset of data, size, encoding, rate, channels) and the log."""
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
        """The next ``count`` bytes, fewer only at the end."""
        read = bytearray()
        while len(read) < count and (part := self._process.read(count - len(read))):
            read += part
        if self._process.stalled:
            raise stalled(self._path, ffmpeg_process.STALL_TIMEOUT_S)
        return bytes(read)

    def _check_end(self) -> None:
        """Fail where ffmpeg did, unless it had found all samples that the format counts."""
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
            flaw = ""  # the index of an MP4 counts them, and only what follows it is missing
        self.loss = missing_sound(part, rate, self._position, counted, flaw)


def _command(part: FilePart, number: int) -> list[str]:
    """Reads one file of sound and nothing else.

    ``file:`` keeps ffmpeg from taking a name with a colon for an address, the white lists keep it
    from following a playlist or a script to other files, to devices and to the network.
    """
    address = f"file:{part.path}"
    if part.pieces:
        start, end = part.pieces[0][0], part.pieces[-1][1]
        address = f"subfile,,start,{start},end,{end},,:{address}"
    only = {"protocol_whitelist": "file,subfile", "format_whitelist": DEMUXERS}
    forced = {"format": part.muxer} if part.muxer else {}
    stream = ffmpeg.input(address, **only, **forced)
    stream = ffmpeg.output(stream, "pipe:", map=f"0:a:{number}", format="au", acodec="pcm_f32be")
    strict = () if part.breaks_off else ("-xerror",)  # else an incomplete end takes all with it
    stream = stream.global_args("-nostdin", "-nostats", "-hide_banner", *strict)
    stream = stream.global_args("-loglevel", "level+info")
    return [str(word) for word in ffmpeg.compile(stream, cmd=find_ffmpeg())]


def _nothing(part: FilePart, log: str, stream: int, tracks: list[AudioTrack]) -> StemError:
    """Too few tracks, none that can be decoded, no samples, pictures alone, or no sound file."""
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
    has_pictures = re.search(r"Video: (?!ansi)", log)  # ffmpeg takes a text for a film of letters
    return silent_film(path) if has_pictures else not_sound(path)


def _no_decoder(path: Path, codec: str) -> StemError:
    if codec in ("none", "unknown"):
        return DecodeError(
            f"{path} holds sound in a codec that ffmpeg does not know: convert it to wav or flac"
        )
    return FfmpegMissingError(
        f"{find_ffmpeg()} cannot read {path}, because it was built without a decoder for {codec}: "
        "install a complete ffmpeg"
    )


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
