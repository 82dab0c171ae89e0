"""Random studio effects for the mixes of the layout ``voices``.

Every function takes and returns ``channel time`` float32 of the same length, and draws from the
given generator, so that a clip depends only on the seed and its number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import soxr
import torch
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len, rfft
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

from model_zoo.ops.spectra import istft, stft
from trainers.data.recording import Clip, db_to_amplitude

OVERSAMPLING = 2
"""Oversampling factor of distortion, against aliasing of the overtones."""

MOMENTS = 6
"""Random positions to compare when looking for a loud moment to sustain."""

Effect = Callable[[Clip, int, np.random.Generator], Clip]

Curve = Callable[[np.ndarray], np.ndarray]
"""Function from frequencies in Hz to gains in dB."""

CHORD_STEPS = (3, 4, 5, 7, 12, 15, 16, 19)
"""Semitones above the root that chords are built from."""

CHOIR_STEPS = (-12, -9, -8, -7, -5, -4, -3, 3, 4, 5, 7, 8, 9, 12)
"""Consonant intervals in semitones."""


def within(bounds: tuple[float, ...], rng: np.random.Generator) -> float:
    """Draw a number from a uniform distribution."""
    low, high = bounds
    return float(rng.uniform(low, high))


def change_speed(clip: Clip, length: int, factor: float) -> Clip:
    """Play ``factor`` times as fast, changing pitch and formants; returns ``length`` samples.

    Frequencies above half the sample rate are removed. Needs at least ``ceil(length * factor)``
    samples.
    """
    source = clip[:, : int(np.ceil(length * factor))]
    return fitted(soxr.resample(source.T, factor, 1.0, quality="MQ").T, length)


def equaliser(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Equalize by a smooth random curve of up to 8 dB over 30 Hz to 22 kHz, at times low-passed."""
    smooth = smooth_curve(rng, (-8, 8))
    dark = rng.random() < 0.15
    corner = rng.uniform(4000, 14000) if dark else rate
    return shape(clip, rate, lambda hz: smooth(hz) - 24 * np.log2(np.maximum(hz / corner, 1)))


def smooth_curve(rng: np.random.Generator, db: tuple[float, ...]) -> Curve:
    """Draw a curve of seven gains within ``db``, evenly spaced over 30 Hz to 22 kHz on a log scale.

    That is 9.5 octaves, with linear interpolation; the curve is flat below and above.
    """
    low, high = db
    gains = rng.uniform(low, high, 7)

    def curve(hz: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(hz, 30) / 30)
        return np.interp(octaves, np.linspace(0, 9.5, 7), gains)

    return curve


def muffle(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Muffle the sound like a wall: 12 to 30 dB per octave above a corner of 300 Hz to 4 kHz."""
    corner, slope = 300 * (4000 / 300) ** rng.random(), rng.uniform(12, 30)
    return shape(clip, rate, lambda hz: -slope * np.log2(np.maximum(hz / corner, 1)))


def shape(clip: Clip, rate: int, curve: Curve) -> Clip:
    """Apply a gain curve; phases stay."""
    length = clip.shape[1]
    size = next_fast_len(length + rate // 50)
    gain = 10 ** (curve(np.fft.rfftfreq(size, 1 / rate)) / 20)
    return irfft(rfft(clip, size) * gain, size)[:, :length].astype(np.float32)


def darken(clip: Clip, rate: int, lowpass_hz: float) -> Clip:
    """Remove sound above ``lowpass_hz``, over a third of an octave; 0 removes nothing."""
    if not lowpass_hz:
        return clip
    return shape(clip, rate, lambda hz: -300 * np.log2(np.maximum(hz / lowpass_hz, 1)))


def room(
    clip: Clip,
    rate: int,
    rng: np.random.Generator,
    seconds: tuple[float, ...] = (0.15, 3.5),
    db: tuple[float, ...] = (-22.0, -6.0),
) -> Clip:
    """Add stereo reverb: noise that decays by 60 dB within ``seconds``.

    For white noise, its level is ``db`` relative to the sound; it starts up to 30 ms later.
    """
    count = max(1, int(within(seconds, rng) * rate))
    decay = db_to_amplitude(-60) ** (np.arange(count) / count)
    response = rng.standard_normal((2, count)).astype(np.float32) * decay
    smooth = rng.uniform(0, 0.8)
    response[:, 1:] += smooth * response[:, :-1]
    response /= np.sqrt(np.square(response).sum(1, keepdims=True))
    delay = int(rng.uniform(0, 0.03) * rate)
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    wet = fftconvolve(wide, response, axes=1)[:, : clip.shape[1]]
    return (wide + db_to_amplitude(within(db, rng)) * _later(wet, delay)).astype(np.float32)


def echo(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Add one to three fading echoes, each at its own pan position."""
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    out = np.array(wide, np.float64)
    delay, level = int(rng.uniform(0.06, 0.4) * rate), db_to_amplitude(rng.uniform(-18, -6))
    for repeat in range(1, int(rng.integers(2, 5))):
        out += rng.uniform(0.3, 1, (2, 1)) * level**repeat * _later(wide, repeat * delay)
    return out.astype(np.float32)


def doubling(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Add two late, slightly detuned copies, left and right."""
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    out = np.array(wide, np.float64)
    for side in range(2):
        shift = int(rng.uniform(0.008, 0.035) * rate)
        out[side] += db_to_amplitude(rng.uniform(-10, -2)) * _later(wide[side], shift)
    return out.astype(np.float32)


def harmonise(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Add two to four pitch-shifted copies across the stereo field, like a choir."""
    length = clip.shape[1]
    out = np.array(np.broadcast_to(clip, (2, length)))
    twice = np.concatenate([clip, clip], axis=1)
    for semitones in rng.choice(CHOIR_STEPS, int(rng.integers(2, 5))):
        copy = change_speed(twice, length, 2 ** (float(semitones) / 12))
        sides = rng.uniform(0.2, 1, (2, 1))
        out = out + sides * _later(copy, int(rng.uniform(0, 0.05) * rate))
    return (out / 2).astype(np.float32)


def sustain(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Hold a note as a sampler does: loop a loud moment of 0.1 to 0.6 s with cross-fades."""
    length = clip.shape[1]
    size = min(int(rng.uniform(0.1, 0.6) * rate), length)
    starts = rng.integers(0, length - size + 1, MOMENTS)
    moment = max((clip[:, at : at + size] for at in starts), key=lambda part: np.square(part).sum())
    fade = size // 3
    ramp = (np.arange(fade) + 0.5) / fade
    looped = moment * np.concatenate([ramp, np.ones(size - 2 * fade), ramp[::-1]])
    out = np.zeros((len(clip), length + 2 * size))
    for at in range(0, length + size, size - fade):
        out[:, at : at + size] += looped
    return out[:, fade : fade + length].astype(np.float32)


def smear(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Stretch a moment over the whole clip: 2 to 20 times slower, with random phases."""
    size = 2 * int(rng.uniform(0.05, 0.25) * rate)
    window, hop, length = np.hanning(size), size // 2, clip.shape[1]
    # Frames of random phase add up in power, so the squares of this window must sum to 1.
    fade = np.sqrt(window)
    out = np.zeros((2, length + 2 * size))
    slow, padded = rng.uniform(0.05, 0.5), np.pad(clip, ((0, 0), (0, 2 * size)))
    begin = int(rng.uniform(0, 1 - slow) * length)
    for at in range(0, length + hop, hop):
        source = begin + int(slow * at)
        magnitude = np.abs(rfft(padded[:, source : source + size] * window))
        phase = np.exp(2j * np.pi * rng.random((2, magnitude.shape[1])))
        out[:, at : at + size] += irfft(magnitude * phase, size) * fade
    return out[:, hop : hop + length].astype(np.float32)


def vocode(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Apply the voice's envelope to a chord of steady tones: a channel vocoder (Dudley 1939).

    Envelopes are averaged over 300 Hz and 25 ms to half a second: short ones keep words, long ones
    turn the voice into a pad.
    """
    envelope_hz, frames = 300, int(2 * 20 ** rng.random())
    window = torch.hann_window(rate // 40 * 2)
    hop = len(window) // 4
    tones = torch.from_numpy(chord(clip.shape[1], rate, rng))
    voice = stft(torch.from_numpy(clip.mean(0)), window, hop).abs().numpy()
    carrier = stft(tones, window, hop)
    bins = max(1, envelope_hz * len(window) // rate)
    target = uniform_filter(voice, (bins, frames))
    level = uniform_filter(carrier.abs().numpy(), (bins, 1)) + 1e-3
    sung = istft(carrier * torch.from_numpy(target / level), window, hop, clip.shape[1])
    return sung[None].numpy()


def chord(length: int, rate: int, rng: np.random.Generator) -> Float[np.ndarray, " time"]:
    """Return two to four steady sawtooth tones, the lowest between 40 and 200 Hz."""
    root = 40 * 5 ** rng.random()
    steps = [0, *rng.choice(CHORD_STEPS, int(rng.integers(1, 4)))]
    turns = np.outer(root * 2 ** (np.array(steps) / 12), np.arange(length) / rate)
    return (2 * ((turns + rng.random((len(steps), 1))) % 1) - 1).mean(0).astype(np.float32)


def overdrive(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Saturate softly by up to 12 dB; the peak stays, quieter sound gets louder."""
    peak = float(np.abs(clip).max()) + 1e-6
    drive = db_to_amplitude(rng.uniform(0, 12))
    fine = soxr.resample(clip.T, 1, OVERSAMPLING) / peak
    bent = np.tanh(drive * fine) * peak / np.tanh(drive)
    return fitted(soxr.resample(bent, OVERSAMPLING, 1).T, clip.shape[1]).astype(np.float32)


def compress(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Compress the levels of 20 ms blocks by a fifth to two thirds in dB, by at most 15 dB."""
    block = rate // 50
    count = -(-clip.shape[1] // block)
    padded = np.pad(clip, ((0, 0), (0, count * block - clip.shape[1])))
    rms = np.sqrt(np.square(padded.reshape(len(clip), count, block)).mean((0, 2))) + 1e-3
    gain = (rms / rms.max()) ** -rng.uniform(0.2, 0.66)
    places = (np.arange(count) + 0.5) * block
    curve = np.interp(np.arange(clip.shape[1]), places, np.minimum(gain, db_to_amplitude(15)))
    return (clip * curve).astype(np.float32)


def beside(effect: Effect) -> Effect:
    """Turn an effect into a layer added to the dry sound, at -8 to 8 dB relative to it.

    A held chord along with a voice is choir-like; alone it is more often a synthesizer.
    """

    def layered(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
        layer = effect(clip, rate, rng)
        level = np.sqrt(np.square(clip).mean() / (np.square(layer).mean() + 1e-9))
        return (clip + db_to_amplitude(rng.uniform(-8, 8)) * level * layer).astype(np.float32)

    return layered


VOICE_EFFECTS: tuple[tuple[Effect, float], ...] = (
    (beside(sustain), 0.15),
    (harmonise, 0.4),
    (beside(vocode), 0.6),
    (beside(smear), 0.2),
    (muffle, 0.35),
    (equaliser, 1.2),
    (compress, 1.0),
    (overdrive, 0.3),
    (doubling, 0.4),
    (echo, 0.4),
    (room, 1.2),
)
"""Effects in the order of a studio's chain, with frequencies relative to the recipe's chance."""

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


def _later(wave: np.ndarray, shift: int) -> np.ndarray:
    """Delay by ``shift`` samples, with silence before and the end cut off."""
    late = np.zeros_like(wave)
    late[..., shift:] = wave[..., : max(0, wave.shape[-1] - shift)]
    return late


def fitted(clip: Clip, length: int) -> Clip:
    """Cut, or pad with silence, to ``length``."""
    return np.pad(clip[:, :length], ((0, 0), (0, max(0, length - clip.shape[1]))))
