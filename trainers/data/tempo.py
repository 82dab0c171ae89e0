"""Tempo and pitch of a sound, each without the other, by a phase vocoder.

Flanagan and Golden 1966, https://doi.org/10.1002/j.1538-7305.1966.tb01706.x: the frames of a
spectrogram are read at another speed, and each bin's phase goes on turning as it did. Another pitch
is another tempo, undone by playing faster or slower.
"""

from __future__ import annotations

import math

import torch

from model_zoo.ops.stft import istft, stft
from trainers.data.effects import change_speed, fitted
from trainers.data.pool import Clip

WINDOW_SECONDS = 0.046
"""Two periods of the lowest note of a bass, 41 Hz, need as much; drums smear when it is longer."""

OVERLAP = 4
"""Windows over each sample: with a Hann window, fewer do not add up to a smooth sound."""


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

    Raises:
        MissingExtraError: torchaudio is not installed.
    """
    from model_zoo.ops.torchaudio_functions import functional

    size = _window_size(rate)
    window, hop = torch.hann_window(size), size // OVERLAP
    # A bin turns by 2 pi hop / size per hop: taken modulo 2 pi, the sum of all turns stays small
    # enough for float32.
    turns = torch.arange(size // 2 + 1)[:, None] % OVERLAP * (2 * math.pi / OVERLAP)
    source = torch.from_numpy(fitted(clip, needed_samples(length, rate, tempo)))
    frames = functional.phase_vocoder(stft(source, window, hop), tempo / pitch, turns)
    stretched = istft(frames, window, hop, math.ceil(length * pitch))
    return change_speed(stretched.numpy(), length, pitch)


def _window_size(rate: int) -> int:
    """The power of two that is nearest to the window: 2048 samples at 44.1 and 48 kHz."""
    return int(2 ** round(math.log2(WINDOW_SECONDS * rate)))
