"""Tempo and pitch of a sound, each without the other, by a phase vocoder.

Frames of a spectrogram are read at another speed; where that skips or repeats one, phases are
turned so that every partial goes on as it did. All bins around a peak turn by one angle, which is
the identity phase locking of Laroche and Dolson 1999 (https://doi.org/10.1109/89.759041). Without
it, as in ``torchaudio.functional.phase_vocoder``, the bins of a partial drift apart and cancel: a
steady tone loses 10 dB and more. Both channels turn alike, so that the stereo image stays.

Another pitch is another tempo, undone by playing faster or slower.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Complex, Float, Int

from model_zoo.ops.stft import istft, stft
from trainers.data.effects import change_speed, fitted
from trainers.data.recording import Clip

WINDOW_SECONDS = 0.046
"""Two periods of the lowest note of a bass, 41 Hz, need as much; drums smear when it is longer."""

OVERLAP = 4
"""Windows over each sample: with a Hann window, fewer do not add up to a smooth sound."""

Frames = Complex[np.ndarray, "_channel _frame _freq"]


def needed_samples(length: int, rate: int, tempo: float) -> int:
    """Samples that :func:`retune` reads to give ``length`` of them.

    A window more than what is played: the last frames would otherwise hear the end of the sound.
    """
    return math.ceil(length * tempo) + _window_size(rate)


def retune(clip: Clip, length: int, rate: int, tempo: float, pitch: float) -> Clip:
    """Play ``tempo`` times as fast at ``pitch`` times the frequencies.

    Args:
        clip: :func:`needed_samples` of them; a shorter one is followed by silence.
        length: samples of the result.
        rate: sample rate in Hz.
        tempo: what was at ``t`` seconds comes at ``t / tempo``.
        pitch: factor of all frequencies, formants with them; what would come to lie above half
            the sample rate is left out.
    """
    speed, size = tempo / pitch, _window_size(rate)
    # Where many frames are skipped, shorter hops see to it that nothing between them goes unheard.
    window, hop = torch.hann_window(size), size // (OVERLAP * max(1, round(speed)))
    source = torch.from_numpy(fitted(clip, needed_samples(length, rate, tempo)))
    heard = stft(source, window, hop).numpy().swapaxes(1, 2)
    wanted = math.ceil(length * pitch)
    read = np.rint(np.arange(math.ceil(wanted / hop) + 1) * speed).astype(np.int64)
    played = reread(heard, np.minimum(read, heard.shape[1] - 2))
    stretched = istft(torch.from_numpy(played.swapaxes(1, 2)), window, hop, wanted)
    return change_speed(stretched.numpy(), length, pitch)


def reread(heard: Frames, read: Int[np.ndarray, " _played"]) -> Frames:
    """Frames in another order, turned so that they go on from one another.

    Where frame ``j`` follows ``i``, partials must be where ``i + 1`` would have had them.

    Args:
        heard: spectra of a sound, one hop apart.
        read: numbers of frames, each but the last with a frame after it.
    """
    nearest = _nearest_peaks(np.square(np.abs(heard)).sum(0)[read])
    turns = np.ones(nearest.shape, np.complex64)
    for n in range(1, len(read)):
        due, found = read[n - 1] + 1, read[n]
        turn = turns[n - 1]
        if due != found:
            between = (heard[:, due] * heard[:, found].conj()).sum(0)
            turn = turn * np.exp(1j * np.angle(between))
        turns[n] = turn[nearest[n]]
    return heard[:, read] * turns


def _nearest_peaks(power: Float[np.ndarray, "_frame _freq"]) -> Int[np.ndarray, "_frame _freq"]:
    """For each bin the nearest one that is louder than two on either side; itself without any."""
    freqs = power.shape[1]
    around = np.pad(power, ((0, 0), (2, 2)))
    neighbours = [around[:, at : at + freqs] for at in (0, 1, 3, 4)]
    peak = np.logical_and.reduce([power > neighbour for neighbour in neighbours])
    here = np.arange(freqs, dtype=np.int32)
    below = np.maximum.accumulate(np.where(peak, here, -freqs), axis=1)
    above = np.minimum.accumulate(np.where(peak, here, 2 * freqs)[:, ::-1], axis=1)[:, ::-1]
    nearest = np.where(here - below <= above - here, below, above)
    return np.where(peak.any(1, keepdims=True), nearest, here)


def _window_size(rate: int) -> int:
    """The power of two that is nearest to the window: 2048 samples at 44.1 and 48 kHz."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * rate)))
