"""Lossy codecs in memory: delay by cross-correlation with the input, and levels."""

from __future__ import annotations

import numpy as np
import pytest

from model_zoo.errors import EncodeError
from tests.trainers.data.variations import noise, rms
from trainers.data import augmentation
from trainers.data.augmentation import CODECS, round_trip

every_container = pytest.mark.parametrize("container", list(CODECS))


def red_noise(length: int) -> np.ndarray:
    """Noise that falls by 6 dB per octave, like music; its peak is a half."""
    clip = np.cumsum(noise(length), axis=1)
    clip -= np.linspace(clip[:, 0], clip[:, -1], length, axis=1)
    return (0.5 * clip / np.abs(clip).max()).astype(np.float32)


def lag(clip: np.ndarray, late: np.ndarray) -> int:
    """Delay of ``late`` after ``clip`` in samples."""
    size = 2 * clip.shape[1]
    spectra = np.fft.rfft(clip, size).conj() * np.fft.rfft(late, size)
    found = int(np.fft.irfft(spectra.sum(0)).argmax())
    return found if found < size // 2 else found - size


@every_container
@pytest.mark.parametrize("rate", [8000, 44_100, 48_000, 37_800, 96_000])
@pytest.mark.parametrize("compression", [0.2, 0.9])
def test_codecs_do_not_delay_the_clip(container: str, rate: int, compression: float) -> None:
    """MP3 does not have the last two sample rates."""
    clip = red_noise(rate // 2 + 17)
    late = np.pad(clip, ((0, 0), (3, 0)))[:, :-3]
    assert lag(clip, late) == 3
    coded = round_trip(clip, rate, container, compression)
    assert coded.shape == clip.shape
    assert coded.dtype == np.float32
    assert lag(clip, coded) == 0
    assert 0 < rms(coded - clip) < 0.2 * rms(clip)


@every_container
def test_more_compression_has_more_error(container: str) -> None:
    clip = noise(22_050)
    errors = [rms(round_trip(clip, 44_100, container, level) - clip) for level in (0, 0.5, 1)]
    assert errors == sorted(errors)
    assert errors[2] > 2 * errors[0] > 0


@every_container
def test_peaks_above_1_are_kept(container: str) -> None:
    """The codec receives clips scaled by a power of two, which does not round."""
    clip = red_noise(10_000) * 4
    coded = round_trip(clip, 44_100, container, 0.3)
    assert np.abs(coded).max() > 1.5
    assert rms(coded - clip) < 0.2 * rms(clip)
    assert np.array_equal(round_trip(4 * clip, 44_100, container, 0.3), 4 * coded)


@every_container
def test_silence_and_single_samples(container: str) -> None:
    assert not round_trip(np.zeros((2, 5000), np.float32), 44_100, container, 0.5).any()
    for channels, length in ((1, 1), (2, 100)):
        clip = 0.1 * np.ones((channels, length), np.float32)
        assert round_trip(clip, 8000, container, 0.5).shape == (channels, length)


def test_long_vorbis_clips_are_complete() -> None:
    """libsndfile 1.2 would crash if it encoded the clip in one piece."""
    clip = np.zeros((2, 2_700_000), np.float32)
    clip[:, -1000:] = tone = 0.5 * np.sin(np.arange(1000) / 5)
    coded = round_trip(clip, 8000, "OGG", 0.5)
    assert coded.shape == clip.shape
    assert rms(coded[:, -1000:] - tone) < 0.1


def test_a_libsndfile_without_a_codec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation.soundfile, "check_format", lambda *_: False)
    with pytest.raises(EncodeError, match=r"libsndfile \d.* cannot write MP3\. Try: pip install"):
        round_trip(noise(100), 8000, "MP3", 0.5)
