"""Long recordings on disk that excerpts are cut from without reading the rest.

A recording is decoded once, resampled and kept as 16-bit samples in a cache that is keyed by
what is in the file, so that a changed file is decoded again and a moved one is not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int16
from platformdirs import user_cache_path

from model_zoo.errors import DecodeError
from model_zoo.files import sha256, staged
from stemcli.audio.reader import open_audio
from stemcli.audio.resample import Resampler
from stemcli.engine.song import finite

FULL_SCALE = 32767
STEREO = 2
SILENCE = 10 ** (-40 / 20)
"""RMS below which an excerpt counts as empty: -40 dB full scale."""

Clip = Float[np.ndarray, "_channel _time"]


def cache_folder() -> Path:
    """Where decoded recordings are kept; the variable STEM_CACHE names another place."""
    return Path(os.environ.get("STEM_CACHE") or user_cache_path("stem")) / "recordings"


@dataclass(frozen=True)
class Recording:
    """A decoded recording, mapped into memory.

    Attributes:
        samples: int16 array, ``time channel``.
        sample_rate: in Hz.
    """

    samples: np.ndarray
    sample_rate: int

    def excerpt(self, length: int, rng: np.random.Generator, tries: int = 8) -> Clip:
        """A random stretch of ``length`` samples with sound in it, as float32.

        A recording shorter than that is padded with silence; when every try is near silence, the
        last one is returned.
        """
        for _ in range(tries):
            start = int(rng.integers(0, max(1, len(self.samples) - length + 1)))
            clip = self.samples[start : start + length].T.astype(np.float32) / FULL_SCALE
            if np.sqrt(np.mean(np.square(clip))) > SILENCE:
                break
        return np.pad(clip, ((0, 0), (0, length - clip.shape[1])))


def open_recording(path: Path, sample_rate: int) -> Recording:
    """Map a recording into memory, decoding it first if it is not in the cache.

    Raises:
        DecodeError: the file cannot be read, has more than two channels, holds NaN or is silent.
        OutputError: the cache cannot be written.
    """
    stored = cache_folder() / f"{_content_key(path)}-{sample_rate}.npy"
    if not stored.exists():
        _decode(path, sample_rate, stored)
    return Recording(np.load(stored, mmap_mode="r"), sample_rate)


def _content_key(path: Path) -> str:
    try:
        return sha256(path)[:16]
    except OSError as error:
        raise DecodeError(
            f"Cannot read {path}: {error.strerror}. Check --data and the recipe's file names."
        ) from error


def _decode(path: Path, sample_rate: int, target: Path) -> None:
    with open_audio(path) as reader:
        if reader.info.channels > STEREO:
            raise DecodeError(f"{path} has {reader.info.channels} channels: mix it down to two.")
        resampler = Resampler(reader.info.sample_rate, sample_rate, reader.info.channels)
        heard = finite(reader, path, reader.info.sample_rate)
        blocks = [_whole_numbers(resampler.push(block)) for block in heard]
    blocks.append(_whole_numbers(resampler.finish()))
    samples = np.concatenate(blocks)
    if np.abs(samples).max(initial=0) < SILENCE * FULL_SCALE:
        raise DecodeError(f"{path} is silent: give a recording in which there is something to hear")
    with staged(target) as temporary, temporary.open("wb") as file:
        np.save(file, samples)


def _whole_numbers(
    block: Float[np.ndarray, "time channel"],
) -> Int16[np.ndarray, "time channel"]:
    return (block.clip(-1, 1) * FULL_SCALE).round().astype(np.int16)
