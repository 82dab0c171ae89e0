"""What lossy codecs leave of a sound: encoded and decoded again in memory."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import soundfile
import soxr

from model_zoo.errors import EncodeError
from trainers.data.effects import fitted
from trainers.data.recording import Clip

CODECS = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}
"""Containers of libsndfile and what is in them."""

RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""Sample rates in Hz of MPEG-1, 2 and 2.5 layer III; Vorbis has them too."""

USUAL_RATE = 44_100

HIGHEST_COMPRESSION = 0.99
"""libsndfile refuses 1 for MP3, although its documentation allows it."""

BLOCK = 1 << 14
"""Samples handed over at once: libsndfile crashes on a minute of Vorbis in one piece."""


def round_trip(clip: Clip, rate: int, container: str, compression: float) -> Clip:
    """Encode and decode: the same length, the same place in time, fewer details.

    Args:
        clip: one or two channels, of any peak.
        rate: its sample rate in Hz; one that MP3 does not have goes by way of 44.1 kHz.
        container: a key of :data:`CODECS`.
        compression: from 0 (the best) to 1 (the smallest file).

    Raises:
        EncodeError: the installed libsndfile is too old to write this format.
    """
    if rate not in RATES:
        usual = _resampled(clip, rate, USUAL_RATE)
        coded = round_trip(usual, USUAL_RATE, container, compression)
        return fitted(_resampled(coded, USUAL_RATE, rate), clip.shape[1])
    peak = np.float32(max(1.0, np.abs(clip).max(initial=0)))
    file = _encoded((clip / peak).T, rate, container, compression)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return fitted(decoded.T * peak, clip.shape[1])


def _encoded(samples: np.ndarray, rate: int, container: str, compression: float) -> BytesIO:
    """The bytes of a sound file; ``samples`` is ``time channel`` between -1 and 1."""
    if not soundfile.check_format(container, CODECS[container]):
        raise EncodeError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {container}. "
            "Type: pip install --upgrade soundfile, or set data.augmentation.codec.chance to 0"
        )
    file = BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        rate,
        samples.shape[1],
        CODECS[container],
        format=container,
        compression_level=min(compression, HIGHEST_COMPRESSION),
    ) as writer:
        for start in range(0, len(samples), BLOCK):
            writer.write(samples[start : start + BLOCK])
    file.seek(0)
    return file


def _resampled(clip: Clip, rate: int, wanted: int) -> Clip:
    return soxr.resample(clip.T, rate, wanted).T
