"""The mixing desk: compression, a room, panning, one master gain for all stems, 16-bit rounding.

Whatever is done to the sum is done to every stem alike, so that the stems add up to the song.
Signals are float arrays of shape (frames,) or (frames, 2) at 44.1 kHz.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d
from scipy.signal import butter, fftconvolve, firwin, lfilter, sosfilt

Signal = NDArray[np.float64]
Samples = NDArray[np.int16]

SAMPLE_RATE = 44_100  # Hz
PEAK = -1.0  # dB below full scale: the highest sample of the song
LIMITING = 3.0  # dB by which the highest peak of the sum is held back
LOOKAHEAD = 0.006  # seconds
BANDWIDTH = 15_500  # Hz; as in much music that was once MP3, and a smaller FLAC
STEP = 8  # of 32768: the lowest three bits stay zero, noise of -83 dB and a smaller FLAC

REVERB_SECONDS = 1.1  # until 60 dB down
REVERB_DELAY = 0.018  # seconds
REVERB_LEVEL = -15.0  # dB, of the room beside the dry voice


def gain(decibels: float) -> float:
    """The factor of a level in decibels."""
    return 10 ** (decibels / 20)


def loudness(signal: Signal) -> float:
    """Root mean square in dB of the 50 ms pieces that sound: those within 30 dB of the loudest."""
    piece = SAMPLE_RATE // 20
    whole = len(signal) // piece * piece
    power = np.square(signal[:whole]).reshape(whole // piece, -1).mean(axis=1)
    return float(10 * np.log10(power[power > power.max() / 1e3].mean()))


def highpass(signal: Signal, frequency: float) -> Signal:
    """Take away what lies below a frequency in Hz, at 24 dB per octave."""
    return sosfilt(butter(4, frequency, "highpass", fs=SAMPLE_RATE, output="sos"), signal, axis=0)


def lowpass(signal: Signal, frequency: float) -> Signal:
    """Take away what lies above a frequency in Hz, without delay."""
    return fftconvolve(signal, firwin(401, frequency, fs=SAMPLE_RATE)[:, None], "same", axes=0)


def compress(signal: Signal, *, above: float, ratio: float) -> Signal:
    """Even out the loudness of a mono signal.

    Args:
        signal: shape (frames,).
        above: threshold in dB relative to the loudness of the whole signal.
        ratio: a rise of this many dB above the threshold comes out as one.
    """
    level = 10 * np.log10(_smooth(np.square(signal), 0.012) + 1e-12)
    excess = np.maximum(level - loudness(signal) - above, 0)
    return signal * 10 ** (-_smooth(excess, 0.03) * (1 - 1 / ratio) / 20)


def _smooth(signal: Signal, seconds: float) -> Signal:
    step = 1 - np.exp(-1 / (seconds * SAMPLE_RATE))
    return lfilter([step], [1, step - 1], signal)


def pan(signal: Signal, place: float) -> Signal:
    """Mono to stereo at constant power: -1 is left, 0 the centre, 1 right."""
    angle = (place + 1) * np.pi / 4
    return signal[:, None] * np.array([np.cos(angle), np.sin(angle)]) * np.sqrt(2)


def room(signal: Signal) -> Signal:
    """The stereo echo of a small hall: noise that dies away, darker than the sound itself."""
    time = np.arange(round(REVERB_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    noise = np.random.default_rng(7).normal(size=(len(time), 2))
    tail = noise * (10 ** (-3 * time / REVERB_SECONDS))[:, None]
    tail = lfilter([0.4], [1, -0.6], highpass(tail, 250), axis=0)
    tail = np.pad(tail / np.sqrt(np.square(tail).sum(axis=0)), ((_frames(REVERB_DELAY), 0), (0, 0)))
    echo = fftconvolve(signal, tail, axes=0)[: len(signal)]
    return gain(REVERB_LEVEL) * echo


def narrow(signal: Signal, width: float) -> Signal:
    """Bring the sides closer to the centre: width 0 is mono, 1 changes nothing."""
    centre = signal.mean(axis=1, keepdims=True)
    return centre + width * (signal - centre)


def master(stems: Mapping[str, Signal]) -> dict[str, Signal]:
    """Limit the song and its instrumental, with one gain curve shared by all stems."""
    song = np.sum([*stems.values()], axis=0)
    loudest = np.abs(song).max(axis=1)
    peaks = np.maximum(loudest, np.abs(song - stems["vocals"]).max(axis=1))
    curve = _limiter(peaks, loudest.max() * gain(-LIMITING))
    curve *= gain(PEAK) / (loudest * curve).max()
    return {name: stem * curve[:, None] for name, stem in stems.items()}


def _limiter(peaks: Signal, ceiling: float) -> Signal:
    # The lowest gain around each sample, then a mean over the same window: never above what a
    # peak allows, and without corners.
    window = 2 * _frames(LOOKAHEAD) + 1
    needed = minimum_filter1d(np.minimum(1, ceiling / np.maximum(peaks, 1e-9)), window)
    shape = np.hanning(window + 2)[1:-1]
    padded = np.pad(needed, window // 2, mode="edge")
    return fftconvolve(padded, shape / shape.sum(), mode="valid")


def finish(signal: Signal, seconds: float) -> Signal:
    """Limit the bandwidth and let the last seconds fall to silence."""
    length = _frames(seconds)
    curve = np.ones(len(signal))
    curve[-length:] = np.cos(np.linspace(0, np.pi / 2, length)) ** 2
    return lowpass(signal, BANDWIDTH) * curve[:, None]


def quantize(signal: Signal) -> Samples:
    """Round to 16 bits, without dither so that silence stays zero."""
    assert np.abs(signal).max() < 1, "a stem is louder than full scale"
    return (np.round(signal * 32768 / STEP) * STEP).astype(np.int16)


def write(path: Path, samples: Samples) -> None:
    """Write a 16-bit FLAC file, packed as tightly as the format can."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)
