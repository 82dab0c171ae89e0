"""What a studio does to a sound, drawn at random.

Every function takes and gives ``channel time`` float32 at the same length, and draws from the
generator that it is handed, so that a clip depends on the seed and its number alone.
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
"""Rate at which a curve is applied to samples, relative to theirs: overtones fold back later."""

MOMENTS = 6
"""Places of a clip that are listened to for one loud enough to be held."""

Effect = Callable[[Clip, int, np.random.Generator], Clip]

Curve = Callable[[np.ndarray], np.ndarray]
"""Takes frequencies in Hz and gives levels in dB."""

CHORD_STEPS = (3, 4, 5, 7, 12, 15, 16, 19)
"""Semitones above the root that chords are made of."""

CHOIR_STEPS = (-12, -9, -8, -7, -5, -4, -3, 3, 4, 5, 7, 8, 9, 12)
"""Intervals in semitones that sound well with what they are added to."""


def within(bounds: tuple[float, ...], rng: np.random.Generator) -> float:
    """Any number between a lower and an upper bound, each as likely."""
    low, high = bounds
    return float(rng.uniform(low, high))


def change_speed(clip: Clip, length: int, factor: float) -> Clip:
    """Play ``factor`` times as fast, pitch and formants with it; the result has ``length`` samples.

    What would come to lie above half the sample rate is left out. Needs ``ceil(length * factor)``
    samples or more.
    """
    source = clip[:, : int(np.ceil(length * factor))]
    return fitted(soxr.resample(source.T, factor, 1.0, quality="MQ").T, length)


def equaliser(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """A smooth random curve of up to 8 dB over 30 Hz to 22 kHz; now and then a low pass."""
    smooth = smooth_curve(rng, (-8, 8))
    dark = rng.random() < 0.15
    corner = rng.uniform(4000, 14000) if dark else rate
    return shape(clip, rate, lambda hz: smooth(hz) - 24 * np.log2(np.maximum(hz / corner, 1)))


def smooth_curve(rng: np.random.Generator, db: tuple[float, ...]) -> Curve:
    """Seven gains drawn from the range ``db``, evenly over 30 Hz to 22 kHz, joined by lines.

    Those are 9.5 octaves; below and above them the curve is flat.
    """
    low, high = db
    gains = rng.uniform(low, high, 7)

    def curve(hz: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(hz, 30) / 30)
        return np.interp(octaves, np.linspace(0, 9.5, 7), gains)

    return curve


def muffle(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """A voice behind a wall: 12 to 30 dB an octave less above a corner of 300 Hz to 4 kHz."""
    corner, slope = 300 * (4000 / 300) ** rng.random(), rng.uniform(12, 30)
    return shape(clip, rate, lambda hz: -slope * np.log2(np.maximum(hz / corner, 1)))


def shape(clip: Clip, rate: int, curve: Curve) -> Clip:
    """Change levels by ``curve``; the phase stays."""
    length = clip.shape[1]
    size = next_fast_len(length + rate // 50)
    gain = 10 ** (curve(np.fft.rfftfreq(size, 1 / rate)) / 20)
    return irfft(rfft(clip, size) * gain, size)[:, :length].astype(np.float32)


def darken(clip: Clip, rate: int, lowpass_hz: float) -> Clip:
    """Remove all sound above ``lowpass_hz``, over a third of an octave; 0 removes nothing."""
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
    """Stereo reverberation: noise that decays by 60 dB in ``seconds``.

    It has ``db`` of the energy of a sound without structure and starts up to 30 ms after it.
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
    """One to three fading repeats, each at its own side."""
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    out = np.array(wide, np.float64)
    delay, level = int(rng.uniform(0.06, 0.4) * rate), db_to_amplitude(rng.uniform(-18, -6))
    for repeat in range(1, int(rng.integers(2, 5))):
        out += rng.uniform(0.3, 1, (2, 1)) * level**repeat * _later(wide, repeat * delay)
    return out.astype(np.float32)


def doubling(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Two late copies, slightly off in time, left and right of the voice."""
    wide = np.broadcast_to(clip, (2, clip.shape[1]))
    out = np.array(wide, np.float64)
    for side in range(2):
        shift = int(rng.uniform(0.008, 0.035) * rate)
        out[side] += db_to_amplitude(rng.uniform(-10, -2)) * _later(wide[side], shift)
    return out.astype(np.float32)


def harmonise(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Two to four copies at the steps of a scale, spread over the stereo field: a choir."""
    length = clip.shape[1]
    out = np.array(np.broadcast_to(clip, (2, length)))
    twice = np.concatenate([clip, clip], axis=1)
    for semitones in rng.choice(CHOIR_STEPS, int(rng.integers(2, 5))):
        copy = change_speed(twice, length, 2 ** (float(semitones) / 12))
        sides = rng.uniform(0.2, 1, (2, 1))
        out = out + sides * _later(copy, int(rng.uniform(0, 0.05) * rate))
    return (out / 2).astype(np.float32)


def sustain(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Hold a note as a sampler does: a loud moment of 0.1 to 0.6 s over and over, cross-faded."""
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
    """Hold a moment of the sound for the whole clip: slowed down 2 to 20 times at random phase."""
    size = 2 * int(rng.uniform(0.05, 0.25) * rate)
    window, hop, length = np.hanning(size), size // 2, clip.shape[1]
    # Frames of random phase add up by their powers: the squares of this one sum to 1.
    fade = np.sqrt(window)
    out = np.zeros((2, length + 2 * size))
    slow, padded = rng.uniform(0.05, 0.5), np.pad(clip, ((0, 0), (0, 2 * size)))
    begin = int(rng.uniform(0, 1 - slow) * length)
    for at in range(0, length + hop, hop):
        heard = begin + int(slow * at)
        magnitude = np.abs(rfft(padded[:, heard : heard + size] * window))
        phase = np.exp(2j * np.pi * rng.random((2, magnitude.shape[1])))
        out[:, at : at + size] += irfft(magnitude * phase, size) * fade
    return out[:, hop : hop + length].astype(np.float32)


def vocode(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """The voice's envelope on a chord of steady tones: a channel vocoder (Dudley 1939).

    Envelopes are means over 300 Hz and 25 ms to half a second: at the short end words stay, at the
    long end a pad is left that was a voice.
    """
    envelope_hz, frames = 300, int(2 * 20 ** rng.random())
    window = torch.hann_window(rate // 40 * 2)
    hop = len(window) // 4
    tones = torch.from_numpy(chord(clip.shape[1], rate, rng))
    voice = stft(torch.from_numpy(clip.mean(0)), window, hop).abs().numpy()
    carrier = stft(tones, window, hop)
    bins = max(1, envelope_hz * len(window) // rate)
    wanted = uniform_filter(voice, (bins, frames))
    found = uniform_filter(carrier.abs().numpy(), (bins, 1)) + 1e-3
    sung = istft(carrier * torch.from_numpy(wanted / found), window, hop, clip.shape[1])
    return sung[None].numpy()


def chord(length: int, rate: int, rng: np.random.Generator) -> Float[np.ndarray, " time"]:
    """Two to four saw-tooth tones of steady pitch, the lowest between 40 and 200 Hz."""
    root = 40 * 5 ** rng.random()
    steps = [0, *rng.choice(CHORD_STEPS, int(rng.integers(1, 4)))]
    turns = np.outer(root * 2 ** (np.array(steps) / 12), np.arange(length) / rate)
    return (2 * ((turns + rng.random((len(steps), 1))) % 1) - 1).mean(0).astype(np.float32)


def overdrive(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Soft saturation by up to 12 dB; the peak stays where it was, what is quieter gets louder."""
    peak = float(np.abs(clip).max()) + 1e-6
    drive = db_to_amplitude(rng.uniform(0, 12))
    fine = soxr.resample(clip.T, 1, OVERSAMPLING) / peak
    bent = np.tanh(drive * fine) * peak / np.tanh(drive)
    return fitted(soxr.resample(bent, OVERSAMPLING, 1).T, clip.shape[1]).astype(np.float32)


def compress(clip: Clip, rate: int, rng: np.random.Generator) -> Clip:
    """Even out the loudness of 20 ms blocks by a fifth to two thirds of its decibels, up to 15."""
    block = rate // 50
    count = -(-clip.shape[1] // block)
    padded = np.pad(clip, ((0, 0), (0, count * block - clip.shape[1])))
    rms = np.sqrt(np.square(padded.reshape(len(clip), count, block)).mean((0, 2))) + 1e-3
    gain = (rms / rms.max()) ** -rng.uniform(0.2, 0.66)
    places = (np.arange(count) + 0.5) * block
    curve = np.interp(np.arange(clip.shape[1]), places, np.minimum(gain, db_to_amplitude(15)))
    return (clip * curve).astype(np.float32)


def beside(effect: Effect) -> Effect:
    """The effect as a layer beside the untouched sound, 8 dB quieter to 8 dB louder than it.

    A held chord that goes with a voice is a choir's; one on its own is more often a synthesiser's.
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


def _later(wave: np.ndarray, shift: int) -> np.ndarray:
    """``shift`` samples later, silent until then and cut at the end."""
    late = np.zeros_like(wave)
    late[..., shift:] = wave[..., : max(0, wave.shape[-1] - shift)]
    return late


def fitted(clip: Clip, length: int) -> Clip:
    """Cut, or padded with silence, to ``length``."""
    return np.pad(clip[:, :length], ((0, 0), (0, max(0, length - clip.shape[1]))))
