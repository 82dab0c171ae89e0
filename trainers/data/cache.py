"""Recordings that were decoded once, and what is known of files that were looked at once.

A decoded recording is named by what is in the file, so that one that moved is found again and one
that changed is not. To hash gigabytes at every start would take minutes, so the hash is known by
the file's path, size and time of change, one small file each: processes that learn the same at
once do no harm.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from model_zoo.errors import DecodeError
from model_zoo.files import sha256, staged
from stemcli.audio.reader import AudioReader, Block, open_audio
from stemcli.audio.resample import Resampler
from stemcli.audio.wav_sink import WavSink
from stemcli.engine.song import finite

STEREO = 2
HEX_DIGITS = 64
"""Length of a SHA-256 as text."""


def cache_folder() -> Path:
    """Where decoded recordings are kept; the variable STEM_CACHE names another place."""
    return Path(os.environ.get("STEM_CACHE") or user_cache_path("stem")) / "recordings"


def resampled(path: Path, stream: int, sample_rate: int) -> Path:
    """A WAV of a recording at a sample rate, decoded now if it is not in the cache.

    Args:
        path: of the recording.
        stream: number of the audio stream in it.
        sample_rate: in Hz.

    Raises:
        DecodeError: the file cannot be read, has more than two channels, or holds NaN.
        OutputError: the cache cannot be written.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    target = cache_folder() / f"{_content(path)}-{stream}-{sample_rate}.wav"
    if not _is_whole(target):
        # 16 bits take half the room of floats, and their noise lies far below what a lossy codec
        # leaves. But lossy codecs and resampling go beyond full scale where a song was mastered
        # up to it, and clipped stems would no longer add up to their mixture.
        with staged(target) as temporary:
            if not _decode(path, stream, sample_rate, temporary, "16"):
                _decode(path, stream, sample_rate, temporary, "32f")
    return target


def recall(path: Path, what: str) -> str:
    """What was remembered of a file since its last change; empty when nothing was."""
    try:
        return _note(path, what).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def remember(path: Path, what: str, value: str) -> None:
    """Remember something of a file until it changes.

    Raises:
        OutputError: the cache cannot be written.
    """
    with staged(_note(path, what)) as temporary:
        temporary.write_text(value, "utf-8")


def _note(path: Path, what: str) -> Path:
    status = path.stat()
    seen = f"{status.st_size} {status.st_mtime_ns} ".encode() + os.fsencode(path.resolve())
    return cache_folder() / "known" / f"{hashlib.sha256(seen).hexdigest()[:32]}.{what}"


def _content(path: Path) -> str:
    """The first half of the file's SHA-256."""
    known = recall(path, "sha256")
    if len(known) != HEX_DIGITS:
        known = sha256(path)
        remember(path, "sha256", known)
    return known[: HEX_DIGITS // 2]


def _is_whole(target: Path) -> bool:
    """Whether a WAV of :class:`~stemcli.audio.wav_sink.WavSink` is as long as its header says."""
    try:
        with target.open("rb") as file:
            head = file.read(28)
            size = target.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    if len(head) < 28:
        return False
    # RIFF has the size of what follows in its second word, RF64 in the chunk ds64 behind it.
    form, place = ("<Q", 20) if head[:4] == b"RF64" else ("<I", 4)
    (rest,) = struct.unpack_from(form, head, place)
    return bool(rest + 8 == size)


def _decode(path: Path, stream: int, sample_rate: int, target: Path, depth: str) -> bool:
    """Write a WAV block by block; gives up and says no where 16 bits would clip."""
    with open_audio(path, stream=stream) as reader:
        channels = reader.info.channels
        if channels > STEREO:
            raise DecodeError(f"{path} has {channels} channels: mix it down to two.")
        sink = WavSink(target, sample_rate, channels, depth)
        try:
            for block in _at_rate(reader, sample_rate):
                if depth == "16" and np.abs(block).max(initial=0) > 1:
                    return False
                sink.write(block)
            sink.close()
        finally:
            sink.abort()
    return True


def _at_rate(reader: AudioReader, sample_rate: int) -> Iterator[Block]:
    info = reader.info
    resampler = Resampler(info.sample_rate, sample_rate, info.channels)
    for block in finite(reader, info.path, info.sample_rate):
        yield resampler.push(block)
    yield resampler.finish()
