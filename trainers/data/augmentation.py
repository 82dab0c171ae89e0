"""What a studio does to a sound, drawn at random.

Every function takes and gives ``channel time`` float32 at the same length, and draws from the
generator that it is handed, so that a clip depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import fftconvolve

from trainers.data.pool import Clip

Effect = Callable[[Clip, int, np.random.Generator], Clip]


def decibels(db: float) -> float:
    """Amplitude factor of a level in dB."""
    return float(10 ** (db / 20))


def change_speed(clip: Clip, length: int, factor: float) -> Clip:
    """Play ``factor`` times as fast, pitch and formants with it; the result has ``length``.

    Needs ``ceil(length * factor)`` samples or more.
    """
    source = clip[:, : int(np.ceil(length * factor))]
    played = soxr.resample(source.T, factor, 1.0, quality="MQ").T
    return np.pad(played[:, :length], ((0, 0), (0, max(0, length - played.shape[1]))))


def equaliser(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """A smooth random curve of up to 8 dB over seven octave bands; now and then a low pass."""
    length = clip.shape[1]
    size = next_fast_len(length + rate // 50)
    hz = np.fft.rfftfreq(size, 1 / rate)
    octaves = np.log2(np.maximum(hz, 30) / 30)
    curve = np.interp(octaves, np.linspace(0, 9.5, 7), rng.uniform(-8, 8, 7))
    if rng.random() < 0.15:
        curve -= 24 * np.maximum(0, np.log2(np.maximum(hz, 1) / rng.uniform(4000, 14000)))
    shaped = irfft(rfft(clip, size) * 10 ** (curve / 20), size)
    return shaped[:, :length].astype(np.float32)


def room(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Stereo reverberation: noise that decays in 0.15 to 1.8 s, at -22 to -6 dB."""
    seconds = rng.uniform(0.15, 1.8)
    count = int(seconds * rate)
    decay = np.exp(-6.9 * np.arange(count) / count)
    response = rng.standard_normal((2, count)).astype(np.float32) * decay
    smooth = rng.uniform(0, 0.8)
    response[:, 1:] += smooth * response[:, :-1]
    response /= np.sqrt(np.square(response).sum(1, keepdims=True))
    delay = int(rng.uniform(0, 0.03) * rate)
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    wet = fftconvolve(wide, response, axes=1)[:, : clip.shape[1]]
    wet = np.pad(wet, ((0, 0), (delay, 0)))[:, : clip.shape[1]]
    return (wide + decibels(rng.uniform(-22, -6)) * wet).astype(np.float32)


def echo(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """One to three fading repeats, each at its own side."""
    out = np.array(np.broadcast_to(clip, (2, clip.shape[1])))
    delay, level = int(rng.uniform(0.06, 0.4) * rate), decibels(rng.uniform(-18, -6))
    for repeat in range(1, int(rng.integers(2, 5))):
        shift = repeat * delay
        if shift >= clip.shape[1]:
            break
        sides = rng.uniform(0.3, 1, (2, 1)) * level**repeat
        out[:, shift:] += sides * np.broadcast_to(clip, (2, clip.shape[1]))[:, :-shift]
    return out.astype(np.float32)


def doubling(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Two late copies, slightly off in time, left and right of the voice."""
    out = np.array(np.broadcast_to(clip, (2, clip.shape[1])))
    for side in range(2):
        shift = int(rng.uniform(0.008, 0.035) * rate)
        out[side, shift:] += decibels(rng.uniform(-10, -2)) * clip[side % len(clip), :-shift]
    return out.astype(np.float32)


def overdrive(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Soft saturation by up to 12 dB, level kept."""
    peak = float(np.abs(clip).max()) + 1e-6
    drive = decibels(rng.uniform(0, 12)) / peak
    return (np.tanh(clip * drive) * peak / np.tanh(drive * peak)).astype(np.float32)


def compress(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Even out the loudness of 20 ms blocks by up to two thirds."""
    block = rate // 50
    count = -(-clip.shape[1] // block)
    padded = np.pad(clip, ((0, 0), (0, count * block - clip.shape[1])))
    rms = np.sqrt(np.square(padded.reshape(len(clip), count, block)).mean((0, 2))) + 1e-3
    gain = (rms / rms.max()) ** -rng.uniform(0.2, 0.66)
    places = (np.arange(count) + 0.5) * block
    curve = np.interp(np.arange(clip.shape[1]), places, np.minimum(gain, decibels(15)))
    return (clip * curve).astype(np.float32)


VOICE_EFFECTS: tuple[tuple[Effect, float], ...] = (
    (equaliser, 1.2),
    (compress, 1.0),
    (overdrive, 0.3),
    (doubling, 0.4),
    (echo, 0.4),
    (room, 1.2),
)
"""In the order of a studio's chain, with how often each is used relative to the recipe's rate."""

BACKING_EFFECTS: tuple[tuple[Effect, float], ...] = ((equaliser, 0.8), (compress, 0.3))


def apply_chain(
    clip: Clip,
    rate: int,
    chain: tuple[tuple[Effect, float], ...],
    chance: float,
    rng: np.random.Generator,
) -> Clip:
    """Apply each effect of a chain with its share of ``chance``."""
    for effect, share in chain:
        if rng.random() < chance * share:
            clip = effect(clip, rate, rng)
    return clip
