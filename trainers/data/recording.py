"""Excerpts of recordings from disk, decoded once and cached.

A decoded recording is named by what is in the file, so that one that moved is found again and one
that changed is not. To hash gigabytes at every start would take minutes, so the hash is known by
the file's path, size and time of change, one small file each: processes that learn the same at
once do no harm.

A WAV, AIFF or FLAC at the sample rate of the network is read in place. Everything else is decoded
once, block by block, into a file of :mod:`trainers.data.recording`, which is then read in place.
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
from platformdirs import user_cache_path

from model_zoo.errors import DecodeError
from model_zoo.files import sha256, staged
from stemcli.audio.encoders import WavSink
from stemcli.audio.ffmpeg_process import decoding_pool
from stemcli.audio.info import require_file
from stemcli.audio.reader import AudioReader, Block, open_audio, sound_parts
from stemcli.audio.resample import Resampler
from stemcli.audio.soundfile_decoder import StraightFile, open_soundfile
from stemcli.engine.song import finite
from trainers.data.tracks import Source

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
    """Whether a WAV of :class:`~stemcli.audio.encoders.WavSink` is as long as its header says."""
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


def db_to_amplitude(db: float) -> float:
    """The factor of the amplitude for a level in dB."""
    return float(10 ** (db / 20))


SILENCE_RMS = db_to_amplitude(-40)
"""RMS below which an excerpt counts as empty: -40 dB full scale."""

EXACT = ("PCM_", "FLOAT", "DOUBLE")
"""Encodings, by the beginning of soundfile's names, in which every sample can be sought."""

Clip = Float[np.ndarray, "_channel _time"]


@dataclass(frozen=True)
class Recording:
    """A file in which every sample can be sought; opened anew for each excerpt.

    So thousands of recordings need no open files, and helper processes share none.

    Attributes:
        path: of the file: the recording itself, or what it was decoded into.
        frames: samples per channel.
        channels: one or two.
        sample_rate: in Hz.
        name: of the recording itself, for people.
    """

    path: Path
    frames: int
    channels: int
    sample_rate: int
    name: str

    def read(self, start: int, length: int) -> Clip:
        """``length`` samples from ``start`` on, in stereo; beyond the end there is silence.

        Raises:
            DecodeError: the file is damaged there, or was changed.
        """
        clip = np.zeros((STEREO, length), np.float32)
        heard = self._cut(start, length)
        clip[:, : heard.shape[1]] = heard
        return clip

    def excerpt(self, length: int, rng: np.random.Generator, tries: int = 8) -> Clip:
        """A random stretch of ``length`` samples with sound in it, in the recording's channels.

        A recording shorter than that is padded with silence; when every try is near silence, the
        last one is returned.

        Raises:
            DecodeError: the file is damaged, or was changed.
        """
        for _ in range(tries):
            clip = self._cut(int(rng.integers(0, max(1, self.frames - length + 1))), length)
            if is_loud(clip):
                break
        return np.pad(clip, ((0, 0), (0, length - clip.shape[1])))

    def _cut(self, start: int, length: int) -> Clip:
        """What there is from ``start`` on, ``length`` samples at most."""
        wanted = min(length, max(0, self.frames - start))
        if not wanted:
            return np.zeros((self.channels, 0), np.float32)
        try:
            with StraightFile(self.path) as file:
                file.seek(start)
                clip = file.read(wanted, dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            raise self._damaged(start) from error
        if clip.shape != (self.channels, wanted):
            raise self._damaged(start)
        return clip

    def _damaged(self, start: int) -> DecodeError:
        return DecodeError(
            f"{self.name} cannot be read at {start / self.sample_rate:.2f} s any more: it is "
            "damaged, or was changed during the run. Copy it again and run it again with --resume"
        )


def rms(clip: Clip) -> float:
    """Root of the mean square over all samples and channels; 0 without any."""
    return float(np.sqrt(np.mean(np.square(clip)))) if clip.size else 0.0


def peak_of(clip: np.ndarray) -> float:
    """Largest absolute sample; 0 without any."""
    return float(np.abs(clip).max(initial=0.0))


@cache
def recording_peak(recording: Recording) -> float:
    """Largest absolute sample of a whole recording, read once in its life.

    Raises:
        DecodeError: it cannot be read.
        OutputError: the cache cannot be written.
    """
    known = recall(recording.path, "peak")
    if not known:
        with open_audio(recording.path) as reader:
            known = repr(max(map(peak_of, reader), default=0.0))
        remember(recording.path, "peak", known)
    return float(known)


def is_loud(clip: Clip) -> bool:
    """Whether the RMS of a clip is above :data:`SILENCE_RMS`."""
    return rms(clip) > SILENCE_RMS


def open_recording(path: Path, sample_rate: int, stream: int = 0) -> Recording:
    """Open a recording at a sample rate, decoding it first if that is needed and was never done.

    Args:
        path: the file.
        sample_rate: in Hz.
        stream: number of the audio stream in it.

    Raises:
        DecodeError: the file cannot be read, has more than two channels, or holds NaN.
        OutputError: the cache cannot be written.
        FfmpegMissingError: only ffmpeg could read it, and there is none.
    """
    require_file(path)
    found = None if stream else _in_place(path, sample_rate)
    return found or _open(resampled(path, stream, sample_rate), str(path))


def open_recordings(sources: Iterable[Source], sample_rate: int) -> list[Recording]:
    """Open many recordings at once: decoding is work of ffmpeg and libsndfile, in parallel.

    Raises:
        DecodeError: as :func:`open_recording` does, for the first that does not do.
        OutputError: the cache cannot be written.
        FfmpegMissingError: only ffmpeg could read one, and there is none.
    """
    with decoding_pool() as pool:
        opened = [
            pool.submit(open_recording, source.path, sample_rate, source.stream)
            for source in sources
        ]
        return [one.result() for one in opened]


def require_sound(recording: Recording) -> None:
    """Refuse a recording in which nothing is ever louder than :data:`SILENCE_RMS`.

    Raises:
        DecodeError: it is silent, or cannot be read.
    """
    if not is_sounding(recording):
        raise DecodeError(
            f"{recording.name} is silent: give a recording in which there is something to hear"
        )


def is_sounding(recording: Recording) -> bool:
    """Whether something is ever louder than :data:`SILENCE_RMS`; reads up to there.

    Raises:
        DecodeError: it cannot be read.
    """
    with open_audio(recording.path) as reader:
        return any(np.abs(block).max() >= SILENCE_RMS for block in reader)


def _in_place(path: Path, sample_rate: int) -> Recording | None:
    """The file as it is; None where libsndfile does not seek to the sample, or it does not fit."""
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
    """Read a file of floating point through, once in its life: a NaN would spoil the network."""
    if not recall(path, "finite"):
        with open_audio(path) as reader:
            for _ in finite(reader, path, reader.info.sample_rate):
                pass
        remember(path, "finite", "yes")


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
