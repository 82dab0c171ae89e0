"""Reads excerpts of recordings, which are decoded once and cached.

A decoded recording is named by a hash of the file's content, so that it is still valid for a moved
file, and not for a changed one. Hashing gigabytes at every start would take minutes, so hashes are
stored by path, size and modification time, in one small file each: processes that store the same
hash at the same time do not conflict.

WAV, AIFF and FLAC files at the sample rate of the network are read in place. Other files are
decoded once, block by block, into a WAV file of the cache.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from model_zoo.errors import DecodeError
from model_zoo.files import cache_home, sha256, staged
from stemcli.audio.encoders import WavSink
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import require_file
from stemcli.audio.reader import AudioReader, Block, open_audio, sound_parts
from stemcli.audio.resample import Resampler
from stemcli.audio.soundfile_decoder import StraightFile, open_soundfile
from stemcli.engine.song import finite
from trainers.data.tracks import Source

STEREO = 2
FINITE = "finite"
"""Name of the note that a floating-point file holds no NaN."""

HEX_DIGITS = 64
"""Length of a hexadecimal SHA-256."""


def cache_folder() -> Path:
    """Return the folder of decoded recordings, in the cache."""
    return cache_home() / "recordings"


def resampled(path: Path, stream: int, sample_rate: int) -> Path:
    """Return a WAV of a recording at a sample rate, decoding it if it is not in the cache.

    Args:
        path: the recording.
        stream: index of the audio stream in it.
        sample_rate: sample rate in Hz.

    Raises:
        DecodeError: the file cannot be read, has more than two channels, or holds NaN.
        OutputError: the cache cannot be written.
        FfmpegMissingError: the file needs ffmpeg, which is not installed.
    """
    target = cache_folder() / f"{_content(path)}-{stream}-{sample_rate}.wav"
    if not _is_whole(target):
        # 16 bits take half the space of floats, and their noise is far below that of a lossy codec.
        # But lossy codecs and resampling exceed full scale if a song was mastered up to it, and
        # clipped stems would no longer add up to their mixture.
        with staged(target) as temporary:
            if not _decode(path, stream, sample_rate, temporary, "16"):
                _decode(path, stream, sample_rate, temporary, "32f")
    return target


def recall(path: Path, what: str) -> str:
    """Return a note stored for a file since its last change; empty if there is none."""
    try:
        return _note(path, what).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def remember(path: Path, what: str, value: str) -> None:
    """Store a note for a file, valid until the file changes.

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
    """Return the first half of the file's SHA-256."""
    known = recall(path, "sha256")
    if len(known) != HEX_DIGITS:
        known = sha256(path)
        remember(path, "sha256", known)
    return known[: HEX_DIGITS // 2]


def _is_whole(target: Path) -> bool:
    """Return whether a WAV of :class:`~stemcli.audio.encoders.WavSink` has its declared size."""
    try:
        with target.open("rb") as file:
            head = file.read(28)
            size = target.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return False
    if len(head) < 28:
        return False
    # RIFF has the size of the rest in its second word, RF64 in the following chunk ds64.
    form, position = ("<Q", 20) if head[:4] == b"RF64" else ("<I", 4)
    (rest,) = struct.unpack_from(form, head, position)
    return bool(rest + 8 == size)


def _decode(path: Path, stream: int, sample_rate: int, target: Path, depth: str) -> bool:
    """Write a WAV block by block; stops and returns False if 16 bits would clip."""
    with open_audio(path, stream=stream) as reader:
        channels = reader.info.channels
        if channels > STEREO:
            raise DecodeError(f"{path} has {channels} channels: mix it down to two")
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


def db_to_amplitude(db: float) -> float:
    """Convert a level in dB to an amplitude factor."""
    return float(10 ** (db / 20))


SILENCE_RMS = db_to_amplitude(-40)
"""RMS below which an excerpt counts as silent: -40 dB full scale."""

EXACT = ("PCM_", "FLOAT", "DOUBLE")
"""Prefixes of soundfile's names of encodings with sample-accurate seeking."""

Clip = Float[np.ndarray, "_channel _time"]


@dataclass(frozen=True)
class Recording:
    """A file with sample-accurate seeking that is opened again for each excerpt.

    So thousands of recordings need no open files, and data loader processes share none.

    Attributes:
        path: the recording itself, or its decoded copy.
        frames: samples per channel.
        channels: one or two.
        sample_rate: sample rate in Hz.
        name: display name of the recording.
    """

    path: Path
    frames: int
    channels: int
    sample_rate: int
    name: str

    def read(self, start: int, length: int) -> Clip:
        """Read ``length`` samples from ``start`` in stereo, padded with silence at the end.

        Raises:
            DecodeError: the file is damaged, or has changed.
        """
        clip = np.zeros((STEREO, length), np.float32)
        available = self._cut(start, length)
        clip[:, : available.shape[1]] = available
        return clip

    def excerpt(self, length: int, rng: np.random.Generator, tries: int = 8) -> Clip:
        """Read a random excerpt of ``length`` samples with sound in it, in the file's channels.

        Shorter recordings are padded with silence; if every try is nearly silent, the last one is
        returned.

        Raises:
            DecodeError: the file is damaged, or has changed.
        """
        for _ in range(tries):
            clip = self._cut(int(rng.integers(0, max(1, self.frames - length + 1))), length)
            if is_loud(clip):
                break
        return np.pad(clip, ((0, 0), (0, length - clip.shape[1])))

    def _cut(self, start: int, length: int) -> Clip:
        """Read at most ``length`` samples from ``start``."""
        count = min(length, max(0, self.frames - start))
        if not count:
            return np.zeros((self.channels, 0), np.float32)
        try:
            with StraightFile(self.path) as file:
                file.seek(start)
                clip = file.read(count, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            raise self._damaged(start) from error
        if clip.shape != (self.channels, count):
            raise self._damaged(start)
        return clip

    def _damaged(self, start: int) -> DecodeError:
        return DecodeError(
            f"{self.name} cannot be read at {start / self.sample_rate:.2f} s: it is damaged, or"
            f" has "
            "changed during the run. Restore the file, then run it again with --resume"
        )


def rms(clip: Clip) -> float:
    """Return the root mean square over all samples and channels; 0 for an empty clip."""
    return float(np.sqrt(np.mean(np.square(clip)))) if clip.size else 0.0


def peak_of(clip: np.ndarray) -> float:
    """Return the largest absolute sample; 0 for an empty clip."""
    return float(np.abs(clip).max(initial=0.0))


@cache
def recording_peak(recording: Recording) -> float:
    """Return the largest absolute sample of a whole recording; cached until the file changes.

    Raises:
        DecodeError: the file cannot be read.
        OutputError: the cache cannot be written.
    """
    known = recall(recording.path, "peak")
    if not known:
        with open_audio(recording.path) as reader:
            known = repr(max(map(peak_of, reader), default=0.0))
        remember(recording.path, "peak", known)
    return float(known)


def is_loud(clip: Clip) -> bool:
    """Return whether the RMS of a clip is above :data:`SILENCE_RMS`."""
    return rms(clip) > SILENCE_RMS


def open_recording(path: Path, sample_rate: int, stream: int = 0) -> Recording:
    """Open a recording at a sample rate, decoding it into the cache if necessary.

    Args:
        path: the file.
        sample_rate: sample rate in Hz.
        stream: index of the audio stream in it.

    Raises:
        DecodeError: the file cannot be read, has more than two channels, or holds NaN.
        OutputError: the cache cannot be written.
        FfmpegMissingError: the file needs ffmpeg, which is not installed.
    """
    require_file(path)
    found = None if stream else _in_place(path, sample_rate)
    return found or _open(resampled(path, stream, sample_rate), str(path))


def open_recordings(sources: Iterable[Source], sample_rate: int) -> list[Recording]:
    """Open many recordings at once, decoding in parallel by ffmpeg and libsndfile.

    Raises:
        DecodeError: a file cannot be read, as in :func:`open_recording`.
        OutputError: the cache cannot be written.
        FfmpegMissingError: a file needs ffmpeg, which is not installed.
    """
    with decoding_pool() as pool:
        opened = [
            pool.submit(open_recording, source.path, sample_rate, source.stream)
            for source in sources
        ]
        return [one.result() for one in opened]


def require_sound(recording: Recording) -> None:
    """Refuse a recording that is never louder than :data:`SILENCE_RMS`.

    Raises:
        DecodeError: it is silent, or cannot be read.
    """
    if not is_sounding(recording):
        raise DecodeError(silent_recording(recording.name))


def silent_recording(name: str) -> str:
    """Report a silent recording of the layout ``voices`` in one sentence."""
    return f"{name} is silent: use a recording with sound in it"


def is_sounding(recording: Recording) -> bool:
    """Return whether a recording is ever louder than :data:`SILENCE_RMS`; reads no further.

    Raises:
        DecodeError: the file cannot be read.
    """
    with open_audio(recording.path) as reader:
        return any(np.abs(block).max() >= SILENCE_RMS for block in reader)


def _in_place(path: Path, sample_rate: int) -> Recording | None:
    """Open a file in place; None if it has no sample-accurate seeking or needs resampling."""
    part, *others = sound_parts(path)
    decoder = open_soundfile(part) if part.is_whole and not others else None
    if decoder is None:
        return None
    decoder.close()
    with StraightFile(path) as file:
        encoding = file.subtype
    fits = decoder.info.sample_rate == sample_rate and decoder.info.channels <= STEREO
    if not fits or not encoding.startswith(EXACT):
        return None
    if not encoding.startswith("PCM_"):
        _require_numbers(path)
    return _open(path, str(path))


def _require_numbers(path: Path) -> None:
    """Check a floating-point file once for NaN, which would break the network's weights."""
    if not recall(path, FINITE):
        with open_audio(path) as reader:
            for _ in finite(reader, path, reader.info.sample_rate):
                pass
        remember(path, FINITE, "yes")


def _open(path: Path, name: str) -> Recording:
    with StraightFile(path) as file:
        return Recording(path, file.frames, file.channels, file.samplerate, name)


def read_wave(path: Path) -> tuple[Float[np.ndarray, "channel time"], int]:
    """Samples of a recording in float32, and its sample rate in Hz.

    Raises:
        DecodeError: the file cannot be read.
    """
    with open_audio(path) as reader:
        return np.concatenate(list(reader)).T, reader.info.sample_rate
