"""Synthetic audio for tests, written in any format."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from stemcli.audio.ffmpeg_binary import find_ffmpeg

# Written by libsndfile; ffmpeg writes all other formats.
SOUNDFILE = {"wav", "flac", "aiff", "ogg", "mp3", "w64", "caf"}


def tones(frames: int = 22050, sample_rate: int = 44100, channels: int = 2) -> NDArray[np.float32]:
    """Two steady tones per channel, ``(frames, channels)``, the channels 110 Hz apart.

    Every sample is a whole number of 16-bit steps, so lossless formats keep it exactly.
    """
    time = np.arange(frames)[:, None] / sample_rate
    pitch = 220.0 + 110.0 * np.arange(channels)
    wave = 0.3 * np.sin(2 * np.pi * pitch * time) + 0.2 * np.sin(2 * np.pi * 2.7 * pitch * time)
    return (np.rint(wave * 32768) / 32768).astype(np.float32)


def noisy_tones(frames: int, sample_rate: int = 44100) -> NDArray[np.float32]:
    """Stereo tones under synthetic noise, with a nearly constant bit rate in every codec."""
    steps = (np.arange(2 * frames, dtype=np.uint64) * 2654435761 % 2**32) / 2**32 - 0.5
    return (0.3 * steps.reshape(frames, 2) + 0.5 * tones(frames, sample_rate)).astype(np.float32)


def write_audio(
    path: Path, wave: NDArray[np.float32], sample_rate: int = 44100, subtype: str | None = None
) -> Path:
    """Write ``wave``, ``(frames, channels)``, in the format that the extension names.

    Args:
        path: the file; ffmpeg's formats (m4a, opus, wma, mkv, mp4, webm) work too.
        wave: the samples.
        sample_rate: in Hz.
        subtype: soundfile's name of the encoding, such as ``"PCM_24"`` or ``"FLOAT"``.
    """
    if path.suffix.lstrip(".") in SOUNDFILE:
        soundfile.write(path, wave, sample_rate, subtype=subtype)
    else:
        ffmpeg("-f", "f32le", "-ar", sample_rate, "-ac", wave.shape[1], "-i", "-", path, sound=wave)
    return path


def stems_in_one_file(path: Path, waves: list[NDArray[np.float32]], codec: str) -> Path:
    """Write an MP4 with one audio stream per wave, split from one stream of all channels."""
    pans = [f"[0:a]pan=stereo|c0=c{2 * i}|c1=c{2 * i + 1}[s{i}]" for i in range(len(waves))]
    maps = [word for i in range(len(waves)) for word in ("-map", f"[s{i}]")]
    sound = ("-f", "f32le", "-ar", 44100, "-ac", 2 * len(waves), "-i", "-")
    graph = ("-filter_complex", ";".join(pans), *maps, "-c:a", codec)
    ffmpeg(*sound, *graph, path, sound=np.concatenate(waves, axis=1))
    return path


def ffmpeg(*args: object, sound: NDArray[np.float32] | None = None) -> bytes:
    """Run ffmpeg with ``sound`` as 32-bit floats on its stdin; returns its stdout."""
    command = [find_ffmpeg(), "-v", "error", "-y", *map(str, args)]
    stdin = b"" if sound is None else sound.astype("<f4").tobytes()
    return subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout
